"""Colliding galaxies: two nuclei with the bridges and tails that tides draw out of the galaxies' own light."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from astrolens.science.oddities.canvas import Box, Canvas
from astrolens.science.oddities.disturbances import perturbed
from astrolens.science.oddities.encounters import Encounter, Vectors, encounters, rotation
from astrolens.science.oddities.neighbours import alike
from astrolens.science.oddities.sampling import Placement, place_object
from astrolens.science.oddities.stretch_model import Light, Pixels, coloured

_CELLS = 56
"""Side of the grid on which tidal light is gathered."""


@dataclass(frozen=True, slots=True)
class _View:
    """An encounter seen from one side, in pixels of the frame.

    Attributes:
        particles: [2, n, 2] columns and rows.
        second_x: Column of the second galaxy.
        second_y: Its row.
        scale: Pixels of one radius of the first disc.
    """

    particles: Vectors
    second_x: float
    second_y: float
    scale: float


def merger(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Two galaxies after a close passage, with bridge and tails; the first is often out of shape."""
    farthest = min(canvas.shape.extent * rng.uniform(0.5, 1.5), 0.42 * canvas.side)
    encounter, view = _drawn(canvas, rng, farthest=farthest)
    tides = tidal_light(canvas, encounter, view, rng, strength, second=True)
    first = canvas
    if rng.random() < 0.5:
        first = Canvas(perturbed(canvas, rng, 0.7 * strength), canvas.stretch)
    picture = first.with_light(*tides, noise_of=rng)
    ratio = math.sqrt(encounter.mass_ratio)
    extent = max(ratio * canvas.shape.extent * rng.uniform(0.6, 1.0), 2.5 * canvas.seeing + 1.0)
    peak = canvas.peak * ratio * math.exp(rng.normal(0.0, 0.35)) * 0.03 ** (1.0 - strength)
    recolour = alike(canvas, rng) if rng.random() < 0.7 else None
    placed = place_object(canvas, rng, Placement(view.second_x, view.second_y, extent, peak, recolour))
    return Canvas(picture, canvas.stretch).with_light(*placed)


def tidal_tail(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Tails of a galaxy whose companion is out of sight or merged already."""
    encounter, view = _drawn(canvas, rng, farthest=2.0 * canvas.side)
    tides = tidal_light(canvas, encounter, view, rng, strength, second=False)
    return canvas.with_light(*tides, noise_of=rng)


def tidal_light(
    canvas: Canvas, encounter: Encounter, view: _View, rng: np.random.Generator, strength: float, *, second: bool
) -> tuple[Light, Box]:
    """The light [h, w, 3] of what tides have moved, in the colour of the outskirts; and where it lies."""
    shape = canvas.shape
    reach = 0.75 * canvas.side
    box = canvas.box(shape.x, shape.y, reach)
    height, width = box.bottom - box.top, box.right - box.left
    cell = max(height, width) / _CELLS
    rows, columns = math.ceil(height / cell), math.ceil(width / cell)
    gathered = np.zeros((rows, columns), dtype=np.float32)
    for galaxy in range(2 if second else 1):
        at = view.particles[galaxy]
        column, row = (at[:, 0] - box.left) / cell, (at[:, 1] - box.top) / cell
        # An exponential disc: a particle stands for the light of the ring where it began.
        born = encounter.born_at[galaxy]
        light = born * np.exp(-2.2 * born)
        if galaxy == 1:
            light = light * encounter.mass_ratio
        inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
        index = row[inside].astype(np.intp) * columns + column[inside].astype(np.intp)
        gathered += (
            np.bincount(index, weights=light[inside], minlength=rows * columns)
            .reshape(rows, columns)
            .astype(np.float32)
        )
    ndimage.gaussian_filter(gathered, max(0.9, canvas.seeing / cell, 0.06 * view.scale / cell), output=gathered)
    # What stays within the galaxies is in the picture already.
    gathered *= _outside(columns, rows, cell, shape.x - box.left, shape.y - box.top, 0.75 * view.scale)
    bright = float(np.quantile(gathered, 0.985))
    if bright <= 0.0:
        return np.zeros((height, width, 3), dtype=np.float32), box
    level = canvas.outskirts * rng.uniform(0.7, 1.6) * 0.04 ** (1.0 - strength) / bright
    full = Image.fromarray(np.minimum(gathered, 2.5 * bright) * np.float32(level))
    size = (math.ceil(columns * cell), math.ceil(rows * cell))
    smooth = np.asarray(full.resize(size, Image.Resampling.BICUBIC))[:height, :width]
    return coloured(np.maximum(smooth, np.float32(0.0)), canvas.outskirts_colour(rng)), box


def _drawn(canvas: Canvas, rng: np.random.Generator, *, farthest: float) -> tuple[Encounter, _View]:
    """An encounter and a view of it in which the second galaxy lies within `farthest` pixels of the first."""
    library = encounters()
    scale = canvas.shape.extent * rng.uniform(0.6, 1.0)
    for _ in range(12):
        encounter = library[int(rng.integers(len(library)))]
        tilt = math.acos(rng.uniform(0.25, 1.0))
        seen_from = np.array([[1.0, 0.0, 0.0], [0.0, math.cos(tilt), -math.sin(tilt)]])
        turned = (
            rotation(rng.uniform(0.0, 2.0 * math.pi))[:2, :2] @ seen_from @ rotation(rng.uniform(0.0, 2.0 * math.pi))
        )
        if rng.random() < 0.5:
            turned[0] *= -1.0
        offset = turned @ encounter.second * scale
        if float(np.hypot(*offset)) < farthest:
            break
    else:
        scale *= farthest / float(np.hypot(*offset))
        offset = turned @ encounter.second * scale
    centre = np.array([canvas.shape.x, canvas.shape.y], dtype=np.float32)
    particles = encounter.particles @ (turned.T * scale).astype(np.float32) + centre
    return encounter, _View(particles, float(centre[0] + offset[0]), float(centre[1] + offset[1]), scale)


def _outside(columns: int, rows: int, cell: float, x: float, y: float, radius: float) -> Light:
    """0 at the galaxy's centre, 1 beyond `radius`; on the grid [rows, columns]."""
    dx = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) * np.float32(cell) - np.float32(x)
    dy = (np.arange(rows, dtype=np.float32) + np.float32(0.5)) * np.float32(cell) - np.float32(y)
    squared = dx[None, :] ** 2 + dy[:, None] ** 2
    return np.asarray(1.0 - np.exp(squared * np.float32(-1.0 / radius**2)), dtype=np.float32)
