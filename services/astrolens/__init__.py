"""AstroLens watches the sky by itself: survey images in, calibrated verdicts and alerts out."""

__version__ = "0.1.0"
