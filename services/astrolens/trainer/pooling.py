"""Maps of a convolutional trunk pooled to numbers: rotation asymmetry, and simple statistics weighted to the centre."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

_CENTRE: Final = 0.25
"""Standard deviation of the Gaussian that weights the centre of a map, of its side."""


class MapStatistics(nn.Module):
    """Mean, maximum, deviation and rotation asymmetry of each channel, as signed roots, standardised.

    Mean and asymmetry are weighted to the centre, where the object is.

    Args:
        channels: Of each map.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.dim = 4 * sum(channels)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(self.dim))
        self.register_buffer("deviation", torch.ones(self.dim))

    @torch.no_grad()
    def standardise_by(self, maps: list[Tensor]) -> None:
        """Take mean and standard deviation of the statistics from those of some maps [n, c, s, s]."""
        values = self._statistics(maps)
        self.mean.copy_(values.mean(dim=0))
        self.deviation.copy_(values.std(dim=0) + 1e-3)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [n, c, s, s] to [n, 4 Σ c]."""
        return (self._statistics(maps) - self.mean) / self.deviation

    def _statistics(self, maps: list[Tensor]) -> Tensor:
        parts = [rotation_asymmetry(maps, central=True)]
        for own in maps:
            flat = own.flatten(2)
            mean = flat.mean(dim=2, keepdim=True)
            deviation = torch.sqrt(((flat - mean) ** 2).mean(dim=2) + 1e-6)
            central = (own * centre_weights(own.shape[-1], own.device)).sum(dim=(2, 3))
            parts += [signed_root(central), signed_root(flat.amax(dim=2)), torch.sqrt(deviation)]
        return torch.cat(parts, dim=1)


def signed_root(values: Tensor) -> Tensor:
    """`sign(x) √|x|`, with a finite slope at 0."""
    return torch.sign(values) * torch.sqrt(values.abs() + 1e-6)


def centre_weights(side: int, device: torch.device) -> Tensor:
    """A Gaussian over a square map, [side, side], that sums to 1."""
    place = (torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2.0) / side
    weights = torch.exp(-(place[:, None] ** 2 + place[None] ** 2) / (2.0 * _CENTRE**2))
    return weights / weights.sum()


def rotation_asymmetry(maps: list[Tensor], *, central: bool = False) -> Tensor:
    """Root of the mean difference of each channel from itself turned by 180°: maps [n, c, s, s] to [n, Σ c].

    Args:
        maps: Of several layers.
        central: Weight the mean to the centre; else all places count alike.
    """
    pooled = []
    for own in maps:
        side = own.shape[-1]
        # Turned by 180°, the places of a map come in reverse order.
        flat = own.flatten(2)
        difference = (flat - flat.flip(2)).abs()
        even = torch.full((side, side), 1.0 / side**2, device=own.device)
        weights = centre_weights(side, own.device) if central else even
        pooled.append(torch.sqrt((difference * weights.flatten()).sum(dim=2) + 1e-6))
    return torch.cat(pooled, dim=1)
