"""Augmentation: changes of geometry, seeing, noise and stretch that do not make an object unusual.

It makes the embedding robust, so that the detectors do not react to small changes of a survey.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from astrolens.trainer.image_arrays import source_fraction


@dataclass(frozen=True)
class AugmentationRanges:
    """Range of each change; changes are drawn independently for each image."""

    zoom: float = 0.18
    """Natural logarithm of the largest zoom."""
    shift: float = 0.04
    """Share of the side of a view."""
    gain: float = 0.22
    """Natural logarithm of the largest factor of all channels."""
    colour: float = 0.10
    """Natural logarithm of the largest factor of one colour."""
    gamma: float = 0.25
    """Natural logarithm of the largest exponent."""
    background: float = 0.04
    """Largest offset of one colour, in units of the full range."""
    noise: float = 0.05
    """Largest standard deviation, in units of the full range."""
    blur: float = 0.9
    """Largest weight of the blurred image in the mixture."""


def augment(
    sources: Tensor, fractions: Sequence[float], *, size: int, generator: torch.Generator, ranges: AugmentationRanges
) -> Tensor:
    """Compute augmented inputs of the backbone.

    Args:
        sources: [n, views, 3, side, side] uint8; each covers `source_fraction` of the frame around a view.
        fractions: Fractions of the frame that the views cover.
        size: Side of a view, pixels.
        generator: Source of all randomness.
        ranges: Ranges of the changes.

    Returns:
        [n, 3 · views, size, size] float32, 0 to 255.
    """
    count = len(sources)
    transform = _linear_transforms(count, generator, ranges)
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * ranges.shift * 2
    views = []
    for index, fraction in enumerate(fractions):
        wide = source_fraction(fraction)
        theta = torch.cat((transform * (fraction / wide), (shift / wide)[:, :, None]), dim=2)
        # Sampled at twice the size and averaged down: as free of aliasing as the antialiased resize of preprocessing.
        grid = functional.affine_grid(theta, [count, 3, 2 * size, 2 * size], align_corners=False)
        pixels = sources[:, index].float()
        sampled = functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
        views.append(functional.avg_pool2d(sampled, 2))
    return _change_photometry(torch.cat(views, dim=1) / 255.0, fractions, generator, ranges) * 255.0


def _linear_transforms(count: int, generator: torch.Generator, ranges: AugmentationRanges) -> Tensor:
    """Rotation, reflection and zoom as matrices [n, 2, 2]."""
    angle = torch.rand(count, generator=generator) * 2 * math.pi
    # Half of the images are rotated by multiples of 90 degrees only, which needs no interpolation and no padding.
    right = (torch.rand(count, generator=generator) < 0.5).float()
    angle = right * torch.round(angle / (math.pi / 2)) * (math.pi / 2) + (1 - right) * angle
    zoom = torch.exp((torch.rand(count, generator=generator) * 2 - 1) * ranges.zoom)
    mirror = (torch.rand(count, generator=generator) < 0.5).float() * 2 - 1
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    first = torch.stack((cosine * mirror, -sine), dim=1)
    second = torch.stack((sine * mirror, cosine), dim=1)
    return torch.stack((first, second), dim=1)


def _change_photometry(
    images: Tensor, fractions: Sequence[float], generator: torch.Generator, ranges: AugmentationRanges
) -> Tensor:
    """Change seeing, stretch, gain, colour, background and noise; all views of an image alike, except for noise."""
    count, channels = images.shape[:2]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    images = _blur(images, fractions, uniform(count, 1, 1, 1) * (uniform(count, 1, 1, 1) < 0.5) * ranges.blur)
    gamma = torch.exp((uniform(count, 1, 1, 1) * 2 - 1) * ranges.gamma)
    images = images.clamp(1e-4, 1.0) ** gamma
    gain = torch.exp(
        (uniform(count, 1, 1, 1) * 2 - 1) * ranges.gain
        + (uniform(count, 3, 1, 1) * 2 - 1).repeat(1, channels // 3, 1, 1) * ranges.colour
    )
    background = ((uniform(count, 3, 1, 1) * 2 - 1) * ranges.background).repeat(1, channels // 3, 1, 1)
    sigma = uniform(count, 1, 1, 1) * (uniform(count, 1, 1, 1) < 0.5) * ranges.noise
    noise = torch.randn(images.shape, generator=generator) * sigma
    return (images * gain + background + noise).clamp(0.0, 1.0)


def _blur(images: Tensor, fractions: Sequence[float], share: Tensor) -> Tensor:
    """Mix each image with a blurred copy. The radius in pixels is larger in a narrower view, for equal angles."""
    blurred = []
    for index, fraction in enumerate(fractions):
        view = images[:, 3 * index : 3 * index + 3]
        radius = max(1, round(0.8 / fraction))
        padded = functional.pad(view, (radius,) * 4, mode="replicate")
        blurred.append(functional.avg_pool2d(padded, 2 * radius + 1, stride=1))
    return images + share * (torch.cat(blurred, dim=1) - images)
