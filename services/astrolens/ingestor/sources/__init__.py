"""Where images come from, one module each: the simulated sky, a watched folder, the Sloan survey."""
