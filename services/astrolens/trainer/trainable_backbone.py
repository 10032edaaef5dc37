"""What every backbone that can be trained here has in common: its heads, and their temperatures.

Two sets of heads predict the kinds of oddity: one from the embedding, one from statistics of the early maps through a
hidden layer. Their logits are averaged, because they err differently. The class head takes both inputs.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from astrolens.trainer.pooling import MapStatistics


@dataclass(frozen=True)
class BackboneOutputs:
    """Outputs of the heads for n object views, before the temperatures.

    Attributes:
        embedding: [n, d].
        class_features: Embedding and hidden layer of the pooled maps, [n, d + h]: the input of the class head.
        kinds: Kind logits of the embedding, [n, kinds].
        pooled_kinds: Those of the pooled maps.
    """

    embedding: Tensor
    class_features: Tensor
    kinds: Tensor
    pooled_kinds: Tensor


class TrainableBackbone(nn.Module, ABC):
    """Computes logits, embedding, kinds and taps from pixels; the normalisation is part of the graph.

    Logits and kinds are divided by temperatures (buffers, 1 during training), so that their softmax is a calibrated
    probability.
    """

    pooled: MapStatistics
    temperature: Tensor
    kind_temperature: Tensor

    def add_heads(
        self, channels: Sequence[int], embedding_dim: int, *, classes: int, kinds: int, hidden: int, drop: float
    ) -> None:
        """Add the hidden layer of the pooled maps, the heads and the temperatures.

        Args:
            channels: Of each map that is pooled.
            embedding_dim: Length of the embedding.
            classes: Number of classes.
            kinds: Number of kinds, `ordinary` among them.
            hidden: Width of the hidden layer of the pooled maps.
            drop: Dropout probability around it.
        """
        self.pooled = MapStatistics(channels)
        self.pooled_reader = nn.Sequential(
            nn.Dropout(drop), nn.Linear(self.pooled.dim, hidden), nn.GELU(), nn.Dropout(drop)
        )
        self.class_head = nn.Linear(embedding_dim + hidden, classes)
        self.kind_head = nn.Linear(embedding_dim, kinds)
        self.pooled_kind_head = nn.Linear(hidden, kinds)
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("kind_temperature", torch.ones(()))

    def outputs_of(self, embedding: Tensor, maps: list[Tensor]) -> BackboneOutputs:
        """Outputs of the heads for an embedding [n, d] and maps [n, c, s, s]."""
        pooled = self.pooled_reader(self.pooled(maps))
        return BackboneOutputs(
            embedding=embedding,
            class_features=torch.cat((embedding, pooled), dim=1),
            kinds=self.kind_head(embedding),
            pooled_kinds=self.pooled_kind_head(pooled),
        )

    def graph_outputs(self, outputs: BackboneOutputs) -> tuple[Tensor, Tensor, Tensor]:
        """Class logits, embedding and kind logits, as the exported graph returns them."""
        return (
            self.class_head(outputs.class_features) / self.temperature,
            outputs.embedding,
            # The mean of both heads' logits.
            (outputs.kinds + outputs.pooled_kinds) / (2.0 * self.kind_temperature),
        )

    def class_features(self, pixels: Tensor) -> Tensor:
        """The input of the class head: pixels [n, channels, size, size], 0 to 255, to [n, d + h]."""
        return self.forward_early(self.early_map(pixels[:, :3])).class_features

    @abstractmethod
    def early_map(self, pixels: Tensor) -> Tensor:
        """Output of the frozen part for object views [n, 3, size, size], 0 to 255: computed once a view."""

    @abstractmethod
    def forward_early(self, early: Tensor) -> BackboneOutputs:
        """Outputs of the heads for early maps of the object view."""

    @abstractmethod
    def standardise_by(self, early: Tensor) -> None:
        """Set mean and deviation of the inputs of the heads from some early maps."""

    @abstractmethod
    def pretrained(self) -> list[nn.Parameter]:
        """Pretrained weights: they have a learning rate of their own."""

    @abstractmethod
    def frozen_in_retraining(self) -> list[nn.Module]:
        """Parts that stay as they are when a promoted bundle is trained on."""

    @property
    @abstractmethod
    def architecture(self) -> str:
        """Short name of the architecture, for the manifest."""

    @property
    @abstractmethod
    def embedding_dim(self) -> int:
        """Length of the embedding."""

    @property
    @abstractmethod
    def taps(self) -> dict[str, int]:
        """Names and lengths of the taps, in the order of `forward`."""

    @property
    @abstractmethod
    def fixed_taps(self) -> frozenset[str]:
        """Taps that retraining does not change: detectors fitted on them stay valid."""


def logit_norm_loss(logits: Tensor, classes: Tensor, *, tau: float) -> Tensor:
    """LogitNorm loss [Wei et al. 2022]: cross-entropy of `ℓ / (τ ‖ℓ‖)`, which does not depend on the logits' length."""
    unit = logits / (logits.norm(dim=1, keepdim=True) + 1e-7)
    return functional.cross_entropy(unit / tau, classes)
