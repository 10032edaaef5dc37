"""Local servers that keep the contracts of the catalogues, troubles included, and the sky that they know."""
