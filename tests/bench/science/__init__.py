"""`make bench-science`: what bundles find on real galaxies, and how often they are wrong (docs/science.md)."""
