"""All of AstroLens on one machine: the supervisor and the embedded broker."""
