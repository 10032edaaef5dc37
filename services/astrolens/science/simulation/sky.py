"""Simulate one image, as a pure function of seed and index."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from astrolens.science.cutouts import encode_jpeg
from astrolens.science.simulation.exposure import colour_picture, expose
from astrolens.science.simulation.field_objects import add_field
from astrolens.science.simulation.galaxies import GALAXY_MODELS, MORPHOLOGIES, Morphology, draw_galaxy
from astrolens.science.simulation.instruments import INSTRUMENTS, Instrument
from astrolens.science.simulation.oddity_registry import ODDITIES
from astrolens.science.simulation.scene import Scene

_MORPHOLOGY_SHARES = (0.42, 0.30, 0.17, 0.11)
"""Smooth, spiral, edge-on, irregular: about the shares in a magnitude-limited sample of nearby galaxies."""

_EXPOSURE_S = 38.0
"""Seconds between two images: Rubin's visit cadence."""


@dataclass(frozen=True, slots=True)
class Truth:
    """The true content of an image; the pipeline must not get it.

    Attributes:
        morphology: Class of the central galaxy.
        oddity: A key of `ODDITIES`, or None.
        parameters: Physical parameters, by name with unit.
    """

    morphology: Morphology
    oddity: str | None
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SimulatedImage:
    """An image with the metadata that a survey publishes, and its truth.

    Attributes:
        jpeg: The picture, RGB.
        survey: `simulated-sdss`, `simulated-legacy` or `simulated-lsst`.
        pixel_scale_arcsec: Arcseconds a pixel.
        ra_deg: ICRS, uniform on the sphere.
        dec_deg: ICRS.
        name: Such as `SIM-0000123`.
        bands: In the order of wavelength.
        observed_offset_s: Seconds after the first image of this sky.
        truth: For evaluation only.
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
    """Simulate one image.

    Args:
        seed: Of the simulated sky.
        index: Of the image. The result does not depend on the order of calls or on the process.
        oddity_rate: Share of images with an oddity, 0 to 1.
        morphology: Use this class instead of a random one.
        oddity: Use this key of `ODDITIES` instead of a random one.
        survey: Use this survey instead of a random one.

    Raises:
        KeyError: The oddity is unknown.
        ValueError: The survey is unknown.
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

    scene = Scene(instrument, rng)
    galaxy = draw_galaxy(scene)
    entry = ODDITIES[chosen] if chosen else None
    if entry is None or not entry.replaces_galaxy:
        GALAXY_MODELS[kind](scene, galaxy)
    if entry is not None and entry.on_sky is not None:
        entry.on_sky(scene, galaxy)
    add_field(scene)
    counts = expose(scene)
    if entry is not None and entry.on_detector is not None:
        counts = entry.on_detector(scene, counts)
    return SimulatedImage(
        jpeg=encode_jpeg(colour_picture(counts, instrument)),
        survey=instrument.survey,
        pixel_scale_arcsec=instrument.pixel_scale_arcsec,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        name=f"SIM-{index:07d}",
        bands=instrument.bands,
        observed_offset_s=index * _EXPOSURE_S + delay,
        truth=Truth(kind, chosen, dict(scene.parameters)),
    )
