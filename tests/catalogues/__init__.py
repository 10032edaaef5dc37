"""Local servers that keep the contracts of the catalogues, faults included, and the sky that they know."""
