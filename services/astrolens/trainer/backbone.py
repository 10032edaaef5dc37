"""The backbone: a hybrid vision transformer over the tokens of a convolutional trunk.

The early trunk is frozen. Its last map goes through the middle blocks, which are trained together with a transformer
(Hugging Face's `ViTModel`) to tell the classes and the kinds of oddity; a second set of heads takes statistics of the
same maps (`astrolens.trainer.trainable_backbone`). Maps of the object and of the whole frame, pooled by how far they
differ from themselves turned by 180°, are taps of the density detectors. The middle blocks of the frame are those of
ImageNet: what is trained on some surveys describes another one worse.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.pooling import rotation_asymmetry, signed_root
from astrolens.trainer.trainable_backbone import BackboneOutputs, TrainableBackbone
from astrolens.trainer.trunk import (
    EARLY_CHANNELS,
    EARLY_TAPPED_CHANNELS,
    GENERIC_TAPPED_CHANNELS,
    MIDDLE_CHANNELS,
    MIDDLE_STRIDE,
    EarlyTrunk,
    GenericTrunk,
    MiddleTrunk,
)

SPEC: Final = PreprocessingSpec(size=112, views=("object", "frame"))
"""The input: the object view, which the transformer reads, and the whole frame, for taps only."""

TOKEN_CHANNELS: Final = MIDDLE_CHANNELS + 2 * EARLY_CHANNELS
_FRAME_SIDE: Final = 64
"""Pixels that the frame view is reduced to: at full size it would cost as much as the object view."""


@dataclass(frozen=True)
class BackboneConfig:
    """Hyperparameters of the transformer; at this size it costs less than the trunk."""

    width: int = 160
    layers: int = 3
    heads: int = 5
    mlp_ratio: int = 4
    registers: int = 3
    drop: float = 0.1
    pooled_width: int = 256
    """Width of the hidden layer of the pooled maps."""
    pooled_drop: float = 0.3

    @property
    def name(self) -> str:
        """Short name of the architecture, for the manifest."""
        return f"hybrid-vit-lite0-d{self.width}-l{self.layers}"


class TokenProjection(nn.Module):
    """Tokens in place of the patch projection, with registers that are learned and equal for all pictures.

    Registers: Darcet et al. 2024.
    """

    def __init__(self, size: int, config: BackboneConfig) -> None:
        super().__init__()
        side = size // MIDDLE_STRIDE
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(TOKEN_CHANNELS))
        self.register_buffer("deviation", torch.ones(TOKEN_CHANNELS))
        # `ViTModel` reads its dtype from a layer of this name.
        self.projection = nn.Linear(TOKEN_CHANNELS, config.width)
        self.registers = nn.Parameter(torch.randn(1, config.registers, config.width) * 0.02)
        self.image_size = (side, side)
        self.num_patches = side**2 + config.registers

    @torch.no_grad()
    def standardise_by(self, tokens: Tensor) -> None:
        """Take mean and standard deviation of the channels from token maps [n, channels, s, s]."""
        self.mean.copy_(tokens.mean(dim=(0, 2, 3)))
        self.deviation.copy_(tokens.std(dim=(0, 2, 3)) + 1e-3)

    def forward(self, tokens: Tensor) -> Tensor:
        """Token maps [n, channels, s, s] to [n, registers + s², width]."""
        flat = tokens.flatten(2).transpose(1, 2)
        projected = self.projection((flat - self.mean) / self.deviation)
        # `shape`, not `len`: the export would take the length of the example for a constant.
        return torch.cat((self.registers.expand(projected.shape[0], -1, -1), projected), dim=1)


class Backbone(TrainableBackbone):
    """The hybrid backbone; see the module."""

    def __init__(self, spec: PreprocessingSpec, classes: int, kinds: int, config: BackboneConfig | None = None) -> None:
        super().__init__()
        self.config = config or BackboneConfig()
        side = spec.size // MIDDLE_STRIDE
        vit = ViTConfig(
            hidden_size=self.config.width,
            num_hidden_layers=self.config.layers,
            num_attention_heads=self.config.heads,
            intermediate_size=self.config.width * self.config.mlp_ratio,
            hidden_dropout_prob=self.config.drop,
            attention_probs_dropout_prob=0.0,
            # Its input are token maps: one patch is one place.
            image_size=side,
            patch_size=1,
            num_channels=TOKEN_CHANNELS,
        )
        self.early = EarlyTrunk()
        self.middle = MiddleTrunk()
        self.generic = GenericTrunk()
        self.vit = ViTModel(vit, add_pooling_layer=False)
        tokens = TokenProjection(spec.size, self.config)
        self.vit.embeddings.add_module("patch_embeddings", tokens)
        places = 1 + tokens.num_patches
        self.vit.embeddings.position_embeddings = nn.Parameter(torch.randn(1, places, self.config.width) * 0.02)
        nn.init.trunc_normal_(self.vit.embeddings.cls_token, std=0.02)
        self.add_heads(
            (EARLY_CHANNELS, MIDDLE_CHANNELS),
            self.embedding_dim,
            classes=classes,
            kinds=kinds,
            hidden=self.config.pooled_width,
            drop=self.config.pooled_drop,
        )

    def token_maps(self, early: Tensor, middle: Tensor) -> Tensor:
        """Tokens [n, channels, s, s] of a middle map [n, 112, s, s] and an early one [n, 40, 2 s, 2 s].

        Signed square roots tame the bright ones.
        """
        both = (middle, functional.avg_pool2d(early, 2), functional.max_pool2d(early, 2))
        return signed_root(torch.cat(both, dim=1))

    @torch.no_grad()
    def standardise_by(self, early: Tensor) -> None:
        """Standardise the channels of the tokens, and the pooled maps, by those of some early maps."""
        projection = self.vit.embeddings.get_submodule("patch_embeddings")
        assert isinstance(projection, TokenProjection)  # noqa: S101 - a submodule has no type of its own
        middle = self.middle(early)
        projection.standardise_by(self.token_maps(early, middle))
        self.pooled.standardise_by([early, middle])

    def forward_early(self, early: Tensor) -> BackboneOutputs:
        """Outputs of the heads for early maps [n, 40, 2 s, 2 s] of the object view."""
        return self._outputs(early, self.middle(early))

    def early_map(self, pixels: Tensor) -> Tensor:
        """The last map of the early trunk, [n, 40, 2 s, 2 s]."""
        maps: Tensor = self.early(pixels)[-1]
        return maps

    def pretrained(self) -> list[nn.Parameter]:
        """The middle blocks, which start from ImageNet."""
        return list(self.middle.parameters())

    def frozen_in_retraining(self) -> list[nn.Module]:
        """The trunk, and the class head: it was fitted on more pictures than most runs have."""
        return [self.middle, self.class_head]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[n, 6, size, size], 0 to 255, to logits, embedding, kinds and the taps, in the order of `taps`."""
        early = self.early(pixels[:, :3])
        middle = self.middle(early[-1])
        size = (_FRAME_SIDE, _FRAME_SIDE)
        frame = functional.interpolate(pixels[:, 3:].to(torch.float32), size, mode="bilinear", align_corners=False)
        frame_maps = self.early(frame)
        outputs = self._outputs(early[-1], middle)
        return (
            *self.graph_outputs(outputs),
            rotation_asymmetry(early),
            rotation_asymmetry([*early, middle], central=True),
            rotation_asymmetry([*frame_maps, *self.generic(frame_maps[-1])]),
            # Once more under a name of its own: a survey model reads taps.
            outputs.embedding.clone(),
        )

    def _outputs(self, early: Tensor, middle: Tensor) -> BackboneOutputs:
        states = self.vit(pixel_values=self.token_maps(early, middle)).last_hidden_state
        first = 1 + self.config.registers
        embedding = torch.cat((states[:, 0], states[:, first:].mean(dim=1)), dim=1)
        return self.outputs_of(embedding, [early, middle])

    @property
    def architecture(self) -> str:
        """Short name of the architecture, for the manifest."""
        return self.config.name

    @property
    def embedding_dim(self) -> int:
        """Length of the embedding."""
        return 2 * self.config.width

    @property
    def taps(self) -> dict[str, int]:
        """Names and lengths of the taps, in the order of `forward`."""
        early = sum(EARLY_TAPPED_CHANNELS)
        return {
            "object_asymmetry": early,
            "core_asymmetry": early + MIDDLE_CHANNELS,
            "frame_asymmetry": early + sum(GENERIC_TAPPED_CHANNELS),
            "object_embedding": self.embedding_dim,
        }

    @property
    def fixed_taps(self) -> frozenset[str]:
        """Those of the trunk."""
        return frozenset(self.taps) - {"object_embedding"}
