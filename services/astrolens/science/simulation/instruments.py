"""The simulated surveys: pixel scale, seeing, depth, and conversion of bands to a colour picture."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instrument:
    """One survey. Fluxes are nanomaggies (magnitude 22.5 is 1), bands blue, green, red.

    Attributes:
        survey: Name of the survey; the prefix `simulated-` distinguishes it from the real one.
        pixel_scale_arcsec: Arcseconds a pixel.
        seeing_arcsec: Full width at half maximum of the point-spread function: median (arcsec) and log-normal scatter.
        moffat_beta: Exponent of the Moffat point-spread function.
        noise_nmgy: Standard deviation of the sky in a pixel, for each band.
        electrons_per_nmgy: Gain, for the photon noise of the objects.
        saturation_nmgy: Full-well limit of a pixel.
        bands: Names of the three bands.
        magnitudes: Range of the main object's r magnitude.
        stars_per_arcmin2: Density of field stars down to the survey's limit, at high galactic latitude.
        galaxies_per_arcmin2: Density of background galaxies.
        weights: Factors of the bands in the colour picture.
        softening: Intensity at which the asinh curve turns logarithmic, in units of the sky noise in r.
        white: Intensity that becomes white, in the same unit.
        black: Offset below the sky that becomes black, in the same unit.
        locus_slope: Slope of the stellar locus: r-i (or r-z) per g-r.
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
    locus_slope: float


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
        locus_slope=0.5,
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
        locus_slope=0.9,
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
        locus_slope=0.5,
    ),
)
"""Modelled on SDSS DR17 imaging, DESI Legacy DR10, and a short Rubin coadd."""
