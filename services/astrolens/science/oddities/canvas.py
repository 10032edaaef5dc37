"""The picture that an oddity is drawn on: its light, sky, noise, seeing and central object, measured once."""

import math
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np

from astrolens.science.oddities.measurement import ObjectShape, measure_object, sky_level, sky_noise
from astrolens.science.oddities.stretch_model import AsinhStretch, Light, Pixels, empty_light


@dataclass(frozen=True)
class Canvas:
    """A picture and what was measured of it.

    Attributes:
        picture: [H, W, 3] uint8; never written to.
        stretch: The curve that turns light into the picture.
        donor: Another ordinary picture, with the same stretch.
    """

    picture: Pixels
    stretch: AsinhStretch = field(default_factory=AsinhStretch)
    donor: "Canvas | None" = None

    @property
    def donor_canvas(self) -> "Canvas":
        """The canvas whose object is copied: the donor, or this one without a donor."""
        return self.donor or self

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.picture.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.picture.shape[1])

    @property
    def side(self) -> int:
        """The shorter side, pixels."""
        return min(self.height, self.width)

    @cached_property
    def light(self) -> Light:
        """[H, W, 3], white is 1, with the sky in it."""
        return self.stretch.decode(self.picture)

    @cached_property
    def shape(self) -> ObjectShape:
        """The central object."""
        return measure_object(self.picture, self.sky_counts)

    @cached_property
    def sky_counts(self) -> Light:
        """Sky [3], counts."""
        return sky_level(self.picture)

    @cached_property
    def sky(self) -> Light:
        """Sky [3], in light."""
        counts = np.asarray(np.rint(self.sky_counts), dtype=np.uint8)
        sky: Light = self.stretch.decode(counts[None, None])[0, 0]
        return sky

    @cached_property
    def noise_counts(self) -> float:
        """Standard deviation of the sky in one channel, counts; at least 0.3."""
        return sky_noise(self.picture)

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the sky in one channel, in light."""
        return float(self.noise_counts / 255.0 * self.stretch.q / np.sinh(self.stretch.q))

    @cached_property
    def is_grey(self) -> bool:
        """Whether the three channels are the same: a picture of one band."""
        sample = self.picture[::3, ::3].astype(np.int16)
        return bool(
            np.abs(sample[..., 0] - sample[..., 2]).max() <= 1 and np.abs(sample[..., 0] - sample[..., 1]).max() <= 1
        )

    @cached_property
    def _window(self) -> tuple[Light, int, int]:
        """Light of the 9 x 9 pixels around the object's centre above the sky, and their first row and column."""
        top = max(0, min(round(self.shape.y) - 4, self.height - 9))
        left = max(0, min(round(self.shape.x) - 4, self.width - 9))
        return self.stretch.decode(self.picture[top : top + 9, left : left + 9]) - self.sky, top, left

    @cached_property
    def core(self) -> Light:
        """Light of the object's centre above the sky [3]: mean of 3 x 3 pixels, at least five times the noise."""
        light, top, left = self._window
        row, column = min(max(round(self.shape.y) - top, 1), 7), min(max(round(self.shape.x) - left, 1), 7)
        middle = light[row - 1 : row + 2, column - 1 : column + 2].mean(axis=(0, 1))
        return np.asarray(np.maximum(middle, np.float32(5.0 * self.noise)), dtype=np.float32)

    @cached_property
    def peak(self) -> float:
        """Mean of `core` over the channels."""
        return float(self.core.mean())

    @cached_property
    def colour(self) -> Light:
        """Colour of the object's centre [3], mean 1."""
        return np.asarray(self.core / self.core.mean(), dtype=np.float32)

    @cached_property
    def seeing(self) -> float:
        """Standard deviation of a star's image, pixels, from the fall of light around the object's centre.

        An extended object gives too large a value: it is bounded by what surveys deliver.
        """
        largest = 0.8 + 0.01 * self.side
        if not self.shape.found:
            return 0.5 * (0.8 + largest)
        light, top, left = self._window
        y, x = np.mgrid[top : top + light.shape[0], left : left + light.shape[1]]
        distance = np.hypot(x - self.shape.x, y - self.shape.y)
        ring = (distance >= 2.0) & (distance < 3.2)
        if not ring.any():
            return largest
        fall = math.log(max(self.peak / max(float(light[ring].mean()), 1e-6), 1.05))
        return min(max(2.5 / math.sqrt(2.0 * fall), 0.8), largest)

    def light_at(self, elliptical_radius: float) -> Light:
        """Median light [3] above the sky on an ellipse around the object, pixels of its semi-major axis."""
        turn = np.linspace(0.0, 2.0 * math.pi, 48, endpoint=False)
        along, across = elliptical_radius * np.cos(turn), elliptical_radius * self.shape.axis_ratio * np.sin(turn)
        cos, sin = math.cos(self.shape.angle), math.sin(self.shape.angle)
        columns = np.clip(np.rint(self.shape.x + along * cos - across * sin), 0, self.width - 1).astype(np.intp)
        rows = np.clip(np.rint(self.shape.y + along * sin + across * cos), 0, self.height - 1).astype(np.intp)
        light = self.stretch.decode(self.picture[rows, columns][None])[0]
        return np.asarray(np.median(light, axis=0) - self.sky, dtype=np.float32)

    @cached_property
    def outskirts(self) -> float:
        """Mean light of the object's outer parts over the channels; at least three times the noise."""
        return max(float(self.light_at(1.3 * self.shape.radius).mean()), 3.0 * self.noise)

    def outskirts_colour(self, rng: np.random.Generator, *, bluer: float = 0.0) -> Light:
        """Colour [3] of the object's outer parts with some scatter, mean 1.

        Args:
            rng: For the scatter.
            bluer: How much bluer than they are: the logarithm of half the change of the ratio of blue to red.
        """
        if self.is_grey:
            return np.ones(3, dtype=np.float32)
        own = np.maximum(self.light_at(1.3 * self.shape.radius), np.float32(self.noise)) + np.float32(self.noise)
        tint = own * np.exp(bluer * np.array([-1.0, 0.0, 1.0]) + rng.normal(0.0, 0.08, 3))
        return np.asarray(tint / tint.mean(), dtype=np.float32)

    def box(self, x: float, y: float, reach: float) -> "Box":
        """The part of the frame within `reach` of a point in both directions; at least 2 x 2 pixels of it."""
        left, right = _span(x, reach, self.width)
        top, bottom = _span(y, reach, self.height)
        return Box(top, bottom, left, right)

    def grid(self, box: "Box | None" = None) -> tuple[Light, Light]:
        """Rows `y` [h, 1] and columns `x` [1, w] of the pixels of the frame or of a box, to be broadcast."""
        top, bottom, left, right = box or (0, self.height, 0, self.width)
        return np.arange(top, bottom, dtype=np.float32)[:, None], np.arange(left, right, dtype=np.float32)[None, :]

    def with_light(
        self, added: Light, box: "Box | None" = None, *, noise_of: np.random.Generator | None = None
    ) -> Pixels:
        """The picture with light added (or, where it is negative, taken away). Other pixels stay as they are.

        Args:
            added: [h, w] or [h, w, 3], of the frame or of the box.
            box: Where the light is.
            noise_of: Adds the noise of the light's own photons.
        """
        result = self.picture.copy()
        part = result if box is None else result[box.top : box.bottom, box.left : box.right]
        light = self.stretch.decode(part)
        noise = None if noise_of is None else self.photon_noise(added, noise_of)
        for channel in range(3):
            light[..., channel] += added if added.ndim == 2 else added[..., channel]
            if noise is not None:
                light[..., channel] += noise[..., channel]
        part[...] = self.stretch.encode(light)
        return result

    def photon_noise(self, light: Light, rng: np.random.Generator) -> Light:
        """Noise [h, w, 3] of light [h, w] or [h, w, 3]: as much as the sky's where it is 25 times the sky's noise."""
        height, width = light.shape[:2]
        scale = np.float32(self.noise / 25.0)
        noise = empty_light(height, width)
        field = _normal_deviates()
        for channel, start in enumerate(rng.integers(0, max(1, field.size - height * width), 3)):
            size = np.resize if height * width > field.size else np.reshape
            deviates = size(field[start : start + height * width], (height, width))
            deviation = np.abs(light if light.ndim == 2 else light[..., channel])
            deviation *= scale
            np.multiply(np.sqrt(deviation, out=deviation), deviates, out=noise[..., channel])
        return noise


class Box(NamedTuple):
    """A rectangle of the frame: first row, end row, first column, end column."""

    top: int
    bottom: int
    left: int
    right: int


def _span(centre: float, reach: float, size: int) -> tuple[int, int]:
    start = min(max(math.floor(centre - reach), 0), size - 2)
    return start, max(min(math.ceil(centre + reach) + 1, size), start + 2)


@cache
def _normal_deviates() -> Light:
    """A table of normal deviates: to draw new ones for every picture would cost more than all else."""
    return np.random.default_rng(20_261_125).standard_normal(1 << 19, dtype=np.float32)
