"""Where the central object of a picture is, how large it is and how it is oriented."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from astrolens.science.oddities.stretch_model import Light, Pixels

_WORKING_SIDE = 48
"""Shorter side of the reduced picture that is measured, pixels: enough for shapes, and fast."""


@dataclass(frozen=True, slots=True)
class ObjectShape:
    """The central object, by its visible light; pixels of the picture.

    Attributes:
        x: Column of the centre.
        y: Row of the centre.
        radius: Semi-major axis of the ellipse that holds half of the light.
        extent: Semi-major axis of the faintest visible isophote.
        axis_ratio: Minor over major axis, 0.15 to 1.
        angle: Of the major axis, radians from the row direction (x) towards y.
        found: Whether an object stands out of the noise; else the values are a guess by the frame's size.
    """

    x: float
    y: float
    radius: float
    extent: float
    axis_ratio: float
    angle: float
    found: bool

    def elliptical_radius(self, x: Light, y: Light) -> Light:
        """Semi-major axis of the ellipse through each point, pixels."""
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        dx, dy = x - np.float32(self.x), y - np.float32(self.y)
        along, across = dx * cos + dy * sin, (dy * cos - dx * sin) / np.float32(self.axis_ratio)
        return np.asarray(np.sqrt(along * along + across * across), dtype=np.float32)


def border(picture: NDArray[Any], step: int = 1) -> NDArray[Any]:
    """The outer 6 % of a picture [H, W, C] on each side, every `step`-th row and column, as [n, C]."""
    height, width = picture.shape[:2]
    rows, columns = max(2, height // 16), max(2, width // 16)
    strips = (picture[:rows], picture[-rows:], picture[:, :columns], picture[:, -columns:])
    return np.concatenate([strip[::step, ::step].reshape(-1, picture.shape[2]) for strip in strips])


def sky_level(picture: Pixels) -> Light:
    """Sky of each channel [3], counts. Below the median of the border, because large objects reach into it."""
    sample = np.sort(border(picture, 1 + min(picture.shape[:2]) // 100), axis=0)
    return np.asarray(sample[int(0.4 * len(sample))], dtype=np.float32)


def sky_noise(picture: Pixels) -> float:
    """Standard deviation of the sky in one channel, counts; at least 0.3.

    The larger of two estimates: the differences of neighbours (too small where compression has smoothed the noise) and
    the faint half of the border (too small where the sky is cut off at black).
    """
    step = 1 + min(picture.shape[:2]) // 32
    rows, columns = picture[::step, :, 1].astype(np.int16), picture[:, ::step, 1].astype(np.int16)
    steps = np.abs(np.concatenate((np.diff(rows, axis=1).ravel(), np.diff(columns, axis=0).ravel())))
    # Counts are integers: the median is interpolated within its bin.
    below = np.cumsum(np.bincount(steps)) / steps.size
    median = float(np.interp(0.5, np.concatenate(([0.0], below)), np.arange(len(below) + 1) - 0.5))
    edge = np.sort(border(picture[..., 1:2], step=1 + min(picture.shape[:2]) // 100).ravel())
    faint_half = float(edge[len(edge) * 4 // 10]) - float(edge[len(edge) // 16])
    return max(0.3, 1.4826 * median / math.sqrt(2.0), faint_half / 1.28)


def measure_object(picture: Pixels, sky: Light) -> ObjectShape:
    """Measure the central object of [H, W, 3] uint8 by adaptive second moments (Bernstein & Jarvis 2002).

    Args:
        picture: [H, W, 3] uint8.
        sky: Its sky level [3], counts.
    """
    height, width = picture.shape[:2]
    factor = max(1.0, min(height, width) / _WORKING_SIDE)
    size = (round(width / factor), round(height / factor))
    reduced = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX), dtype=np.float32)
    grey = (reduced[..., 0] + reduced[..., 1] + reduced[..., 2]) / np.float32(3.0) - np.float32(sky.mean())
    edge = np.sort(border(grey[..., None]).ravel())
    # The half of the border below the sky's level holds no object.
    noise = max(1.0, float(edge[len(edge) * 4 // 10] - edge[len(edge) // 16]) / 1.28)
    rows, columns = grey.shape
    side = float(min(rows, columns))
    x, y = np.arange(columns, dtype=np.float32)[None, :], np.arange(rows, dtype=np.float32)[:, None]
    smooth = ndimage.uniform_filter(grey, 3, mode="nearest")
    width_of_prior = np.float32(-1.0 / (0.22 * side) ** 2)
    favoured = smooth * np.exp(np.square(x - (columns - 1) / 2.0) * width_of_prior)
    favoured *= np.exp(np.square(y - (rows - 1) / 2.0) * width_of_prior)
    row, column = divmod(int(np.argmax(favoured)), columns)
    peak = float(smooth[row, column])
    if peak < max(4.0 * noise, 6.0):
        middle = (width - 1) / 2.0, (height - 1) / 2.0
        shorter = min(height, width)
        return ObjectShape(
            *middle, radius=0.06 * shorter, extent=0.15 * shorter, axis_ratio=0.8, angle=0.0, found=False
        )
    ellipse = _adaptive_moments(np.maximum(grey - np.float32(noise), np.float32(0.0)), column, row)
    axis_ratio = max(0.15, ellipse.minor / ellipse.major)
    in_reduced = ObjectShape(ellipse.x, ellipse.y, 1.0, 1.0, axis_ratio, ellipse.angle, found=True)
    half, extent = _radii(in_reduced.elliptical_radius(x, y), grey, noise=noise, peak=peak)
    centre = (ellipse.x + 0.5) * factor - 0.5, (ellipse.y + 0.5) * factor - 0.5
    return ObjectShape(*centre, half * factor, extent * factor, axis_ratio, ellipse.angle, found=True)


class _Ellipse(NamedTuple):
    """A Gaussian ellipse: centre, semi-axes (standard deviations) and angle of the major one."""

    x: float
    y: float
    major: float
    minor: float
    angle: float


def _adaptive_moments(light: Light, column: int, row: int) -> _Ellipse:
    """Fit a Gaussian ellipse to the light [H, W] around a pixel, by iterated weighted moments."""
    rows, columns = light.shape
    side = float(min(rows, columns))
    # Coordinates from the first guess, so that float32 squares stay exact enough.
    dx = np.broadcast_to(np.arange(columns, dtype=np.float32) - np.float32(column), light.shape).ravel()
    dy = np.repeat(np.arange(rows, dtype=np.float32) - np.float32(row), columns)
    powers = np.stack([np.ones_like(dx), dx, dy, dx * dx, dx * dy, dy * dy])
    flat = light.ravel()
    at_x = at_y = angle = 0.0
    major = minor = 0.06 * side
    for _ in range(7):
        cos, sin = math.cos(angle), math.sin(angle)
        a = (cos / major) ** 2 + (sin / minor) ** 2
        d = (sin / major) ** 2 + (cos / minor) ** 2
        b = cos * sin * (1.0 / major**2 - 1.0 / minor**2)
        constant = a * at_x**2 + 2.0 * b * at_x * at_y + d * at_y**2
        form = [constant, -2.0 * (a * at_x + b * at_y), -2.0 * (b * at_x + d * at_y), a, 2.0 * b, d]
        exponent = np.asarray([-0.5 * value for value in form], dtype=np.float32) @ powers
        weight = flat * np.exp(np.maximum(exponent, np.float32(-30.0)))
        total, mx, my, xx, xy, yy = (float(value) for value in powers @ weight)
        if total <= 0.0:
            break
        mx, my = mx / total, my / total
        xx, xy, yy = xx / total - mx * mx, xy / total - mx * my, yy / total - my * my
        at_x += min(max(mx - at_x, -0.04 * side), 0.04 * side)
        at_y += min(max(my - at_y, -0.04 * side), 0.04 * side)
        mean, half_difference = (xx + yy) / 2.0, math.hypot((xx - yy) / 2.0, xy)
        # The product of a Gaussian with its own weight is half as wide.
        major = min(max(math.sqrt(max(2.0 * (mean + half_difference), 0.0)), 0.7), 0.3 * side)
        minor = min(max(math.sqrt(max(2.0 * (mean - half_difference), 0.0)), 0.7), 0.3 * side)
        angle = 0.5 * math.atan2(2.0 * xy, xx - yy)
    return _Ellipse(column + at_x, row + at_y, major, minor, angle)


def _radii(elliptical: Light, grey: Light, *, noise: float, peak: float) -> tuple[float, float]:
    """Half-light radius and visible extent, pixels of the reduced picture."""
    bins = np.minimum(elliptical.ravel().astype(np.intp), 60)
    count = np.maximum(np.bincount(bins, minlength=61), 1)
    profile = np.bincount(bins, weights=grey.ravel(), minlength=61) / count
    faint = np.flatnonzero(profile < max(0.7 * noise, 0.04 * peak, 2.5))
    extent = min(max(float(faint[0]) if faint.size else 60.0, 2.0), 0.5 * min(grey.shape))
    # The stretch makes the outskirts too bright: a power of the counts stands for the light.
    growth = np.cumsum(np.where(np.arange(61) <= extent, np.maximum(profile, 0.0) ** 1.7 * count, 0.0))
    half = float(np.interp(0.5 * growth[-1], growth, np.arange(61) + 1.0)) if growth[-1] > 0.0 else extent / 2.0
    return min(max(half, 0.8), extent), extent
