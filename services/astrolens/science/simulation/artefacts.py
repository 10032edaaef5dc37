"""What instruments and passers-by add to the sky."""

import numpy as np

from astrolens.science.simulation.canvas import FULL, SIDE, Canvas
from astrolens.science.simulation.field import paint_spikes
from astrolens.science.simulation.galaxies import Galaxy
from astrolens.science.simulation.observing import Bands


def satellite_trail(canvas: Canvas, galaxy: Galaxy) -> None:
    """A satellite or meteor crossing in one band, as scanning cameras see it, or in all."""
    rng = canvas.rng
    angle, offset = rng.uniform(0.0, np.pi), rng.uniform(-FULL * 0.35, FULL * 0.35)
    reach = FULL * 0.75 if rng.random() < 0.6 else rng.uniform(50.0, 110.0)
    along = np.arange(-reach, reach, 0.7) + rng.uniform(-30.0, 30.0)
    tumbling = 1.0 + 0.5 * rng.random() * np.sin(along / rng.uniform(6.0, 40.0))
    sed = np.zeros(3, dtype=np.float32)
    if rng.random() < 0.7:
        sed[int(rng.choice([0, 1, 1, 1, 2]))] = 2.0
    else:
        sed[:] = canvas.sed(0.45)
    light = canvas.instrument.noise_nmgy[1] * float(10 ** rng.uniform(0.95, 1.7)) * tumbling
    x = galaxy.x + along * np.cos(angle) - offset * np.sin(angle)
    y = galaxy.y + along * np.sin(angle) + offset * np.cos(angle)
    canvas.splat(x, y, light, sed)


def saturated_star(canvas: Canvas, galaxy: Galaxy) -> None:
    """A star far too bright, near the object or upon it, with its halo and spikes."""
    rng = canvas.rng
    x = galaxy.x + float(rng.uniform(-70.0, 70.0))
    y = galaxy.y + float(rng.uniform(-70.0, 70.0))
    flux = canvas.instrument.saturation_nmgy * float(10 ** rng.uniform(2.2, 3.2))
    sed = canvas.sed(float(rng.choice([0.3, 0.6, 1.3])))
    canvas.splat(np.array([x]), np.array([y]), np.array([flux]), sed)
    paint_spikes(canvas, x, y, flux, sed)
    canvas.notes.update(star_x=x, star_y=y)


def bleed(canvas: Canvas, counts: Bands) -> Bands:
    """Charge of a saturated star running along its columns, and a ghost of unequal colour where the pixels overflow."""
    rng = canvas.rng
    full_well = canvas.instrument.saturation_nmgy
    hurt = counts > 0.9 * full_well
    for band in range(3):
        columns = np.flatnonzero(hurt[band].any(axis=0))
        for column in columns:
            rows = np.flatnonzero(hurt[band, :, column])
            length = int(rows.size * rng.uniform(0.5, 2.5))
            top, bottom = max(0, rows[0] - length), min(SIDE, rows[-1] + length)
            counts[band, top:bottom, column] = full_well * rng.uniform(0.7, 1.0)
    return counts


def misregister(canvas: Canvas, counts: Bands) -> Bands:
    """Bands that were not aligned: each star becomes a traffic light."""
    rng = canvas.rng
    shift = rng.uniform(3.0, 12.0)
    angle = rng.uniform(0.0, 2 * np.pi)
    step = (round(shift * np.sin(angle)), round(shift * np.cos(angle)))
    counts[0] = np.roll(counts[0], step, axis=(0, 1))
    counts[2] = np.roll(counts[2], (-step[0], -step[1]), axis=(0, 1))
    return counts


def ccd_edge(canvas: Canvas, counts: Bands) -> Bands:
    """The detector ends inside the frame, in each band at a slightly different place."""
    rng = canvas.rng
    side, at = int(rng.integers(4)), int(rng.integers(30, 105))
    for band in range(3):
        edge = at + int(rng.integers(0, 5)) * (rng.random() < 0.5)
        turned = np.rot90(counts[band], side)
        turned[:edge] = -20.0 * canvas.instrument.noise_nmgy[band]
    return counts


def bad_column(canvas: Canvas, counts: Bands) -> Bands:
    """Dead or hot columns and a row of them through the object, in one band or two."""
    rng = canvas.rng
    for _ in range(int(rng.integers(1, 4))):
        band, column = int(rng.integers(3)), int(np.clip(rng.normal(SIDE / 2, 25), 2, SIDE - 4))
        width = int(rng.integers(1, 4))
        level = float(rng.choice([-8.0, 30.0, 120.0])) * canvas.instrument.noise_nmgy[band]
        start = int(rng.integers(0, SIDE // 2)) if rng.random() < 0.4 else 0
        counts[band, start:, column : column + width] = level
    return counts
