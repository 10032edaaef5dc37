"""Artefacts: satellites, saturated stars, and defects of the detector."""

import numpy as np

from astrolens.science.simulation.exposure import Bands
from astrolens.science.simulation.field_objects import add_spikes
from astrolens.science.simulation.galaxies import Galaxy
from astrolens.science.simulation.scene import PICTURE_SIDE, SCENE_SIDE, Scene


def satellite_trail(scene: Scene, galaxy: Galaxy) -> None:
    """A satellite or meteor trail, in one band (as in images of scanning cameras) or in all."""
    rng = scene.rng
    angle, offset = rng.uniform(0.0, np.pi), rng.uniform(-SCENE_SIDE * 0.35, SCENE_SIDE * 0.35)
    reach = SCENE_SIDE * 0.75 if rng.random() < 0.6 else rng.uniform(50.0, 110.0)
    along = np.arange(-reach, reach, 0.7) + rng.uniform(-30.0, 30.0)
    tumbling = 1.0 + 0.5 * rng.random() * np.sin(along / rng.uniform(6.0, 40.0))
    sed = np.zeros(3, dtype=np.float32)
    if rng.random() < 0.7:
        sed[int(rng.choice([0, 1, 1, 1, 2]))] = 2.0
    else:
        sed[:] = scene.sed(0.45)
    light = scene.instrument.noise_nmgy[1] * float(10 ** rng.uniform(0.95, 1.7)) * tumbling
    x = galaxy.x + along * np.cos(angle) - offset * np.sin(angle)
    y = galaxy.y + along * np.sin(angle) + offset * np.cos(angle)
    scene.add_points(x, y, light, sed)


def saturated_star(scene: Scene, galaxy: Galaxy) -> None:
    """A saturated star near the object or on it, with halo and diffraction spikes."""
    rng = scene.rng
    x = galaxy.x + float(rng.uniform(-70.0, 70.0))
    y = galaxy.y + float(rng.uniform(-70.0, 70.0))
    flux = scene.instrument.saturation_nmgy * float(10 ** rng.uniform(2.2, 3.2))
    sed = scene.sed(float(rng.choice([0.3, 0.6, 1.3])))
    scene.add_points(np.array([x]), np.array([y]), np.array([flux]), sed)
    add_spikes(scene, x, y, flux, sed)
    scene.parameters.update(star_x=x, star_y=y)


def bleed(scene: Scene, counts: Bands) -> Bands:
    """Bleed trails: charge of saturated pixels spreads along their columns, in each band to a different length."""
    rng = scene.rng
    full_well = scene.instrument.saturation_nmgy
    saturated = counts > 0.9 * full_well
    for band in range(3):
        columns = np.flatnonzero(saturated[band].any(axis=0))
        for column in columns:
            rows = np.flatnonzero(saturated[band, :, column])
            length = int(rows.size * rng.uniform(0.5, 2.5))
            top, bottom = max(0, rows[0] - length), min(PICTURE_SIDE, rows[-1] + length)
            counts[band, top:bottom, column] = full_well * rng.uniform(0.7, 1.0)
    return counts


def misregister(scene: Scene, counts: Bands) -> Bands:
    """Bands that are not aligned: each star appears as three, one a colour."""
    rng = scene.rng
    shift = rng.uniform(3.0, 12.0)
    angle = rng.uniform(0.0, 2 * np.pi)
    step = (round(shift * np.sin(angle)), round(shift * np.cos(angle)))
    counts[0] = np.roll(counts[0], step, axis=(0, 1))
    counts[2] = np.roll(counts[2], (-step[0], -step[1]), axis=(0, 1))
    return counts


def ccd_edge(scene: Scene, counts: Bands) -> Bands:
    """The edge of the detector lies inside the frame, in each band at a slightly different place."""
    rng = scene.rng
    side, at = int(rng.integers(4)), int(rng.integers(30, 105))
    for band in range(3):
        edge = at + int(rng.integers(0, 5)) * (rng.random() < 0.5)
        turned = np.rot90(counts[band], side)
        turned[:edge] = -20.0 * scene.instrument.noise_nmgy[band]
    return counts


def bad_column(scene: Scene, counts: Bands) -> Bands:
    """One to three groups of dead or hot columns, each in one band."""
    rng = scene.rng
    for _ in range(int(rng.integers(1, 4))):
        band, column = int(rng.integers(3)), int(np.clip(rng.normal(PICTURE_SIDE / 2, 25), 2, PICTURE_SIDE - 4))
        width = int(rng.integers(1, 4))
        level = float(rng.choice([-8.0, 30.0, 120.0])) * scene.instrument.noise_nmgy[band]
        start = int(rng.integers(0, PICTURE_SIDE // 2)) if rng.random() < 0.4 else 0
        counts[band, start:, column : column + width] = level
    return counts
