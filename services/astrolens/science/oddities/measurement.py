"""Where the central object of a picture is, how large it is and how it is oriented."""

import math
from dataclasses import dataclass
from typing import Any

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


def border(picture: NDArray[Any]) -> NDArray[Any]:
    """The outer 6 % of a picture [H, W, C] on each side, as [n, C]."""
    height, width = picture.shape[:2]
    rows, columns = max(2, height // 16), max(2, width // 16)
    strips = (picture[:rows], picture[-rows:], picture[:, :columns], picture[:, -columns:])
    return np.concatenate([strip.reshape(-1, picture.shape[2]) for strip in strips])


def sky_level(picture: Pixels) -> Light:
    """Sky of each channel [3], counts. Below the median of the border, because large objects reach into it."""
    return np.asarray(np.percentile(border(picture), 40.0, axis=0), dtype=np.float32)


def sky_noise(picture: Pixels) -> float:
    """Standard deviation of the sky in one channel, counts, by the differences of neighbours; at least 0.3."""
    grey = picture[..., 1].astype(np.float32)
    steps = np.concatenate((np.diff(grey[::4], axis=1).ravel(), np.diff(grey[:, ::4], axis=0).ravel()))
    # Neighbours are correlated by seeing and compression: their differences show two thirds of the noise.
    return max(0.3, 1.5 * 1.4826 * float(np.median(np.abs(steps))) / math.sqrt(2.0))


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
    grey = (reduced[..., 0] + reduced[..., 1] + reduced[..., 2]) / np.float32(3.0) - float(sky.mean())
    edge = border(grey[..., None])
    noise = max(1.0, 1.4826 * float(np.median(np.abs(edge - np.median(edge)))))
    rows, columns = grey.shape
    side = float(min(rows, columns))
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    smooth = ndimage.uniform_filter(grey, 3, mode="nearest")
    off_centre = np.hypot(x - (columns - 1) / 2.0, y - (rows - 1) / 2.0) / side
    favoured = smooth * np.exp(-np.square(off_centre / 0.22))
    row, column = np.unravel_index(int(np.argmax(favoured)), grey.shape)
    peak = float(smooth[row, column])
    if peak < max(4.0 * noise, 6.0):
        return ObjectShape(
            (width - 1) / 2.0,
            (height - 1) / 2.0,
            0.06 * min(height, width),
            0.15 * min(height, width),
            0.8,
            0.0,
            found=False,
        )
    centre, covariance = _adaptive_moments(np.maximum(grey - noise, 0.0), np.array([float(column), float(row)]), x, y)
    values, vectors = np.linalg.eigh(covariance)
    shape = ObjectShape(
        x=float(centre[0]),
        y=float(centre[1]),
        radius=1.0,
        extent=1.0,
        axis_ratio=float(np.clip(np.sqrt(values[0] / values[1]), 0.15, 1.0)),
        angle=float(np.arctan2(vectors[1, 1], vectors[0, 1])),
        found=True,
    )
    half, extent = _radii(shape.elliptical_radius(x, y), grey, noise=noise, peak=peak)
    return ObjectShape(
        x=(shape.x + 0.5) * factor - 0.5,
        y=(shape.y + 0.5) * factor - 0.5,
        radius=half * factor,
        extent=extent * factor,
        axis_ratio=shape.axis_ratio,
        angle=shape.angle,
        found=True,
    )


def _adaptive_moments(
    light: Light, centre: NDArray[np.float64], x: Light, y: Light
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre [2] and covariance [2, 2] of a Gaussian that is fitted to the light by iterated weighted moments."""
    side = float(min(light.shape))
    covariance = np.eye(2) * (0.06 * side) ** 2
    flat = light.ravel()
    # Coordinates from the first guess, so that float32 squares stay exact enough.
    origin = centre
    dx, dy = x.ravel() - np.float32(origin[0]), y.ravel() - np.float32(origin[1])
    powers = np.stack([np.ones_like(dx), dx, dy, dx * dx, dx * dy, dy * dy])
    at = np.zeros(2)
    for _ in range(8):
        (a, b), (_, d) = np.linalg.inv(covariance)
        form = [a * at[0] ** 2 + 2 * b * at[0] * at[1] + d * at[1] ** 2, -2 * (a * at[0] + b * at[1])]
        form += [-2 * (b * at[0] + d * at[1]), a, 2 * b, d]
        squared = np.asarray(form, dtype=np.float32) @ powers
        weight = flat * np.exp(np.maximum(squared * np.float32(-0.5), np.float32(-30.0)))
        total, mx, my, xx, xy, yy = (powers @ weight).astype(np.float64)
        if total <= 0.0:
            break
        mx, my = mx / total, my / total
        moments = np.array([[xx / total - mx * mx, xy / total - mx * my], [0.0, yy / total - my * my]])
        moments[1, 0] = moments[0, 1]
        at = at + np.clip([mx - at[0], my - at[1]], -0.04 * side, 0.04 * side)
        # The product of a Gaussian with its own weight is half as wide.
        covariance = _bounded(2.0 * moments, smallest=0.7, largest=0.3 * side)
    return origin + at, covariance


def _bounded(covariance: NDArray[np.float64], *, smallest: float, largest: float) -> NDArray[np.float64]:
    """The covariance with its axes within [smallest, largest]."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray((vectors * np.clip(values, smallest**2, largest**2)) @ vectors.T)


def _radii(elliptical: Light, grey: Light, *, noise: float, peak: float) -> tuple[float, float]:
    """Half-light radius and visible extent, pixels of the reduced picture."""
    bins = np.minimum(elliptical.ravel().astype(np.intp), 60)
    count = np.maximum(np.bincount(bins, minlength=61), 1)
    profile = np.bincount(bins, weights=grey.ravel(), minlength=61) / count
    faint = np.flatnonzero(profile < max(0.7 * noise, 0.04 * peak, 2.5))
    extent = float(np.clip(faint[0] if faint.size else 60, 2.0, 0.5 * min(grey.shape)))
    # The stretch makes the outskirts too bright: a power of the counts stands for the light.
    growth = np.cumsum(np.where(np.arange(61) <= extent, np.maximum(profile, 0.0) ** 1.7 * count, 0.0))
    half = float(np.interp(0.5 * growth[-1], growth, np.arange(61) + 1.0)) if growth[-1] > 0.0 else extent / 2.0
    return float(np.clip(half, 0.8, extent)), extent
