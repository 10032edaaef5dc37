"""The remote catalogues, one module each: how they are asked, and how their replies are read."""
