"""Sampling of pictures at other places, and the transfer of one picture's object to another."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from astrolens.science.oddities.canvas import Box, Canvas
from astrolens.science.oddities.stretch_model import Light, Pixels


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a donor's object appears.

    Attributes:
        x: Column of its centre.
        y: Row of its centre.
        extent: Its visible semi-major axis, pixels of the target.
        peak: Mean light of its centre over the channels.
        recolour: Colour [3], mean 1, that it takes for the most part; None keeps its own with some jitter.
    """

    x: float
    y: float
    extent: float
    peak: float
    recolour: Light | None = None


def place_object(canvas: Canvas, rng: np.random.Generator, placement: Placement) -> tuple[Light, Box]:
    """The light [h, w, 3] of the donor's central object, turned, scaled and cut out of its sky; and where it lies."""
    donor = canvas.donor_canvas
    shape = donor.shape
    scale = placement.extent / shape.extent
    angle = rng.uniform(0.0, 2.0 * math.pi)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    box = canvas.box(placement.x, placement.y, 1.5 * placement.extent + 1.0)
    # Target to source, which PIL wants. Its pixel centres lie at +0.5.
    to_x, to_y = placement.x + 0.5 - box.left, placement.y + 0.5 - box.top
    start_x = shape.x + 0.5 - flip * (cos * to_x + sin * to_y)
    start_y = shape.y + 0.5 + sin * to_x - cos * to_y
    coefficients = [flip * cos, flip * sin, start_x, -sin, cos, start_y]
    source = Image.fromarray(donor.picture)
    if scale < 0.6:
        factor = int(1.0 / scale)
        source = source.reduce(factor)
        coefficients = [value / factor for value in coefficients]
    size = (box.right - box.left, box.bottom - box.top)
    moved = source.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    blur = canvas.seeing**2 - (donor.seeing * scale) ** 2
    if scale > 1.6:
        # Enlarged noise would be blotches.
        blur = max(blur, (0.35 * scale) ** 2)
    if blur > 0.25:
        # A donor that is made smaller would be sharper than the target's seeing allows.
        moved = moved.filter(ImageFilter.GaussianBlur(math.sqrt(blur)))
    light = canvas.stretch.decode(np.asarray(moved))
    for channel in range(3):
        light[..., channel] -= donor.sky[channel]
    rows, columns = canvas.grid(box)
    dx, dy = columns - np.float32(placement.x), rows - np.float32(placement.y)
    at = shape.elliptical_radius(
        np.float32(flip * cos) * dx + np.float32(flip * sin) * dy + np.float32(shape.x),
        np.float32(-sin) * dx + np.float32(cos) * dy + np.float32(shape.y),
    )
    mask = np.clip(np.float32(1.4 / 0.6) - at * np.float32(1.0 / (0.6 * shape.extent)), 0.0, 1.0)
    # A faint donor is not made bright: that would enlarge its noise.
    gain = min(placement.peak / donor.peak, 2.0)
    # Its sky's noise stays behind: only what stands out is moved, and a second sky is not added.
    grey = (light[..., 0] + light[..., 1] + light[..., 2]) * np.float32(1.0 / 3.0)
    smooth = np.asarray(moved.convert("L").filter(ImageFilter.BoxBlur(max(1.0, 1.2 * scale))), dtype=np.float32)
    noise = donor.noise_counts * max(1.0, gain)
    mask *= np.clip(
        (smooth - np.float32(donor.sky_counts.mean())) * np.float32(0.4 / noise) - np.float32(0.3), 0.0, 1.0
    )
    mask *= np.float32(gain)
    if canvas.is_grey:
        own, given = 0.0, np.ones(3, dtype=np.float32)
    elif placement.recolour is None:
        own, given = 1.0, np.zeros(3, dtype=np.float32)
        light *= rng.normal(1.0, 0.12, 3).clip(0.6, 1.5).astype(np.float32)
    else:
        own, given = 0.3, np.float32(0.7) * placement.recolour
    for channel in range(3):
        band = light[..., channel]
        band *= np.float32(own)
        band += grey * given[channel]
        band *= mask
    return light, box


def shift_plane(plane: Pixels, dx: float, dy: float, turn: float = 0.0) -> Pixels:
    """A plane [H, W] uint8 moved by a fraction of a pixel or more and turned by radians; edges repeat."""
    height, width = plane.shape
    pad = math.ceil(max(abs(dx), abs(dy)) + abs(turn) * max(height, width) / 2.0) + 2
    padded = Image.fromarray(np.pad(plane, pad, mode="edge"))
    cos, sin = math.cos(turn), math.sin(turn)
    middle_x, middle_y = width / 2.0, height / 2.0
    start_x = middle_x + pad - dx - cos * middle_x - sin * middle_y
    start_y = middle_y + pad - dy + sin * middle_x - cos * middle_y
    moved = padded.transform(
        (width, height), Image.Transform.AFFINE, (cos, sin, start_x, -sin, cos, start_y), Image.Resampling.BILINEAR
    )
    return np.asarray(moved)
