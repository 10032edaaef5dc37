"""The registry of oddities: rare objects and artefacts that a simulated image may contain.

To add one, write a function in `rare_objects` or `artefacts` and add its entry here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from astrolens.science.simulation import artefacts, rare_objects
from astrolens.science.simulation.exposure import Bands
from astrolens.science.simulation.galaxies import Galaxy
from astrolens.science.simulation.scene import Scene


@dataclass(frozen=True, slots=True)
class Oddity:
    """How an oddity is added to an image.

    Attributes:
        on_sky: Adds it to the scene, before seeing and noise.
        on_detector: Changes the bands afterwards.
        replaces_galaxy: Whether it takes the place of the central galaxy.
        artefact: Whether it is an artefact, not an object of the sky.
    """

    on_sky: Callable[[Scene, Galaxy], None] | None = None
    on_detector: Callable[[Scene, Bands], Bands] | None = None
    replaces_galaxy: bool = False
    artefact: bool = False


ODDITIES: Mapping[str, Oddity] = {
    "ring-galaxy": Oddity(on_sky=rare_objects.ring_galaxy, replaces_galaxy=True),
    "merger": Oddity(on_sky=rare_objects.merger, replaces_galaxy=True),
    "lens": Oddity(on_sky=rare_objects.lens, replaces_galaxy=True),
    "shells": Oddity(on_sky=rare_objects.shells, replaces_galaxy=True),
    "tidal-stream": Oddity(on_sky=rare_objects.tidal_stream),
    "jet": Oddity(on_sky=rare_objects.jet, replaces_galaxy=True),
    "green-bean": Oddity(on_sky=rare_objects.green_bean, replaces_galaxy=True),
    "polar-ring": Oddity(on_sky=rare_objects.polar_ring, replaces_galaxy=True),
    "dual-core": Oddity(on_sky=rare_objects.dual_core),
    "supernova": Oddity(on_sky=rare_objects.supernova),
    "satellite-trail": Oddity(on_sky=artefacts.satellite_trail, artefact=True),
    "saturated-star": Oddity(on_sky=artefacts.saturated_star, on_detector=artefacts.bleed, artefact=True),
    "misregistered": Oddity(on_detector=artefacts.misregister, artefact=True),
    "ccd-edge": Oddity(on_detector=artefacts.ccd_edge, artefact=True),
    "bad-column": Oddity(on_detector=artefacts.bad_column, artefact=True),
}
"""By the name in `Truth.oddity`."""
