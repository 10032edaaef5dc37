"""One image of the simulated sky, a pure function of seed and index."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from astrolens.science.cutouts import encode_jpeg
from astrolens.science.simulation.canvas import Canvas
from astrolens.science.simulation.field import paint_field
from astrolens.science.simulation.galaxies import MORPHOLOGIES, PAINTERS, Morphology, draw_galaxy
from astrolens.science.simulation.instruments import INSTRUMENTS, Instrument
from astrolens.science.simulation.observing import colour_picture, expose
from astrolens.science.simulation.oddities import ODDITIES

_MORPHOLOGY_SHARES = (0.42, 0.30, 0.17, 0.11)
"""Smooth, spiral, edge-on, irregular: about what a magnitude-limited sample of nearby galaxies holds."""

_EXPOSURE_S = 38.0
"""Seconds between two images: Rubin's cadence of visits."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the image really shows. Kept apart from everything that the pipeline may see."""

    morphology: Morphology
    oddity: str | None
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimulatedImage:
    """An image with what a survey would tell of it, and, apart, its truth.

    Attributes:
        jpeg: The picture, RGB.
        survey: `simulated-sdss`, `simulated-legacy` or `simulated-lsst`.
        pixel_scale_arcsec: Arcseconds a pixel.
        ra_deg: ICRS, uniform on the sphere.
        dec_deg: ICRS.
        name: Such as `SIM-0000123`.
        bands: In order of wavelength.
        observed_offset_s: Seconds after the first image of this sky.
        truth: Never given to the pipeline.
    """

    jpeg: bytes
    survey: str
    pixel_scale_arcsec: float
    ra_deg: float
    dec_deg: float
    name: str
    bands: tuple[str, ...]
    observed_offset_s: float
    truth: Truth


def instrument_of(survey: str) -> Instrument:
    """The simulated survey of that name.

    Raises:
        ValueError: There is none.
    """
    for instrument in INSTRUMENTS:
        if instrument.survey == survey:
            return instrument
    raise ValueError(f"no simulated survey {survey!r}; there are {[one.survey for one in INSTRUMENTS]}")


def simulate(
    seed: int,
    index: int,
    *,
    oddity_rate: float,
    morphology: Morphology | None = None,
    oddity: str | None = None,
    survey: str | None = None,
) -> SimulatedImage:
    """Make one image.

    Args:
        seed: Of the whole sky.
        index: Of the image in it; any order, any process, always the same image.
        oddity_rate: Share of images with an oddity, 0 to 1.
        morphology: This class instead of a random one (for training and tests).
        oddity: A key of `ODDITIES` instead of a random one.
        survey: This survey instead of a random one.

    Raises:
        KeyError: For an unknown oddity.
        ValueError: For an unknown survey.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    chance = rng.random()
    instrument = INSTRUMENTS[int(rng.integers(len(INSTRUMENTS)))]
    drawn = MORPHOLOGIES[int(rng.choice(len(MORPHOLOGIES), p=_MORPHOLOGY_SHARES))]
    drawn_oddity = sorted(ODDITIES)[int(rng.integers(len(ODDITIES)))]
    ra_deg = float(rng.uniform(0.0, 360.0)) % 360.0
    dec_deg = float(np.degrees(np.arcsin(rng.uniform(-1.0, 1.0))))
    delay = float(rng.uniform(0.0, 5.0))
    if survey is not None:
        instrument = instrument_of(survey)
    kind = morphology or drawn
    chosen = oddity or (drawn_oddity if chance < oddity_rate else None)

    canvas = Canvas(instrument, rng)
    galaxy = draw_galaxy(canvas)
    plan = ODDITIES[chosen] if chosen else None
    if plan is None or not plan.replaces_galaxy:
        PAINTERS[kind](canvas, galaxy)
    if plan is not None and plan.on_sky is not None:
        plan.on_sky(canvas, galaxy)
    paint_field(canvas)
    counts = expose(canvas)
    if plan is not None and plan.on_detector is not None:
        counts = plan.on_detector(canvas, counts)
    return SimulatedImage(
        jpeg=encode_jpeg(colour_picture(counts, instrument)),
        survey=instrument.survey,
        pixel_scale_arcsec=instrument.pixel_scale_arcsec,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        name=f"SIM-{index:07d}",
        bands=instrument.bands,
        observed_offset_s=index * _EXPOSURE_S + delay,
        truth=Truth(kind, chosen, dict(canvas.notes)),
    )
