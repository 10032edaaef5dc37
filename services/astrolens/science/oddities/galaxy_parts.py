"""What a galaxy's own light can do: rings, shells, dust lanes; and jets, which are light of its nucleus."""

import math

import numpy as np
from PIL import Image

from astrolens.science.oddities.canvas import Box, Canvas
from astrolens.science.oddities.stretch_model import Light, Pixels, coloured


def ring(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A ring in the galaxy's plane: light taken from the disc inside of it and gathered at one radius.

    The ring has the ellipse of the galaxy and the colour of its outskirts, or bluer; it is clumpy, brighter on one
    side, and sometimes does not close (a pseudo-ring).
    """
    shape = canvas.shape
    radius = max(shape.extent * rng.uniform(0.45, 1.15), 3.5 * canvas.seeing)
    radius = min(radius, 0.46 * canvas.side)
    # Seen through the galaxy's thickness a disc is never thinner than this.
    axis_ratio = max(shape.axis_ratio, 0.25) * rng.uniform(0.95, 1.05)
    width = math.hypot(radius * rng.uniform(0.06, 0.22), canvas.seeing)
    box = canvas.box(shape.x, shape.y, 1.1 * radius + 3.5 * width)
    rows, columns = canvas.grid(box)
    cos, sin = np.float32(math.cos(shape.angle)), np.float32(math.sin(shape.angle))
    off = rng.normal(0.0, 0.03, 2) * radius
    dx, dy = columns - np.float32(shape.x + off[0]), rows - np.float32(shape.y + off[1])
    along, across = dx * cos + dy * sin, (dy * cos - dx * sin) * np.float32(1.0 / min(axis_ratio, 1.0))
    at = np.sqrt(np.square(along) + np.square(across))
    turn = np.arctan2(across, along)
    course: Light = np.full_like(at, radius)
    if rng.random() < 0.35:
        # A pseudo-ring: two arms that nearly meet.
        opening = radius * rng.uniform(0.05, 0.16) * rng.choice([-1.0, 1.0])
        half_turns = turn * np.float32(1.0 / math.pi) + np.float32(rng.random())
        course += np.float32(opening) * (half_turns - np.floor(half_turns) - np.float32(0.5))
    excess = np.exp(
        np.maximum(np.square((at - course) * np.float32(1.0 / width)) * np.float32(-0.5), np.float32(-30.0))
    )
    excess *= _around(turn, rng)
    own = np.maximum(canvas.light_at(radius), np.float32(0.0)).mean()
    # Where the galaxy is faint the ring is a share of what is inside of it.
    level = max(float(own), 0.35 * float(canvas.light_at(0.6 * radius).mean()), 4.0 * canvas.noise)
    contrast = 1.8 * rng.uniform(0.6, 1.3) * 0.03 ** (1.0 - strength)
    tint = canvas.outskirts_colour(rng, bluer=max(0.0, rng.normal(0.1, 0.13)))
    added = coloured(excess, tint * np.float32(level * contrast))
    # The gap: light that lies between the core and the ring.
    gap = np.float32(rng.uniform(0.2, 0.65) * strength) * _step(
        (at - np.float32(0.35 * radius)) * np.float32(1.0 / (0.15 * radius))
    )
    gap *= _step((np.float32(radius - width) - at) * np.float32(1.0 / (0.6 * width)))
    taken = _above_sky(canvas, box)
    for channel in range(3):
        taken[..., channel] *= gap
        added[..., channel] -= taken[..., channel]
    return canvas.with_light(added, box, noise_of=rng)


def shells(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Shells: sharp outer edges at growing radii on alternating sides, along the major axis (Quinn 1984)."""
    shape = canvas.shape
    box = canvas.box(shape.x, shape.y, min(2.2 * shape.extent, 0.7 * canvas.side))
    rows, columns = canvas.grid(box)
    cos, sin = np.float32(math.cos(shape.angle)), np.float32(math.sin(shape.angle))
    dx, dy = columns - np.float32(shape.x), rows - np.float32(shape.y)
    along, across = dx * cos + dy * sin, dy * cos - dx * sin
    # Shells are parts of spheres, rounder than the galaxy.
    at = np.sqrt(np.square(along) + np.square(across * np.float32(1.0 / max(0.75, shape.axis_ratio)))) + np.float32(
        1e-3
    )
    facing = along / at
    total = np.zeros(at.shape, dtype=np.float32)
    radius, side = shape.extent * rng.uniform(0.45, 0.8), float(rng.choice([-1.0, 1.0]))
    for _ in range(int(rng.integers(2, 6))):
        inside = np.float32(radius) - at
        edge = _step(inside * np.float32(1.0 / max(canvas.seeing, 0.02 * radius)))
        fading = np.exp(np.maximum(-inside * np.float32(1.0 / (0.22 * radius)), np.float32(-30.0)) * (inside > 0))
        opening = np.clip((facing * np.float32(side) - np.float32(rng.uniform(0.2, 0.7))) * np.float32(3.0), 0.0, 1.0)
        light = max(float(canvas.light_at(0.8 * radius).mean()), 2.0 * canvas.noise)
        total += edge * fading * opening * np.float32(light)
        radius *= rng.uniform(1.15, 1.45)
        side = -side
    contrast = 1.3 * rng.uniform(0.6, 1.3) * 0.05 ** (1.0 - strength)
    return canvas.with_light(coloured(total, canvas.outskirts_colour(rng) * np.float32(contrast)), box, noise_of=rng)


def jet(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """An optical synchrotron jet with knots, one-sided by beaming as a rule, from an unresolved nucleus."""
    shape = canvas.shape
    reach = min(max(shape.extent * rng.uniform(0.6, 1.6), 6.0 * canvas.seeing), 0.6 * canvas.side)
    box = canvas.box(shape.x, shape.y, reach + 4.0 * canvas.seeing)
    rows, columns = canvas.grid(box)
    direction, bend = rng.uniform(0.0, 2.0 * math.pi), rng.normal(0.0, 0.15)
    cos, sin = np.float32(math.cos(direction)), np.float32(math.sin(direction))
    dx, dy = columns - np.float32(shape.x), rows - np.float32(shape.y)
    along, across = (dx * cos + dy * sin) * np.float32(1.0 / reach), (dy * cos - dx * sin) * np.float32(1.0 / reach)
    across -= np.float32(bend) * np.square(along)
    width = np.float32(math.hypot(canvas.seeing / reach, 0.01)) + np.float32(0.02) * np.abs(along)
    beam = np.exp(np.maximum(np.square(across / width) * np.float32(-0.5), np.float32(-30.0)))
    counter = 0.0 if rng.random() < 0.7 else rng.uniform(0.1, 0.8)
    way = np.where(along > 0, np.float32(1.0), np.float32(counter))
    distance = np.abs(along)
    profile = (
        np.float32(rng.uniform(0.2, 0.8))
        * np.exp(distance * np.float32(-1.5))
        * _step((np.float32(0.97) - distance) * np.float32(20.0))
    )
    for _ in range(int(rng.integers(2, 7))):
        at, size = (
            np.float32(rng.uniform(0.12, 1.0)),
            np.float32(math.hypot(canvas.seeing / reach, rng.uniform(0.005, 0.04))),
        )
        profile += (
            np.float32(rng.uniform(0.3, 1.0))
            * (1.2 - at)
            * np.exp(np.square((distance - at) / size) * np.float32(-0.5))
        )
    level = max(canvas.outskirts, 8.0 * canvas.noise) * 3.0 * 0.02 ** (1.0 - strength)
    tint = np.ones(3, dtype=np.float32) if canvas.is_grey else np.array([0.75, 1.0, 1.25], dtype=np.float32)
    light = beam * profile * way
    return canvas.with_light(coloured(np.asarray(light, dtype=np.float32), tint * np.float32(level)), box, noise_of=rng)


def dust_lane(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A dust lane across the galaxy: absorption that reddens, with clumps, often warped (as in Centaurus A)."""
    shape = canvas.shape
    box = canvas.box(shape.x, shape.y, 1.3 * shape.extent)
    rows, columns = canvas.grid(box)
    angle = shape.angle + (rng.normal(0.0, 0.1) if rng.random() < 0.6 else rng.uniform(0.0, math.pi))
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    dx, dy = columns - np.float32(shape.x), rows - np.float32(shape.y)
    along = (dx * cos + dy * sin) * np.float32(1.0 / shape.extent)
    # Through the nucleus, or a little in front of it.
    off = rng.normal(0.0, 0.12) * shape.radius
    across = (
        dy * cos - dx * sin - np.float32(off) - np.float32(shape.radius * rng.normal(0.0, 0.5)) * along * np.abs(along)
    )
    width = math.hypot(0.7 * canvas.seeing, shape.radius * rng.uniform(0.08, 0.25))
    depth = np.exp(np.maximum(np.square(across * np.float32(1.0 / width)) * np.float32(-0.5), np.float32(-30.0)))
    depth *= np.exp(np.square(along) * np.float32(-1.0 / rng.uniform(0.25, 0.6) ** 2))
    depth *= _clumps(across.shape, rng)
    optical_depth = 3.0 * rng.uniform(0.7, 1.3) * 0.03 ** (1.0 - strength)
    # Extinction of the bands relative to the middle one (Cardelli, Clayton & Mathis 1989, i to g).
    law = np.ones(3) if canvas.is_grey else np.array([0.7, 1.0, 1.35])
    # Some of the stars are in front of the dust.
    behind = np.float32(rng.uniform(0.6, 0.95))
    taken = _above_sky(canvas, box)
    for channel in range(3):
        absorbed = np.expm1(depth * np.float32(-law[channel] * optical_depth))
        taken[..., channel] *= absorbed * behind
    return canvas.with_light(taken, box)


def _above_sky(canvas: Canvas, box: Box) -> Light:
    """Light of the picture in a box that stands out of the sky and its noise, not below 0."""
    part = canvas.stretch.decode(canvas.picture[box.top : box.bottom, box.left : box.right])
    for channel in range(3):
        part[..., channel] -= canvas.sky[channel] + np.float32(1.5 * canvas.noise)
    np.maximum(part, np.float32(0.0), out=part)
    return part


def _around(turn: Light, rng: np.random.Generator) -> Light:
    """Brightness around a ring, mean about 1: lopsided, with clumps of a few sizes."""
    table = np.ones(256)
    angle = np.arange(256) * (2.0 * math.pi / 256.0)
    for harmonic, spread in ((1, 0.25), (2, 0.2), (3, 0.1), (5, 0.1), (8, 0.1), (13, 0.08), (19, 0.06)):
        table += rng.normal(0.0, spread) * np.cos(harmonic * angle + rng.uniform(0.0, 2.0 * math.pi))
    index = (turn * np.float32(256.0 / (2.0 * math.pi))).astype(np.intp) & 255
    return np.asarray(np.maximum(table, 0.15)[index], dtype=np.float32)


def _clumps(shape: tuple[int, ...], rng: np.random.Generator) -> Light:
    """A smooth random field with mean 1, six cells a side."""
    cells = Image.fromarray(rng.normal(1.0, 0.3, (6, 6)).astype(np.float32))
    field = np.asarray(cells.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))
    return np.asarray(np.maximum(field, np.float32(0.2)), dtype=np.float32)


def _step(value: Light) -> Light:
    """A smooth step from 0 to 1 within about 1 of 0."""
    return np.asarray(np.float32(0.5) + np.float32(0.5) * np.tanh(value), dtype=np.float32)
