"""Reflections inside the telescope."""

import math

import numpy as np

from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.stretch_model import Pixels, coloured


def ghost(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A defocused reflection of a bright star: the telescope's pupil, a disc with a hole, often with vanes."""
    outer = canvas.side * rng.uniform(0.1, 0.4)
    inner = outer * rng.uniform(0.25, 0.55)
    towards, off = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(0.0, 0.9) * (outer + canvas.shape.extent)
    x, y = canvas.shape.x + off * math.cos(towards), canvas.shape.y + off * math.sin(towards)
    box = canvas.box(x, y, outer + 4.0)
    rows, columns = canvas.grid(box)
    dx, dy = columns - np.float32(x), rows - np.float32(y)
    radius = np.sqrt(np.square(dx) + np.square(dy))
    edge = np.float32(max(1.0, 0.04 * outer))
    pupil = np.clip((np.float32(outer) - radius) / edge, 0.0, 1.0)
    # Vignetting moves the hole off the middle.
    shift = rng.uniform(0.0, 0.12) * outer
    hole_x, hole_y = np.float32(shift * math.cos(towards)), np.float32(shift * math.sin(towards))
    pupil *= np.clip((np.sqrt(np.square(dx - hole_x) + np.square(dy - hole_y)) - np.float32(inner)) / edge, 0.0, 1.0)
    if rng.random() < 0.5:
        first, vane = rng.uniform(0.0, math.pi), np.float32(max(1.0, 0.03 * outer))
        for angle in (first, first + math.pi / 2.0):
            across = np.abs(dy * np.float32(math.cos(angle)) - dx * np.float32(math.sin(angle)))
            pupil *= np.clip(across / vane, 0.25, 1.0)
    # A gradient over the pupil, as most ghosts have.
    slope = rng.uniform(0.0, 0.6) / outer
    pupil *= np.float32(1.0) + (dx * np.float32(math.cos(towards)) + dy * np.float32(math.sin(towards))) * np.float32(
        slope
    )
    tint = np.ones(3, dtype=np.float32)
    if not canvas.is_grey:
        # Filters reflect differently: a ghost is often of one colour.
        tint = np.exp(rng.normal(0.0, 0.6, 3)).astype(np.float32)
        tint /= tint.mean()
    light = coloured(np.maximum(pupil, np.float32(0.0)), tint * np.float32(canvas.noise * 0.3 * 80.0**strength))
    return canvas.with_light(light, box, noise_of=rng)
