"""The backbone: a hybrid vision transformer over the tokens of a convolutional trunk.

The early trunk is frozen. Its last map goes through the middle blocks, which are trained together with a transformer
(Hugging Face's `ViTModel`) to tell the classes and the kinds of oddity. Statistics of the same maps go through one
hidden layer to the same answers: two readers that err differently are better than one. Maps of the object and of the
whole frame, pooled by how far they differ from themselves turned by 180°, are taps of the density detectors. The middle
blocks of the frame are those of ImageNet: what is trained on some surveys describes another one worse.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.pooling import MapStatistics, rotation_asymmetry, signed_root
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
    """Hidden numbers of the reader of pooled maps."""
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


@dataclass(frozen=True)
class Reading:
    """What the network reads in the early maps of n object views.

    Attributes:
        embedding: [n, d].
        class_features: Embedding and hidden layer of the pooled maps, [n, d + h]; the class head reads them.
        kinds: Kind logits of the transformer, [n, kinds], before the temperature.
        pooled_kinds: Those of the pooled maps.
    """

    embedding: Tensor
    class_features: Tensor
    kinds: Tensor
    pooled_kinds: Tensor


class Backbone(nn.Module):
    """Computes logits, embedding, kinds and taps from pixels; the normalisation is part of the graph.

    Logits and kinds are divided by temperatures (buffers, 1 during training), so that their softmax is a calibrated
    probability.
    """

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
        self.pooled = MapStatistics((EARLY_CHANNELS, MIDDLE_CHANNELS))
        self.pooled_reader = nn.Sequential(
            nn.Dropout(self.config.pooled_drop),
            nn.Linear(self.pooled.dim, self.config.pooled_width),
            nn.GELU(),
            nn.Dropout(self.config.pooled_drop),
        )
        self.class_head = nn.Linear(self.embedding_dim + self.config.pooled_width, classes)
        self.kind_head = nn.Linear(self.embedding_dim, kinds)
        self.pooled_kind_head = nn.Linear(self.config.pooled_width, kinds)
        self.temperature: Tensor
        self.kind_temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("kind_temperature", torch.ones(()))

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

    def read_early(self, early: Tensor) -> "Reading":
        """Read early maps [n, 40, 2 s, 2 s] of the object view."""
        return self._read(early, self.middle(early))

    def class_features(self, pixels: Tensor) -> Tensor:
        """What the class head reads: [n, channels, size, size], 0 to 255, to [n, d]."""
        return self.read_early(self.early(pixels[:, :3])[-1]).class_features

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[n, 6, size, size], 0 to 255, to logits, embedding, kinds and the taps, in the order of `taps`."""
        early = self.early(pixels[:, :3])
        middle = self.middle(early[-1])
        size = (_FRAME_SIDE, _FRAME_SIDE)
        frame = functional.interpolate(pixels[:, 3:].to(torch.float32), size, mode="bilinear", align_corners=False)
        frame_maps = self.early(frame)
        reading = self._read(early[-1], middle)
        return (
            self.class_head(reading.class_features) / self.temperature,
            reading.embedding,
            # The mean of the two readers' logits.
            (reading.kinds + reading.pooled_kinds) / (2.0 * self.kind_temperature),
            rotation_asymmetry(early),
            rotation_asymmetry([*early, middle], central=True),
            rotation_asymmetry([*frame_maps, *self.generic(frame_maps[-1])]),
            # Once more under a name of its own: a survey model reads taps.
            reading.embedding.clone(),
        )

    def _read(self, early: Tensor, middle: Tensor) -> "Reading":
        states = self.vit(pixel_values=self.token_maps(early, middle)).last_hidden_state
        first = 1 + self.config.registers
        embedding = torch.cat((states[:, 0], states[:, first:].mean(dim=1)), dim=1)
        pooled = self.pooled_reader(self.pooled([early, middle]))
        return Reading(
            embedding=embedding,
            class_features=torch.cat((embedding, pooled), dim=1),
            kinds=self.kind_head(embedding),
            pooled_kinds=self.pooled_kind_head(pooled),
        )

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


def logit_norm_loss(logits: Tensor, classes: Tensor, *, tau: float) -> Tensor:
    """LogitNorm loss [Wei et al. 2022]: cross-entropy of `ℓ / (τ ‖ℓ‖)`, which does not depend on the logits' length."""
    unit = logits / (logits.norm(dim=1, keepdim=True) + 1e-7)
    return functional.cross_entropy(unit / tau, classes)
