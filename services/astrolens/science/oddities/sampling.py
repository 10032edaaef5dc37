"""Sampling of pictures at other places, and the transfer of one picture's object to another."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.stretch_model import Light, Pixels, empty_light


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a donor's object appears.

    Attributes:
        x: Column of its centre.
        y: Row of its centre.
        extent: Its visible semi-major axis, pixels of the target.
        peak: Mean light of its centre over the channels.
        recolour: Colour [3] that its centre takes; None keeps its own with some jitter.
    """

    x: float
    y: float
    extent: float
    peak: float
    recolour: Light | None = None


def place_object(canvas: Canvas, rng: np.random.Generator, placement: Placement) -> Light:
    """The light [H, W, 3] of the donor's central object, turned, scaled and cut out of its own sky."""
    donor = canvas.lender
    shape = donor.shape
    scale = placement.extent / shape.extent
    angle = rng.uniform(0.0, 2.0 * np.pi)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    # Target to source: PIL wants the inverse of the placement. Its pixel centres lie at +0.5.
    matrix = np.array([[flip * cos, flip * sin], [-sin, cos]])
    reach = 1.5 * placement.extent + 1.0
    left, right = _span(placement.x, reach, canvas.width)
    top, bottom = _span(placement.y, reach, canvas.height)
    layer = empty_light(canvas.height, canvas.width)
    layer.fill(0.0)
    if right - left < 2 or bottom - top < 2:
        return layer
    start = np.array([shape.x + 0.5, shape.y + 0.5]) - matrix @ [placement.x + 0.5 - left, placement.y + 0.5 - top]
    coefficients = (matrix[0, 0], matrix[0, 1], start[0], matrix[1, 0], matrix[1, 1], start[1])
    source = Image.fromarray(donor.picture)
    if scale < 0.6:
        factor = int(1.0 / scale)
        source = source.reduce(factor)
        coefficients = tuple(value / factor for value in coefficients)
    moved = source.transform(
        (right - left, bottom - top), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )
    blur = canvas.seeing**2 - (donor.seeing * scale) ** 2
    if blur > 0.25:
        # A donor that is made smaller would be sharper than the target's seeing allows.
        moved = moved.filter(ImageFilter.GaussianBlur(float(np.sqrt(blur))))
    light = canvas.stretch.decode(np.asarray(moved)) - donor.sky
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(placement.x)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(placement.y)
    at = shape.elliptical_radius(
        np.float32(matrix[0, 0]) * x + np.float32(matrix[0, 1]) * y + np.float32(shape.x),
        np.float32(matrix[1, 0]) * x + np.float32(matrix[1, 1]) * y + np.float32(shape.y),
    )
    mask = np.clip((np.float32(1.4 * shape.extent) - at) / np.float32(0.6 * shape.extent), 0.0, 1.0)
    # Its sky's noise stays behind: only what stands out is moved, and a second sky is not added.
    mask *= np.clip(light.sum(axis=2) / np.float32(9.0 * donor.noise + 1e-9), 0.0, 1.0)
    light *= mask[..., None]
    tint = rng.normal(1.0, 0.12, 3) if placement.recolour is None else placement.recolour / donor.colour
    if canvas.is_grey:
        light[...] = light.mean(axis=2, keepdims=True)
        tint = np.ones(3)
    light *= np.asarray(np.clip(tint, 0.4, 2.5) * placement.peak / donor.peak, dtype=np.float32)
    layer[top:bottom, left:right] = light
    return layer


def shift_plane(plane: Pixels, dx: float, dy: float, turn: float = 0.0) -> Pixels:
    """A plane [H, W] uint8 moved by a fraction of a pixel or more and turned by radians; edges repeat."""
    height, width = plane.shape
    pad = int(np.ceil(max(abs(dx), abs(dy)) + abs(turn) * max(height, width) / 2.0)) + 2
    padded = Image.fromarray(np.pad(plane, pad, mode="edge"))
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    middle_x, middle_y = width / 2.0, height / 2.0
    start_x = middle_x + pad - dx - cos * middle_x - sin * middle_y
    start_y = middle_y + pad - dy + sin * middle_x - cos * middle_y
    moved = padded.transform(
        (width, height), Image.Transform.AFFINE, (cos, sin, start_x, -sin, cos, start_y), Image.Resampling.BILINEAR
    )
    return np.asarray(moved)


def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    return int(np.clip(np.floor(centre - reach), 0, size)), int(np.clip(np.ceil(centre + reach) + 1, 0, size))
