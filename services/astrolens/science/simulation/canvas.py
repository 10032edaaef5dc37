"""The patch of sky that is being painted, in three bands, before telescope and detector see it."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from astrolens.science.simulation.instruments import Instrument

Plane = NDArray[np.float32]
Sed = NDArray[np.float32]
"""Flux in each band relative to the r band, [3]."""

SIDE = 256
"""Pixels of the finished picture."""

MARGIN = 16
"""Pixels painted beyond each edge, so that the point-spread function wraps around outside of the picture."""

FULL = SIDE + 2 * MARGIN


@dataclass(slots=True)
class Canvas:
    """Three bands of `FULL` x `FULL` pixels in nanomaggies, and the dice.

    Attributes:
        instrument: The survey.
        rng: The image's own generator.
        bands: [3, FULL, FULL]: blue, green, red.
        notes: What was painted: the truth that the pipeline never sees.
    """

    instrument: Instrument
    rng: Generator
    bands: NDArray[np.float32] = field(default_factory=lambda: np.zeros((3, FULL, FULL), dtype=np.float32))
    notes: dict[str, float] = field(default_factory=dict)

    def add(self, plane: Plane, flux: float, sed: Sed, *, total: float | None = None) -> None:
        """Paint a component.

        Args:
            plane: Its shape, [FULL, FULL], any scale.
            flux: Its total flux in r, nanomaggies.
            sed: Its colour.
            total: What `plane` sums to on an endless canvas; by default its sum on this one.
        """
        scale = flux / max(float(plane.sum()) if total is None else total, 1e-12)
        for band in range(3):
            self.bands[band] += plane * np.float32(scale * sed[band])

    def splat(self, x: NDArray[np.float64], y: NDArray[np.float64], flux: NDArray[np.float64], seds: Plane) -> None:
        """Paint points between the pixels that surround them.

        Args:
            x: Pixels from the centre, [n].
            y: Pixels from the centre, [n].
            flux: Nanomaggies in r, [n].
            seds: [n, 3] or [3].
        """
        column, row = x + FULL / 2 - 0.5, y + FULL / 2 - 0.5
        left, low = np.floor(column).astype(int), np.floor(row).astype(int)
        right_part, upper_part = column - left, row - low
        weights = np.broadcast_to(seds, (x.size, 3)) * flux[:, None]
        for step_x, step_y in ((0, 0), (1, 0), (0, 1), (1, 1)):
            share = (right_part if step_x else 1 - right_part) * (upper_part if step_y else 1 - upper_part)
            at_x, at_y = left + step_x, low + step_y
            inside = (at_x >= 0) & (at_x < FULL) & (at_y >= 0) & (at_y < FULL)
            for band in range(3):
                np.add.at(
                    self.bands[band], (at_y[inside], at_x[inside]), (weights[inside, band] * share[inside]).astype("f4")
                )

    def sed(self, g_minus_r: float) -> Sed:
        """The colour of ordinary starlight: redder in g-r is redder in r-i (or r-z) too."""
        red = 0.02 + self.instrument.red_leak * g_minus_r
        return np.array([10 ** (-0.4 * g_minus_r), 1.0, 10 ** (0.4 * red)], dtype=np.float32)

    def pixels(self, arcsec: float) -> float:
        """An angle in pixels."""
        return arcsec / self.instrument.pixel_scale_arcsec


@dataclass(frozen=True, slots=True)
class Frame:
    """Coordinates of a tilted ellipse: pixels along its axes, and the elliptical radius."""

    along: Plane
    across: Plane
    radius: Plane


@lru_cache(maxsize=1)
def _axis() -> Plane:
    return np.arange(FULL, dtype=np.float32) - np.float32(FULL / 2 - 0.5)


def frame(x: float, y: float, axis_ratio: float, angle: float, *, soften: float = 0.35) -> Frame:
    """Coordinates around a centre.

    Args:
        x: Centre, pixels from the canvas's centre.
        y: The same.
        axis_ratio: Minor over major axis; `across` is divided by it, as a thin disc is deprojected.
        angle: Of the major axis, radians.
        soften: Pixels: the finite size of a pixel, which keeps cuspy centres finite.
    """
    axis = _axis()
    dx, dy = axis[None, :] - np.float32(x), axis[:, None] - np.float32(y)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along: Plane = dx * cosine + dy * sine
    across = (dy * cosine - dx * sine) * np.float32(1.0 / axis_ratio)
    radius = np.sqrt(along * along + across * across + np.float32(soften * soften))
    return Frame(along, np.asarray(across, dtype=np.float32), np.asarray(radius, dtype=np.float32))


def texture(rng: Generator, cells: int) -> Plane:
    """Smooth random hills of unit variance, `cells` along a side, [FULL, FULL]."""
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    hills: Plane = np.asarray(Image.fromarray(coarse).resize((FULL, FULL), Image.Resampling.BICUBIC))
    scaled: Plane = hills / np.float32(max(float(hills.std()), 1e-6))
    return scaled
