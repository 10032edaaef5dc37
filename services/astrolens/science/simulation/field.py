"""What else is in the frame: stars of the Galaxy and galaxies far behind."""

import numpy as np

from astrolens.science.simulation.canvas import FULL, Canvas, Sed, frame

_AUREOLE_TOTAL = 350.0
"""Its integral over a frame: fixed, so that a star at the edge is not brighter. About 2 pi 16 ln(130/4)."""

_POINTS = 48
"""Points that make a background galaxy: at its few pixels they are as good as a smooth profile, and cheap."""


def paint_field(canvas: Canvas) -> None:
    """Stars and background galaxies, their numbers Poisson with a scatter from field to field."""
    rng, instrument = canvas.rng, canvas.instrument
    arcmin2 = (FULL * instrument.pixel_scale_arcsec / 60.0) ** 2
    crowding = rng.lognormal(0.0, 0.45)
    _paint_stars(canvas, int(rng.poisson(instrument.stars_per_arcmin2 * arcmin2 * crowding)))
    _paint_galaxies(canvas, int(rng.poisson(instrument.galaxies_per_arcmin2 * arcmin2 * rng.lognormal(0.0, 0.3))))


def _paint_stars(canvas: Canvas, count: int) -> None:
    rng = canvas.rng
    limit = canvas.instrument.magnitudes[1] + 5.0
    # Counts of stars rise by about 10^(0.2 m).
    magnitudes = limit - np.minimum(rng.exponential(1.0 / (0.2 * np.log(10)), count), 10.5)
    flux = 10 ** (0.4 * (22.5 - magnitudes))
    # Two populations: the halo's turn-off (blue) and the disc's M dwarfs (red).
    # Bright M dwarfs are rare: they are faint by themselves.
    blue_share = np.clip(0.42 + 0.10 * (limit - 2.5 - magnitudes), 0.35, 0.92)
    colours = np.where(rng.random(count) < blue_share, rng.normal(0.42, 0.12, count), rng.normal(1.35, 0.15, count))
    seds = np.array([canvas.sed(colour) for colour in colours], dtype=np.float32).reshape(count, 3)
    # In M dwarfs r-i goes on growing with falling temperature while g-r stands still (West et al. 2011).
    seds[:, 2] *= np.where(colours > 1.0, 10 ** (0.4 * rng.uniform(-0.1, 1.0, count)), 1.0)
    x, y = rng.uniform(-FULL / 2, FULL / 2, (2, count))
    canvas.splat(x, y, flux, seds)
    spikes_above = 1.6 * canvas.instrument.saturation_nmgy
    for index in np.flatnonzero(flux > spikes_above):
        paint_spikes(canvas, float(x[index]), float(y[index]), float(flux[index]), seds[index])


def paint_spikes(canvas: Canvas, x: float, y: float, flux: float, sed: Sed) -> None:
    """The halo and the four diffraction spikes of a bright star; the spider stands still, so their angle is fixed."""
    reach = min(110.0, 14.0 * (flux / canvas.instrument.saturation_nmgy) ** 0.45)
    distance = np.arange(1.0, reach, 0.7)
    light = flux * 0.006 * distance**-1.3 * (1.0 - distance / reach)
    angle = np.radians(38.0) + np.arange(4)[:, None] * np.pi / 2
    canvas.splat(
        (x + np.cos(angle) * distance).ravel(),
        (y + np.sin(angle) * distance).ravel(),
        np.broadcast_to(light, (4, light.size)).ravel(),
        sed,
    )
    # Light scattered in the atmosphere and on the mirror: the aureole, with the square of the distance (King 1971).
    aureole = np.minimum(np.float32(1.0), np.square(np.float32(4.0) / frame(x, y, 1.0, 0.0).radius))
    canvas.add(aureole, flux * 0.03, sed, total=_AUREOLE_TOTAL)


def _paint_galaxies(canvas: Canvas, count: int) -> None:
    rng = canvas.rng
    limit = canvas.instrument.magnitudes[1] + 5.0
    magnitudes = limit - np.minimum(rng.exponential(1.0 / (0.35 * np.log(10)), count), 6.0)
    flux = 10 ** (0.4 * (22.5 - magnitudes))
    radius = np.clip(
        canvas.pixels(0.55) * 10 ** (-0.09 * (magnitudes - 21.5)) * rng.lognormal(0.0, 0.3, count), 0.7, 6.0
    )
    axis_ratio, turn = rng.uniform(0.25, 1.0, count), rng.uniform(0.0, np.pi, count)
    colours = np.where(rng.random(count) < 0.35, rng.normal(1.1, 0.25, count), rng.normal(0.5, 0.2, count))
    seds = np.array([canvas.sed(colour) for colour in colours], dtype=np.float32).reshape(count, 3)
    x, y = rng.uniform(-FULL / 2, FULL / 2, (2, count))
    # An exponential disc is a gamma distribution of radii.
    distance = radius[:, None] * rng.gamma(2.0, 0.55, (count, _POINTS))
    theta = rng.uniform(0.0, 2 * np.pi, (count, _POINTS))
    along, across = distance * np.cos(theta), distance * np.sin(theta) * axis_ratio[:, None]
    cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
    canvas.splat(
        (x[:, None] + along * cosine - across * sine).ravel(),
        (y[:, None] + along * sine + across * cosine).ravel(),
        np.repeat(flux / _POINTS, _POINTS),
        np.repeat(seds, _POINTS, axis=0),
    )
