"""The crossref service: what the catalogues know at the place of a candidate."""
