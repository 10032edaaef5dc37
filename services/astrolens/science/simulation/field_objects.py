"""Field objects: foreground stars and background galaxies."""

import numpy as np

from astrolens.science.simulation.scene import SCENE_SIDE, Scene, Sed, frame

_AUREOLE_TOTAL = 350.0
"""Integral of the aureole over a frame, about 2 pi 16 ln(130/4). A constant, so that the aureole of a star near the
edge is not brighter."""

_POINTS_PER_GALAXY = 48
"""Point sources that represent a background galaxy: at its size of a few pixels a smooth profile looks the same."""


def add_field(scene: Scene) -> None:
    """Add stars and background galaxies; their numbers are Poisson with a log-normal scatter between fields."""
    rng, instrument = scene.rng, scene.instrument
    arcmin2 = (SCENE_SIDE * instrument.pixel_scale_arcsec / 60.0) ** 2
    crowding = rng.lognormal(0.0, 0.45)
    _add_stars(scene, int(rng.poisson(instrument.stars_per_arcmin2 * arcmin2 * crowding)))
    _add_galaxies(scene, int(rng.poisson(instrument.galaxies_per_arcmin2 * arcmin2 * rng.lognormal(0.0, 0.3))))


def _add_stars(scene: Scene, count: int) -> None:
    rng = scene.rng
    limit = scene.instrument.magnitudes[1] + 5.0
    # Star counts rise as about 10^(0.2 m).
    magnitudes = limit - np.minimum(rng.exponential(1.0 / (0.2 * np.log(10)), count), 10.5)
    flux = 10 ** (0.4 * (22.5 - magnitudes))
    # Two populations: the halo's turn-off (blue) and the disc's M dwarfs (red).
    # Bright M dwarfs are rare: they are faint by themselves.
    blue_share = np.clip(0.42 + 0.10 * (limit - 2.5 - magnitudes), 0.35, 0.92)
    colours = np.where(rng.random(count) < blue_share, rng.normal(0.42, 0.12, count), rng.normal(1.35, 0.15, count))
    seds = np.array([scene.sed(colour) for colour in colours], dtype=np.float32).reshape(count, 3)
    # In M dwarfs r-i goes on growing with falling temperature while g-r stands still (West et al. 2011).
    seds[:, 2] *= np.where(colours > 1.0, 10 ** (0.4 * rng.uniform(-0.1, 1.0, count)), 1.0)
    x, y = rng.uniform(-SCENE_SIDE / 2, SCENE_SIDE / 2, (2, count))
    scene.add_points(x, y, flux, seds)
    spikes_above = 1.6 * scene.instrument.saturation_nmgy
    for index in np.flatnonzero(flux > spikes_above):
        add_spikes(scene, float(x[index]), float(y[index]), float(flux[index]), seds[index])


def add_spikes(scene: Scene, x: float, y: float, flux: float, sed: Sed) -> None:
    """Add the halo and the four diffraction spikes of a bright star; the spider fixes their angle."""
    reach = min(110.0, 14.0 * (flux / scene.instrument.saturation_nmgy) ** 0.45)
    distance = np.arange(1.0, reach, 0.7)
    light = flux * 0.006 * distance**-1.3 * (1.0 - distance / reach)
    angle = np.radians(38.0) + np.arange(4)[:, None] * np.pi / 2
    scene.add_points(
        (x + np.cos(angle) * distance).ravel(),
        (y + np.sin(angle) * distance).ravel(),
        np.broadcast_to(light, (4, light.size)).ravel(),
        sed,
    )
    # The aureole: light scattered by atmosphere and mirror falls with the square of the distance (King 1971).
    aureole = np.minimum(np.float32(1.0), np.square(np.float32(4.0) / frame(x, y, 1.0, 0.0).radius))
    scene.add_component(aureole, flux * 0.03, sed, total=_AUREOLE_TOTAL)


def _add_galaxies(scene: Scene, count: int) -> None:
    rng = scene.rng
    limit = scene.instrument.magnitudes[1] + 5.0
    magnitudes = limit - np.minimum(rng.exponential(1.0 / (0.35 * np.log(10)), count), 6.0)
    flux = 10 ** (0.4 * (22.5 - magnitudes))
    radius = np.clip(
        scene.pixels(0.55) * 10 ** (-0.09 * (magnitudes - 21.5)) * rng.lognormal(0.0, 0.3, count), 0.7, 6.0
    )
    axis_ratio, turn = rng.uniform(0.25, 1.0, count), rng.uniform(0.0, np.pi, count)
    colours = np.where(rng.random(count) < 0.35, rng.normal(1.1, 0.25, count), rng.normal(0.5, 0.2, count))
    seds = np.array([scene.sed(colour) for colour in colours], dtype=np.float32).reshape(count, 3)
    x, y = rng.uniform(-SCENE_SIDE / 2, SCENE_SIDE / 2, (2, count))
    # The radii of an exponential disc follow a gamma distribution.
    distance = radius[:, None] * rng.gamma(2.0, 0.55, (count, _POINTS_PER_GALAXY))
    theta = rng.uniform(0.0, 2 * np.pi, (count, _POINTS_PER_GALAXY))
    along, across = distance * np.cos(theta), distance * np.sin(theta) * axis_ratio[:, None]
    cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
    scene.add_points(
        (x[:, None] + along * cosine - across * sine).ravel(),
        (y[:, None] + along * sine + across * cosine).ravel(),
        np.repeat(flux / _POINTS_PER_GALAXY, _POINTS_PER_GALAXY),
        np.repeat(seds, _POINTS_PER_GALAXY, axis=0),
    )
