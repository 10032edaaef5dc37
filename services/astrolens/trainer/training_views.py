"""Views to train on: an ordinary picture, turned and shifted, half of the time with an oddity drawn on it.

Ordinary and odd pictures go through the same changes of framing, seeing, noise and stretch, which imitate other
instruments: a change alone must never tell one from the other, nor an unseen survey be strange by itself.
"""

import io
import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from astrolens.science.object_view import object_view_fraction
from astrolens.science.oddities import KINDS, draw_control, draw_oddity

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

ORDINARY: Final = "ordinary"
KIND_NAMES: Final = (ORDINARY, *(kind.name for kind in KINDS))
"""The kinds that the network tells apart, in the order of its output."""

_CONTEXT: Final = 1.6
"""Side of the picture that is drawn on, in sides of its object view: room for what comes in from outside."""
_ROOT2: Final = math.sqrt(2.0)


@dataclass(frozen=True)
class ViewRanges:
    """Shares and ranges of the changes; each view draws its own."""

    odd: float = 0.45
    """Share of the views with an oddity."""
    control: float = 0.10
    """Share of the views with something that leaves them ordinary: a far neighbour, a faint star."""
    turned: float = 0.5
    """Share that is turned by any angle, not only by a quarter."""
    zoom: float = 0.15
    """Natural logarithm of the largest zoom."""
    shift: float = 0.03
    """Of the side of the view."""
    coarse: float = 0.18
    """Share that is reduced and enlarged again: a larger pixel scale."""
    blurred: float = 0.35
    blur: float = 1.3
    """Largest standard deviation, pixels of the view."""
    gamma: float = 0.25
    """Natural logarithm of the largest exponent."""
    gain: float = 0.22
    """Natural logarithm of the largest factor of all colours."""
    colour: float = 0.10
    """Natural logarithm of the largest further factor of one colour."""
    background: float = 0.03
    """Largest offset of a colour, of the full range."""
    noisy: float = 0.5
    noise: float = 0.05
    """Largest standard deviation, of the full range."""
    single_band: float = 0.10
    """Share that is shown in grey."""
    compressed: float = 0.15
    """Share that goes through a JPEG of low quality."""


@dataclass(frozen=True)
class TrainingView:
    """A view with its label.

    Attributes:
        pixels: [3, size, size] uint8.
        kind: Index into `KIND_NAMES`; 0 is ordinary.
    """

    pixels: Pixels
    kind: int


def context_crop(cutout: Pixels) -> Pixels:
    """The centre of a square cutout [s, s, 3] that a training view can come from, with room around it."""
    side = cutout.shape[0]
    margin = int(side * (1.0 - min(1.0, _CONTEXT * object_view_fraction(Image.fromarray(cutout)))) / 2.0)
    return np.ascontiguousarray(cutout[margin : side - margin, margin : side - margin])


def draw_training_view(
    picture: Pixels, donor: Pixels, rng: np.random.Generator, *, size: int, ranges: ViewRanges
) -> TrainingView:
    """Draw one view.

    Args:
        picture: A context crop of an ordinary object, [s, s, 3].
        donor: One of another ordinary object, for what needs a second object.
        rng: All that is random comes from it.
        size: Side of the view, pixels.
        ranges: Shares and ranges of the changes.
    """
    kind, choice = ORDINARY, rng.random()
    picture, donor = _mirrored(picture, rng), _mirrored(donor, rng)
    if choice < ranges.odd:
        drawn = draw_oddity(picture, rng, donor)
        picture, kind = drawn.picture, drawn.kind
    elif choice < ranges.odd + ranges.control:
        picture = draw_control(picture, rng, donor)
    view = _framed(picture, rng, size=size, ranges=ranges)
    return TrainingView(
        np.ascontiguousarray(_other_instrument(view, rng, ranges).transpose(2, 0, 1)), KIND_NAMES.index(kind)
    )


def _mirrored(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Turned by quarters and mirrored at random, without interpolation."""
    turned = np.rot90(picture, int(rng.integers(4)))
    return np.ascontiguousarray(turned[:, ::-1] if rng.random() < 0.5 else turned)


def _framed(picture: Pixels, rng: np.random.Generator, *, size: int, ranges: ViewRanges) -> Pixels:
    """The object view with a little zoom and shift, and for some a turn by any angle."""
    frame = Image.fromarray(picture)
    fraction = object_view_fraction(frame) * math.exp(rng.uniform(-ranges.zoom, ranges.zoom))
    side = min(fraction, 1.0) * frame.width
    if rng.random() < ranges.turned:
        return _turned(frame, side, rng.uniform(0.0, 360.0), size)
    shift = rng.uniform(-ranges.shift, ranges.shift, size=2) * side
    left, top = np.clip((frame.width - side) / 2.0 + shift, 0.0, frame.width - side)
    box = (left, top, left + side, top + side)
    return np.asarray(frame.resize((size, size), Image.Resampling.BILINEAR, box=box))


def _turned(frame: Image.Image, side: float, angle: float, size: int) -> Pixels:
    """The centred square of `side` pixels, turned by `angle` degrees; corners beyond the frame are mirrored into it."""
    wide = min(float(frame.width), side * _ROOT2)
    margin = (frame.width - wide) / 2.0
    # Reduced first, with antialiasing, because a rotation samples without it.
    reduced_side = round(size * wide / side)
    box = (margin, margin, frame.width - margin, frame.width - margin)
    reduced = np.asarray(frame.resize((reduced_side, reduced_side), Image.Resampling.BILINEAR, box=box))
    missing = max(0, math.ceil((size * _ROOT2 - reduced_side) / 2.0)) + 1
    padded = np.pad(reduced, ((missing, missing), (missing, missing), (0, 0)), mode="reflect")
    turned = Image.fromarray(padded).rotate(angle, Image.Resampling.BILINEAR)
    first = (turned.width - size) // 2
    return np.asarray(turned.crop((first, first, first + size, first + size)))


def _other_instrument(view: Pixels, rng: np.random.Generator, ranges: ViewRanges) -> Pixels:
    """Pixel scale, seeing, stretch, colour, background, noise, bands and compression of another instrument."""
    size = view.shape[0]
    if rng.random() < ranges.coarse:
        coarse = max(8, round(size / rng.uniform(1.2, 2.5)))
        reduced = Image.fromarray(view).resize((coarse, coarse), Image.Resampling.BOX)
        view = np.asarray(reduced.resize((size, size), Image.Resampling.BILINEAR))
    values = view.astype(np.float32) / np.float32(255.0)
    if rng.random() < ranges.blurred:
        sigma = rng.uniform(0.3, max(0.3, ranges.blur))
        values = gaussian_filter(values, (sigma, sigma, 0.0))
    values = np.clip(values, 0.0, 1.0) ** np.float32(math.exp(rng.uniform(-ranges.gamma, ranges.gamma)))
    gain = np.exp(rng.uniform(-ranges.gain, ranges.gain) + rng.uniform(-ranges.colour, ranges.colour, size=3))
    values = values * gain.astype(np.float32)
    values = values + rng.uniform(-ranges.background, ranges.background, size=3).astype(np.float32)
    if rng.random() < ranges.noisy:
        values = values + _noise(values.shape, rng, rng.uniform(0.0, ranges.noise))
    if rng.random() < ranges.single_band:
        values = np.repeat(values.mean(axis=2, keepdims=True), 3, axis=2)
    changed: Pixels = (np.clip(values, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    if rng.random() < ranges.compressed:
        buffer = io.BytesIO()
        Image.fromarray(changed).save(buffer, "JPEG", quality=int(rng.integers(60, 92)))
        with Image.open(buffer, formats=["JPEG"]) as picture:
            changed = np.asarray(picture.convert("RGB"))
    return changed


def _noise(shape: tuple[int, ...], rng: np.random.Generator, sigma: float) -> Floats:
    """Noise of each colour by itself, or, as in a picture of one band, of all together."""
    noise = rng.standard_normal(shape, dtype=np.float32) * np.float32(sigma)
    return noise if rng.random() < 0.5 else noise.mean(axis=2, keepdims=True) * np.float32(1.5)
