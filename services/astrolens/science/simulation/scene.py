"""The noiseless scene: surface brightness in three bands, before atmosphere and detector."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from astrolens.science.simulation.instruments import Instrument

Plane = NDArray[np.float32]
Sed = NDArray[np.float32]
"""Spectral energy distribution: flux in each band relative to the r band, [3]."""

PICTURE_SIDE = 256
"""Side of the finished picture, pixels."""

MARGIN = 16
"""Pixels beyond each edge of the picture: the convolution with the point-spread function wraps around in them."""

SCENE_SIDE = PICTURE_SIDE + 2 * MARGIN
"""Side of the scene, pixels."""


@dataclass(slots=True)
class Scene:
    """Three bands of `SCENE_SIDE` x `SCENE_SIDE` pixels, in nanomaggies (magnitude 22.5 is 1).

    Attributes:
        instrument: The survey.
        rng: Random generator of this image.
        bands: [3, SCENE_SIDE, SCENE_SIDE] in the order blue, green, red.
        parameters: Physical parameters of what was added; they become `Truth.parameters`.
    """

    instrument: Instrument
    rng: Generator
    bands: NDArray[np.float32] = field(default_factory=lambda: np.zeros((3, SCENE_SIDE, SCENE_SIDE), dtype=np.float32))
    parameters: dict[str, float] = field(default_factory=dict)

    def add_component(self, plane: Plane, flux: float, sed: Sed, *, total: float | None = None) -> None:
        """Add an extended component.

        Args:
            plane: Surface brightness, [SCENE_SIDE, SCENE_SIDE], arbitrary unit.
            flux: Total flux in r, nanomaggies.
            sed: Flux relative to r.
            total: Sum of `plane` over an unbounded scene; by default its sum over this one.
        """
        scale = flux / max(float(plane.sum()) if total is None else total, 1e-12)
        for band in range(3):
            self.bands[band] += plane * np.float32(scale * sed[band])

    def add_points(
        self, x: NDArray[np.float64], y: NDArray[np.float64], flux: NDArray[np.float64], seds: Plane
    ) -> None:
        """Add point sources, each distributed bilinearly over the four nearest pixels.

        Args:
            x: Pixels from the centre, [n].
            y: Pixels from the centre, [n].
            flux: Flux in r, nanomaggies, [n].
            seds: Flux relative to r, [n, 3] or [3].
        """
        column, row = x + SCENE_SIDE / 2 - 0.5, y + SCENE_SIDE / 2 - 0.5
        left, low = np.floor(column).astype(int), np.floor(row).astype(int)
        right_part, upper_part = column - left, row - low
        weights = np.broadcast_to(seds, (x.size, 3)) * flux[:, None]
        for step_x, step_y in ((0, 0), (1, 0), (0, 1), (1, 1)):
            share = (right_part if step_x else 1 - right_part) * (upper_part if step_y else 1 - upper_part)
            at_x, at_y = left + step_x, low + step_y
            inside = (at_x >= 0) & (at_x < SCENE_SIDE) & (at_y >= 0) & (at_y < SCENE_SIDE)
            for band in range(3):
                np.add.at(
                    self.bands[band], (at_y[inside], at_x[inside]), (weights[inside, band] * share[inside]).astype("f4")
                )

    def sed(self, g_minus_r: float) -> Sed:
        """The SED of starlight of a colour g-r (mag), on the stellar locus: redder in g-r is redder in r-i (or r-z)."""
        red = 0.02 + self.instrument.locus_slope * g_minus_r
        return np.array([10 ** (-0.4 * g_minus_r), 1.0, 10 ** (0.4 * red)], dtype=np.float32)

    def pixels(self, arcsec: float) -> float:
        """Convert arcseconds to pixels."""
        return arcsec / self.instrument.pixel_scale_arcsec


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates of each pixel in the axes of an inclined ellipse, pixels, each [SCENE_SIDE, SCENE_SIDE].

    Attributes:
        along: Along the major axis.
        across: Along the minor axis, divided by the axis ratio.
        radius: Elliptical radius.
    """

    along: Plane
    across: Plane
    radius: Plane


@lru_cache(maxsize=1)
def _axis() -> Plane:
    return np.arange(SCENE_SIDE, dtype=np.float32) - np.float32(SCENE_SIDE / 2 - 0.5)


def frame(x: float, y: float, axis_ratio: float, angle: float, *, soften: float = 0.35) -> Frame:
    """Elliptical coordinates around a centre.

    Args:
        x: Centre, pixels from the scene's centre.
        y: The same.
        axis_ratio: Minor over major axis; dividing by it deprojects a thin disc.
        angle: Of the major axis, radians.
        soften: Added to the radius in quadrature, pixels: it keeps cuspy profiles finite in the central pixel.
    """
    axis = _axis()
    dx, dy = axis[None, :] - np.float32(x), axis[:, None] - np.float32(y)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along: Plane = dx * cosine + dy * sine
    across = (dy * cosine - dx * sine) * np.float32(1.0 / axis_ratio)
    radius = np.sqrt(along * along + across * across + np.float32(soften * soften))
    return Frame(along, np.asarray(across, dtype=np.float32), np.asarray(radius, dtype=np.float32))


def texture(rng: Generator, cells: int) -> Plane:
    """A smooth random field of unit variance with `cells` grid points along a side, [SCENE_SIDE, SCENE_SIDE]."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    smooth: Plane = np.asarray(Image.fromarray(coarse).resize((SCENE_SIDE, SCENE_SIDE), Image.Resampling.BICUBIC))
    scaled: Plane = smooth / np.float32(max(float(smooth.std()), 1e-6))
    return scaled
