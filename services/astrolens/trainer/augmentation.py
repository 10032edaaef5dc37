"""What the sky and the instrument may do to a picture without making it strange.

It is what keeps the detectors calm when the seeing, the noise or the stretch of a survey drifts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from astrolens.trainer.pictures import source_fraction


@dataclass(frozen=True)
class AugmentationRanges:
    """How far each change goes; a change is drawn anew for each picture."""

    zoom: float = 0.18
    """Natural logarithm of the largest zoom."""
    shift: float = 0.04
    """Share of the frame."""
    gain: float = 0.22
    colour: float = 0.10
    gamma: float = 0.25
    background: float = 0.04
    noise: float = 0.05
    blur: float = 0.9
    """Largest share of the blurred picture in the mixture."""


def augment(
    sources: Tensor, fractions: Sequence[float], *, size: int, generator: torch.Generator, ranges: AugmentationRanges
) -> Tensor:
    """Augmented backbone inputs.

    Args:
        sources: [n, views, 3, side, side] uint8, each the square `source_fraction` of the frame around a view.
        fractions: The views' own fractions of the frame.
        size: Side of a view, pixels.
        generator: Source of all randomness.
        ranges: How far to go.

    Returns:
        [n, 3 · views, size, size] float32 in 0 … 255.
    """
    count = len(sources)
    turn = _turns(count, generator, ranges)
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * ranges.shift * 2
    views = []
    for index, fraction in enumerate(fractions):
        wide = source_fraction(fraction)
        theta = torch.cat((turn * (fraction / wide), (shift / wide)[:, :, None]), dim=2)
        # Twice the size and averaged down: as free of aliasing as the antialiased resize of the real pipeline.
        grid = functional.affine_grid(theta, [count, 3, 2 * size, 2 * size], align_corners=False)
        pixels = sources[:, index].float()
        turned = functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
        views.append(functional.avg_pool2d(turned, 2))
    return _photometry(torch.cat(views, dim=1) / 255.0, fractions, generator, ranges) * 255.0


def _turns(count: int, generator: torch.Generator, ranges: AugmentationRanges) -> Tensor:
    """Rotation, mirror and zoom as [n, 2, 2] matrices."""
    angle = torch.rand(count, generator=generator) * 2 * math.pi
    # Half of the pictures are turned by right angles only, which leaves their pixels and corners as they are.
    right = (torch.rand(count, generator=generator) < 0.5).float()
    angle = right * torch.round(angle / (math.pi / 2)) * (math.pi / 2) + (1 - right) * angle
    zoom = torch.exp((torch.rand(count, generator=generator) * 2 - 1) * ranges.zoom)
    mirror = (torch.rand(count, generator=generator) < 0.5).float() * 2 - 1
    cosine, sine = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    first = torch.stack((cosine * mirror, -sine), dim=1)
    second = torch.stack((sine * mirror, cosine), dim=1)
    return torch.stack((first, second), dim=1)


def _photometry(
    images: Tensor, fractions: Sequence[float], generator: torch.Generator, ranges: AugmentationRanges
) -> Tensor:
    """Seeing, stretch, gain, colour, background and noise; the same for all views of a picture."""
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
    """Mix in a blurred copy; a closer view of the same sky is blurred over more of its pixels."""
    blurred = []
    for index, fraction in enumerate(fractions):
        view = images[:, 3 * index : 3 * index + 3]
        radius = max(1, round(0.8 / fraction))
        padded = functional.pad(view, (radius,) * 4, mode="replicate")
        blurred.append(functional.avg_pool2d(padded, 2 * radius + 1, stride=1))
    return images + share * (torch.cat(blurred, dim=1) - images)
