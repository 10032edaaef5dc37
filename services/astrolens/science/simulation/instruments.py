"""The simulated surveys: pixel scale, seeing, depth and the way each turns its bands into a colour picture."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instrument:
    """One survey. Fluxes are nanomaggies (magnitude 22.5 is 1), bands blue, green, red.

    Attributes:
        survey: Its name in every record; `simulated-` keeps it apart from the real one.
        pixel_scale_arcsec: Arcseconds a pixel.
        seeing_arcsec: Full width at half maximum of the point-spread function: median and scatter (log-normal).
        moffat_beta: Wings of the point-spread function.
        noise_nmgy: Sky noise a pixel in each band.
        electrons_per_nmgy: For the objects' own photon noise.
        saturation_nmgy: A pixel holds no more.
        bands: Names of the three bands.
        magnitudes: Range of the main object's r magnitude.
        stars_per_arcmin2: Density of field stars down to the survey's limit, at high galactic latitude.
        galaxies_per_arcmin2: Density of background galaxies.
        weights: What each band is multiplied with before the colours are made.
        softening: Where the asinh curve turns logarithmic, in sky noises.
        white: Where it reaches white, in sky noises.
        black: Where it begins, in sky noises below the sky.
        red_leak: How much r-i (or r-z) colour spreads per g-r: the slope of the stellar locus in these bands.
    """

    survey: str
    pixel_scale_arcsec: float
    seeing_arcsec: tuple[float, float]
    moffat_beta: float
    noise_nmgy: tuple[float, float, float]
    electrons_per_nmgy: float
    saturation_nmgy: float
    bands: tuple[str, str, str]
    magnitudes: tuple[float, float]
    stars_per_arcmin2: float
    galaxies_per_arcmin2: float
    weights: tuple[float, float, float]
    softening: float
    white: float
    black: float
    red_leak: float


INSTRUMENTS = (
    Instrument(
        survey="simulated-sdss",
        pixel_scale_arcsec=0.396,
        seeing_arcsec=(1.32, 0.10),
        moffat_beta=3.5,
        noise_nmgy=(0.015, 0.024, 0.036),
        electrons_per_nmgy=900.0,
        saturation_nmgy=220.0,
        bands=("g", "r", "i"),
        magnitudes=(13.6, 17.0),
        stars_per_arcmin2=2.0,
        galaxies_per_arcmin2=3.0,
        weights=(1.55, 1.10, 0.88),
        softening=10.0,
        white=190.0,
        black=0.5,
        red_leak=0.5,
    ),
    Instrument(
        survey="simulated-legacy",
        pixel_scale_arcsec=0.262,
        seeing_arcsec=(1.15, 0.12),
        moffat_beta=3.2,
        noise_nmgy=(0.0048, 0.0075, 0.018),
        electrons_per_nmgy=4200.0,
        saturation_nmgy=90.0,
        bands=("g", "r", "z"),
        magnitudes=(14.2, 18.0),
        stars_per_arcmin2=4.0,
        galaxies_per_arcmin2=12.0,
        weights=(1.75, 1.15, 0.62),
        softening=13.0,
        white=320.0,
        black=0.9,
        red_leak=0.9,
    ),
    Instrument(
        survey="simulated-lsst",
        pixel_scale_arcsec=0.2,
        seeing_arcsec=(0.78, 0.10),
        moffat_beta=3.8,
        noise_nmgy=(0.0022, 0.0028, 0.0042),
        electrons_per_nmgy=9000.0,
        saturation_nmgy=60.0,
        bands=("g", "r", "i"),
        magnitudes=(14.8, 18.8),
        stars_per_arcmin2=6.5,
        galaxies_per_arcmin2=28.0,
        weights=(1.62, 1.10, 0.86),
        softening=14.0,
        white=440.0,
        black=1.6,
        red_leak=0.5,
    ),
)
"""Chosen in turn at random; SDSS DR17 imaging, DESI Legacy DR10 and a short Rubin coadd are the models."""
