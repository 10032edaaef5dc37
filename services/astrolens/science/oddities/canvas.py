"""The picture that an oddity is drawn on: its light, sky, noise, seeing and central object, measured once."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

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
    def lender(self) -> "Canvas":
        """The canvas whose object is borrowed: the donor, or this one."""
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
    def noise(self) -> float:
        """Standard deviation of the sky in one channel, in light; at least a third of a count."""
        return float(sky_noise(self.picture) / 255.0 * self.stretch.q / np.sinh(self.stretch.q))

    @cached_property
    def is_grey(self) -> bool:
        """Whether the three channels are the same: a picture of one band."""
        return bool(np.abs(self.picture[..., 0].astype(np.int16) - self.picture[..., 2])[::3].max() <= 1)

    @cached_property
    def core(self) -> Light:
        """Light of the object's centre above the sky [3]: mean of 3 x 3 pixels, at least five times the noise."""
        row = int(np.clip(round(self.shape.y), 1, self.height - 2))
        column = int(np.clip(round(self.shape.x), 1, self.width - 2))
        middle = self.light[row - 1 : row + 2, column - 1 : column + 2].reshape(-1, 3).mean(axis=0) - self.sky
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
        y, x = _window(self)
        distance = np.hypot(x - self.shape.x, y - self.shape.y)
        ring = (distance >= 2.0) & (distance < 3.2)
        if not ring.any():
            return largest
        around = float((self.light[y[ring], x[ring]] - self.sky).mean())
        fall = np.log(max(self.peak / max(around, 1e-6), 1.05))
        return float(np.clip(2.5 / np.sqrt(2.0 * fall), 0.8, largest))

    def grid(self, step: int = 1) -> tuple[Light, Light]:
        """Rows and columns of every pixel: `y` [H, 1] and `x` [1, W], to be broadcast."""
        y = np.arange(0, self.height, step, dtype=np.float32)[:, None]
        x = np.arange(0, self.width, step, dtype=np.float32)[None, :]
        return y, x

    def with_light(self, added: Light, rng: np.random.Generator | None = None) -> Pixels:
        """The picture with light [H, W] or [H, W, 3] added (or taken away), with the added light's own noise.

        Pixels without added light stay as they are.
        """
        extra = added if added.ndim == 3 else np.broadcast_to(added[..., None], self.picture.shape)
        if rng is not None:
            extra = extra + self.photon_noise(extra, rng)
        return self.stretch.encode(self.light + extra)

    def photon_noise(self, added: Light, rng: np.random.Generator) -> Light:
        """Noise of added light [H, W, C]: as much as the sky's where the light equals 25 times the sky's noise."""
        field = rng.standard_normal(added.shape[:2], dtype=np.float32)
        noise = empty_light(*added.shape[:2])
        for channel in range(3):
            # One field of random numbers, moved far apart, serves the three channels: drawing them costs most.
            noise[..., channel] = np.roll(field, 7 + 1013 * channel)
        noise *= np.sqrt(np.abs(added) * np.float32(self.noise / 25.0))
        return noise


def _window(canvas: Canvas) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the 9 x 9 pixels around the object, inside the picture."""
    row = int(np.clip(round(canvas.shape.y), 4, canvas.height - 5)) if canvas.height > 9 else canvas.height // 2
    column = int(np.clip(round(canvas.shape.x), 4, canvas.width - 5)) if canvas.width > 9 else canvas.width // 2
    y, x = np.mgrid[max(row - 4, 0) : min(row + 5, canvas.height), max(column - 4, 0) : min(column + 5, canvas.width)]
    return y, x
