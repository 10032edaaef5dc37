"""Strong gravitational lensing: a background galaxy imaged into arcs or a ring by the central object."""

import math

import numpy as np
from scipy import ndimage

from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.stretch_model import Light, Pixels, coloured


def arc(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Arcs or an Einstein ring of a blue galaxy behind the central object.

    The source is ray-traced through a singular isothermal ellipsoid with external shear. Lensing conserves surface
    brightness, so that the source's profile is evaluated where each pixel's ray ends.
    """
    shape = canvas.shape
    smallest = 2.2 * canvas.seeing
    einstein = min(max(shape.radius * rng.uniform(1.1, 2.6), smallest), max(0.33 * canvas.side, smallest))
    box = canvas.box(shape.x, shape.y, 2.3 * einstein + 2.0)
    rows, columns = canvas.grid(box)
    x, y = columns - np.float32(shape.x), rows - np.float32(shape.y)
    # Mass follows light, roundly: haloes are rounder than galaxies.
    axis_ratio = min(0.98, 0.5 + 0.5 * shape.axis_ratio + rng.normal(0.0, 0.05))
    source_x, source_y = _traced(x, y, einstein, axis_ratio, shape.angle + rng.normal(0.0, 0.15), rng)
    light = _source(source_x, source_y, einstein, rng)
    light = ndimage.gaussian_filter(light, canvas.seeing)
    brightest = float(light.max())
    if brightest <= 0.0:
        return canvas.picture.copy()
    peak = (
        max(0.12 * canvas.peak, 1.5 * canvas.outskirts, 10.0 * canvas.noise)
        * math.exp(rng.normal(0.0, 0.3))
        * 0.02 ** (1.0 - strength)
    )
    tint = np.ones(3, dtype=np.float32)
    if not canvas.is_grey:
        # Lensed sources are young and far: blue, as a rule, and rarely red.
        blue = rng.normal(0.28, 0.15)
        tint = np.exp(blue * np.array([-1.0, 0.1, 1.0])).astype(np.float32)
        tint /= tint.mean()
    return canvas.with_light(coloured(light, tint * np.float32(peak / brightest)), box, noise_of=rng)


def _traced(
    x: Light, y: Light, einstein: float, axis_ratio: float, angle: float, rng: np.random.Generator
) -> tuple[Light, Light]:
    """Where the rays end in the source's plane, pixels (deflection by Kormann, Schneider & Bartelmann 1994)."""
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along, across = x * cos + y * sin, y * cos - x * sin
    q = np.float32(axis_ratio)
    f = np.sqrt(1.0 - q * q)
    psi = np.sqrt(np.square(q * along) + np.square(across)) + np.float32(1e-3)
    strength = np.float32(einstein) * np.sqrt(q) / f
    deflected_along = along - strength * np.arctan(f * along / psi)
    deflected_across = across - strength * np.arctanh(f * across / psi)
    # External shear of neighbours, at any angle.
    shear, towards = rng.uniform(0.0, 0.1), rng.uniform(0.0, math.pi)
    one, two = np.float32(shear * math.cos(2.0 * towards)), np.float32(shear * math.sin(2.0 * towards))
    return deflected_along + one * along + two * across, deflected_across + two * along - one * across


def _source(x: Light, y: Light, einstein: float, rng: np.random.Generator) -> Light:
    """Surface brightness of an exponential galaxy with a few clumps, near the lens's axis."""
    # Within a third of the Einstein radius the images are arcs; farther out a single one is only bent.
    off, towards = einstein * abs(rng.normal(0.0, 0.3)), rng.uniform(0.0, 2.0 * math.pi)
    size = einstein * math.exp(rng.uniform(math.log(0.03), math.log(0.12)))
    axis_ratio, angle = rng.uniform(0.4, 1.0), rng.uniform(0.0, math.pi)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    dx, dy = x - np.float32(off * math.cos(towards)), y - np.float32(off * math.sin(towards))
    along, across = dx * cos + dy * sin, (dy * cos - dx * sin) * np.float32(1.0 / axis_ratio)
    light = np.exp(np.sqrt(np.square(along) + np.square(across)) * np.float32(-1.0 / size))
    for _ in range(int(rng.integers(0, 4))):
        cx, cy = (np.float32(value) for value in rng.normal(0.0, 1.3 * size, 2))
        squared = np.square(along - cx) + np.square(across - cy)
        light += np.float32(rng.uniform(0.2, 0.8)) * np.exp(squared * np.float32(-0.5 / (0.35 * size) ** 2))
    return np.asarray(light, dtype=np.float32)
