"""Rare objects and artefacts, each its own small function, with what it replaces and where it acts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from astrolens.science.simulation import artefacts, rarities
from astrolens.science.simulation.canvas import Canvas
from astrolens.science.simulation.galaxies import Galaxy
from astrolens.science.simulation.observing import Bands


@dataclass(frozen=True, slots=True)
class Oddity:
    """How an oddity enters an image.

    Attributes:
        on_sky: Painted before the atmosphere blurs it.
        on_detector: Done to the counts afterwards.
        replaces_galaxy: Whether it is itself the main object.
        artefact: Whether a person would call it an artefact rather than interesting.
    """

    on_sky: Callable[[Canvas, Galaxy], None] | None = None
    on_detector: Callable[[Canvas, Bands], Bands] | None = None
    replaces_galaxy: bool = False
    artefact: bool = False


ODDITIES: Mapping[str, Oddity] = {
    "ring-galaxy": Oddity(on_sky=rarities.ring_galaxy, replaces_galaxy=True),
    "merger": Oddity(on_sky=rarities.merger, replaces_galaxy=True),
    "lens": Oddity(on_sky=rarities.lens, replaces_galaxy=True),
    "shells": Oddity(on_sky=rarities.shells, replaces_galaxy=True),
    "tidal-stream": Oddity(on_sky=rarities.tidal_stream),
    "jet": Oddity(on_sky=rarities.jet, replaces_galaxy=True),
    "green-bean": Oddity(on_sky=rarities.green_bean, replaces_galaxy=True),
    "polar-ring": Oddity(on_sky=rarities.polar_ring, replaces_galaxy=True),
    "dual-core": Oddity(on_sky=rarities.dual_core),
    "supernova": Oddity(on_sky=rarities.supernova),
    "satellite-trail": Oddity(on_sky=artefacts.satellite_trail, artefact=True),
    "saturated-star": Oddity(on_sky=artefacts.saturated_star, on_detector=artefacts.bleed, artefact=True),
    "misregistered": Oddity(on_detector=artefacts.misregister, artefact=True),
    "ccd-edge": Oddity(on_detector=artefacts.ccd_edge, artefact=True),
    "bad-column": Oddity(on_detector=artefacts.bad_column, artefact=True),
}
"""By name, as it stands in the truth."""
