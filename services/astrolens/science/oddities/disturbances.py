"""Galaxies out of balance: lopsided, warped, stretched to one side."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from astrolens.science.oddities.canvas import Box, Canvas
from astrolens.science.oddities.stretch_model import Pixels, coloured

Grid = NDArray[np.float64]

_CORNERS = (
    (slice(None, -1), slice(None, -1)),
    (slice(1, None), slice(None, -1)),
    (slice(1, None), slice(1, None)),
    (slice(None, -1), slice(1, None)),
)
"""Of the cells of a mesh, in PIL's order: counter-clockwise from the upper left."""

_MESH = 10
"""Cells of the mesh along each side: the displacement is smooth, so few suffice."""


def perturbed(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """One-sided changes of the galaxy's own light: lopsidedness, a bent disc, a plume drawn out to one side."""
    shape = canvas.shape
    box = canvas.box(shape.x, shape.y, min(2.0 * shape.extent, 0.72 * canvas.side))
    columns = np.linspace(box.left, box.right, _MESH + 1)
    rows = np.linspace(box.top, box.bottom, _MESH + 1)
    x, y = np.meshgrid(columns, rows)
    dx, dy = (x - shape.x - 0.5) / shape.extent, (y - shape.y - 0.5) / shape.extent
    move_x, move_y = _displacement(dx, dy, shape.angle, rng, 0.65 * strength)
    # Nothing moves at the box's edge, so that the picture stays whole.
    edge = np.minimum(np.minimum(x - box.left, box.right - x), np.minimum(y - box.top, box.bottom - y))
    calm = np.clip(edge / (0.25 * shape.extent), 0.0, 1.0) * shape.extent
    source_x = np.clip(x + move_x * calm, 0.5, canvas.width - 0.5)
    source_y = np.clip(y + move_y * calm, 0.5, canvas.height - 0.5)
    # Cells must meet at whole pixels.
    whole_x, whole_y = (np.rint(at).astype(int).tolist() for at in (columns - box.left, rows - box.top))
    corners = np.stack(
        [at[rows, columns] for rows, columns in _CORNERS for at in (source_x, source_y)], axis=-1
    ).tolist()
    mesh = [
        ((whole_x[column], whole_y[row], whole_x[column + 1], whole_y[row + 1]), corners[row][column])
        for row in range(_MESH)
        for column in range(_MESH)
        if whole_x[column] < whole_x[column + 1] and whole_y[row] < whole_y[row + 1]
    ]
    size = (box.right - box.left, box.bottom - box.top)
    moved = Image.fromarray(canvas.picture).transform(size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
    picture = _where_light_is(canvas, moved, box)
    if rng.random() < 0.35:
        picture = _star_forming(Canvas(picture, canvas.stretch), canvas, rng, strength)
    return picture


def _star_forming(moved: Canvas, before: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Young star clusters, blue, on one side of the galaxy: what an encounter sets off."""
    shape = before.shape
    box = before.box(shape.x, shape.y, 1.2 * shape.extent)
    rows, columns = before.grid(box)
    light = np.zeros((box.bottom - box.top, box.right - box.left), dtype=np.float32)
    favoured = rng.uniform(0.0, 2.0 * math.pi)
    for _ in range(int(rng.integers(3, 14))):
        towards, distance = favoured + rng.normal(0.0, 0.7), shape.extent * rng.uniform(0.1, 0.95)
        along, across = distance * math.cos(towards), distance * math.sin(towards) * max(shape.axis_ratio, 0.4)
        x = shape.x + along * math.cos(shape.angle) - across * math.sin(shape.angle)
        y = shape.y + along * math.sin(shape.angle) + across * math.cos(shape.angle)
        size = math.hypot(before.seeing, shape.extent * rng.uniform(0.0, 0.05))
        column = np.exp(
            np.maximum(np.square((columns - np.float32(x)) / np.float32(size)) * np.float32(-0.5), np.float32(-30.0))
        )
        row = np.exp(
            np.maximum(np.square((rows - np.float32(y)) / np.float32(size)) * np.float32(-0.5), np.float32(-30.0))
        )
        light += row * column * np.float32(rng.exponential(1.0))
    level = max(before.outskirts, 4.0 * before.noise) * 1.2 * 0.03 ** (1.0 - strength)
    return moved.with_light(
        coloured(light, before.outskirts_colour(rng, bluer=0.35) * np.float32(level)), box, noise_of=rng
    )


def _where_light_is(canvas: Canvas, moved: Image.Image, box: Box) -> Pixels:
    """The picture with the moved part where either shows light: stretched noise would betray the method."""
    before = Image.fromarray(canvas.picture[box.top : box.bottom, box.left : box.right])
    brighter = np.asarray(
        ImageChops.lighter(before, moved).convert("L").filter(ImageFilter.BoxBlur(2)), dtype=np.float32
    )
    sky, noise = float(canvas.sky_counts.mean()), max(canvas.noise_counts, 1.0)
    share = np.clip((brighter - np.float32(sky + noise)) * np.float32(0.4 / noise), 0.0, 1.0)
    mask = Image.fromarray(np.asarray(share * np.float32(255.0), dtype=np.uint8))
    result = canvas.picture.copy()
    result[box.top : box.bottom, box.left : box.right] = np.asarray(Image.composite(moved, before, mask))
    return result


def _displacement(dx: Grid, dy: Grid, angle: float, rng: np.random.Generator, strength: float) -> tuple[Grid, Grid]:
    """From each place to where its light comes from; lengths in visible extents of the object."""
    radius = np.hypot(dx, dy) + 1e-6
    towards = np.arctan2(dy, dx)
    favoured = rng.uniform(0.0, 2.0 * math.pi)
    outer = np.clip(radius / 0.8, 0.0, 1.0) ** 1.5
    move_x, move_y = np.zeros_like(dx), np.zeros_like(dy)
    ways = rng.permutation(4)[: int(rng.integers(1, 4))]
    if 0 in ways:
        # Lopsided: the light of one side comes from farther inside, that of the other from farther outside.
        drawn = -rng.uniform(0.3, 0.6) * strength * np.cos(towards - favoured) * outer
        move_x, move_y = move_x + drawn * dx, move_y + drawn * dy
    if 1 in ways:
        # Bent: the disc's ends leave its plane, to opposite sides, to the same side, or one end alone.
        cos, sin = math.cos(angle), math.sin(angle)
        along = dx * cos + dy * sin
        bend = rng.uniform(0.5, 1.1) * strength * np.clip(np.abs(along) - 0.15, 0.0, 0.9) ** 1.6
        ends = rng.choice(3)
        bend = bend * (np.sign(along) if ends == 0 else 1.0 if ends == 1 else along > 0.0)
        move_x, move_y = move_x - bend * sin, move_y + bend * cos
    if 2 in ways:
        # A plume: a narrow sector is drawn outwards.
        apart = np.angle(np.exp(1j * (towards - favoured)))
        drawn = -rng.uniform(0.35, 0.6) * strength * np.exp(-0.5 * np.square(apart / rng.uniform(0.25, 0.6))) * outer
        move_x, move_y = move_x + drawn * dx, move_y + drawn * dy
    if 3 in ways:
        # Swung: the outer parts of one side lag behind.
        swing = (
            rng.uniform(0.5, 1.2)
            * rng.choice([-1.0, 1.0])
            * strength
            * outer
            * (0.5 + 0.5 * np.cos(towards - favoured))
        )
        move_x = move_x + radius * (np.cos(towards + swing) - np.cos(towards))
        move_y = move_y + radius * (np.sin(towards + swing) - np.sin(towards))
    # Neighbours and sky beyond the galaxy stay.
    calm = np.clip((1.7 - radius) / 0.7, 0.0, 1.0)
    return move_x * calm, move_y * calm
