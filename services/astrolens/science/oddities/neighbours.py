"""Second objects: blends, double cores, and the ordinary neighbours that a picture may have without being strange."""

import math
from dataclasses import dataclass

import numpy as np

from astrolens.science.oddities.canvas import Box, Canvas
from astrolens.science.oddities.sampling import Placement, place_object
from astrolens.science.oddities.stretch_model import Light, Pixels, coloured


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the frame, and its distance from the central object; pixels."""

    x: float
    y: float
    distance: float


def around(canvas: Canvas, rng: np.random.Generator, *, low: float, high: float) -> Place:
    """A place on an ellipse around the object, at `low` to `high` times its visible extent, kept inside the frame."""
    shape = canvas.shape
    direction = rng.uniform(0.0, 2.0 * np.pi)
    distance = rng.uniform(low, high) * shape.extent
    along, across = distance * np.cos(direction), distance * np.sin(direction) * max(shape.axis_ratio, 0.5)
    cos, sin = np.cos(shape.angle), np.sin(shape.angle)
    x = np.clip(shape.x + along * cos - across * sin, 0.06 * canvas.width, 0.94 * canvas.width)
    y = np.clip(shape.y + along * sin + across * cos, 0.06 * canvas.height, 0.94 * canvas.height)
    return Place(float(x), float(y), float(np.hypot(x - shape.x, y - shape.y)))


def blend(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A second galaxy that overlaps the central one: a chance alignment or a close pair."""
    where = around(canvas, rng, low=0.15, high=1.15)
    # Faint companions are small as a rule; at full strength the two are alike.
    ratio = float(np.exp(rng.uniform(np.log(0.35), np.log(1.0)))) * (0.6 + 0.5 * strength)
    extent = max(ratio * canvas.shape.extent, 2.5 * canvas.seeing + 2.0)
    peak = canvas.peak * float(np.exp(rng.uniform(-0.7, 0.5))) * 0.02 ** (1.0 - strength)
    recolour = alike(canvas, rng) if rng.random() < 0.4 else None
    return canvas.with_light(*place_object(canvas, rng, Placement(where.x, where.y, extent, peak, recolour)))


def alike(canvas: Canvas, rng: np.random.Generator) -> Light:
    """The colour of a companion: close pairs have similar stars."""
    return np.asarray(canvas.colour * np.exp(rng.normal(0.0, 0.12, 3)), dtype=np.float32)


def bright_neighbour(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A large bright galaxy at the border of the frame or outside of it, whose light reaches over the object."""
    angle = rng.uniform(0.0, 2.0 * math.pi)
    distance = canvas.side * rng.uniform(0.35, 0.7)
    x, y = canvas.shape.x + distance * math.cos(angle), canvas.shape.y + distance * math.sin(angle)
    peak = max(canvas.peak, 20.0 * canvas.noise) * math.exp(rng.uniform(-0.3, 1.2)) * 0.02 ** (1.0 - strength)
    extent = canvas.side * rng.uniform(0.2, 0.8)
    if rng.random() < 0.5 and extent < 2.5 * canvas.donor_canvas.shape.extent:
        return canvas.with_light(*place_object(canvas, rng, Placement(x, y, extent, peak)))
    # The smooth light of an early-type galaxy: Sérsic profiles with n of 1 to 4 and a core as wide as the seeing.
    radius, index = canvas.side * rng.uniform(0.08, 0.35), rng.uniform(1.0, 4.0)
    axis_ratio, turn = rng.uniform(0.4, 1.0), rng.uniform(0.0, math.pi)
    rows, columns = canvas.grid()
    dx, dy = columns - np.float32(x), rows - np.float32(y)
    along = dx * np.float32(math.cos(turn)) + dy * np.float32(math.sin(turn))
    across = (dy * np.float32(math.cos(turn)) - dx * np.float32(math.sin(turn))) * np.float32(1.0 / axis_ratio)
    at = np.sqrt(np.square(along) + np.square(across) + np.float32(canvas.seeing**2)) * np.float32(1.0 / radius)
    steepness = 2.0 * index - 1.0 / 3.0
    light = np.exp(np.power(at, np.float32(1.0 / index)) * np.float32(-steepness))
    # As bright at its effective radius as the peak would be of a disc.
    light *= np.float32(math.exp(steepness) * 0.12 * peak)
    return canvas.with_light(coloured(light, _early_type(canvas, rng)), noise_of=rng)


def _early_type(canvas: Canvas, rng: np.random.Generator) -> Light:
    """Colour [3] of old stars, mean 1: white to red."""
    if canvas.is_grey:
        return np.ones(3, dtype=np.float32)
    red = rng.normal(0.15, 0.12)
    tint = np.exp(np.array([red, 0.0, -red]))
    return np.asarray(tint / tint.mean(), dtype=np.float32)


def double_core(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A second nucleus inside the galaxy, with the nucleus's own colour (a late stage of a merger)."""
    shape = canvas.shape
    direction = rng.uniform(0.0, 2.0 * np.pi)
    apart = max(shape.radius * rng.uniform(0.5, 1.6), 2.6 * canvas.seeing)
    peak = canvas.peak * float(np.exp(rng.uniform(-0.5, 0.25))) * 0.03 ** (1.0 - strength)
    x, y = shape.x + apart * np.cos(direction), shape.y + apart * np.sin(direction)
    if rng.random() < 0.4:
        extent = max(0.6 * shape.radius, 3.0 * canvas.seeing) * rng.uniform(1.0, 1.8)
        return canvas.with_light(*place_object(canvas, rng, Placement(x, y, extent, peak, recolour=alike(canvas, rng))))
    size = float(min(np.hypot(canvas.seeing, 0.15 * shape.radius * rng.uniform(0.3, 1.5)), 3.0 * canvas.seeing))
    box = canvas.box(x, y, 16.0 * size)
    rows, columns = canvas.grid(box)
    squared = np.square(columns - np.float32(x)) + np.square(rows - np.float32(y))
    # A Moffat profile: the wings of a small bulge behind the seeing.
    core = peak * np.power(1.0 + squared / np.float32(3.0 * size * size), np.float32(-2.2))
    tint = np.ones(3) if canvas.is_grey else canvas.colour * rng.normal(1.0, 0.06, 3)
    return canvas.with_light(coloured(np.asarray(core, dtype=np.float32), tint.astype(np.float32)), box, noise_of=rng)


def far_neighbour(canvas: Canvas, rng: np.random.Generator) -> Pixels:
    """A control: a small ordinary galaxy well outside the central one. The picture stays ordinary."""
    where = around(canvas, rng, low=1.7, high=4.0)
    if where.distance < 1.3 * canvas.shape.extent:
        return faint_star(canvas, rng)
    extent = max(canvas.shape.extent * rng.uniform(0.12, 0.3), 2.0 * canvas.seeing + 1.0)
    peak = canvas.peak * float(np.exp(rng.uniform(-3.0, -0.7)))
    return canvas.with_light(*place_object(canvas, rng, Placement(where.x, where.y, extent, peak)))


def faint_star(canvas: Canvas, rng: np.random.Generator) -> Pixels:
    """A control: an unsaturated star outside the central object. The picture stays ordinary."""
    y, x = rng.uniform(0.03, 0.97) * canvas.height, rng.uniform(0.03, 0.97) * canvas.width
    for _ in range(8):
        if np.hypot(x - canvas.shape.x, y - canvas.shape.y) > 1.2 * canvas.shape.extent:
            break
        y, x = rng.uniform(0.03, 0.97) * canvas.height, rng.uniform(0.03, 0.97) * canvas.width
    else:
        return canvas.picture.copy()
    peak = np.float32(max(canvas.peak, 0.02) * np.exp(rng.uniform(-2.5, -0.3)))
    tint = np.exp(rng.normal(0.0, 0.25) * np.array([1.0, 0.0, -1.0])).astype(np.float32)
    if canvas.is_grey:
        tint[:] = 1.0
    box = canvas.box(x, y, 14.0 * canvas.seeing)
    return canvas.with_light(coloured(star_image(canvas, x, y, box=box), peak * tint), box, noise_of=rng)


def star_image(canvas: Canvas, x: float, y: float, *, beta: float = 3.0, box: Box | None = None) -> Light:
    """The image of a star with peak 1, in the frame or in a box: a Moffat profile as wide as the picture's seeing."""
    rows, columns = canvas.grid(box)
    squared = np.square(columns - np.float32(x)) + np.square(rows - np.float32(y))
    core = 2.0 * canvas.seeing**2 * math.log(2.0) / (2.0 ** (1.0 / beta) - 1.0)
    squared *= np.float32(1.0 / core)
    squared += np.float32(1.0)
    return np.asarray(np.power(squared, np.float32(-beta)), dtype=np.float32)
