"""What every backbone that can be trained here has in common: two readers of its maps, heads, and temperatures.

An embedding is read for the classes and the kinds of oddity. Statistics of the same maps go through one hidden layer to
the same answers: two readers that err differently are better than one.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from astrolens.trainer.pooling import MapStatistics


@dataclass(frozen=True)
class Reading:
    """What the network reads in the early maps of n object views.

    Attributes:
        embedding: [n, d].
        class_features: Embedding and hidden layer of the pooled maps, [n, d + h]; the class head reads them.
        kinds: Kind logits of the embedding, [n, kinds], before the temperature.
        pooled_kinds: Those of the pooled maps.
    """

    embedding: Tensor
    class_features: Tensor
    kinds: Tensor
    pooled_kinds: Tensor


class ReadingBackbone(nn.Module, ABC):
    """Computes logits, embedding, kinds and taps from pixels; the normalisation is part of the graph.

    Logits and kinds are divided by temperatures (buffers, 1 during training), so that their softmax is a calibrated
    probability.
    """

    pooled: MapStatistics
    temperature: Tensor
    kind_temperature: Tensor

    def add_readers(
        self, channels: Sequence[int], embedding_dim: int, *, classes: int, kinds: int, hidden: int, drop: float
    ) -> None:
        """Add the reader of the pooled maps, the heads and the temperatures.

        Args:
            channels: Of each map that is pooled.
            embedding_dim: Length of the embedding.
            classes: Number of classes.
            kinds: Number of kinds, `ordinary` among them.
            hidden: Hidden numbers of the reader of pooled maps.
            drop: Share that its dropout leaves out.
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

    def reading_of(self, embedding: Tensor, maps: list[Tensor]) -> Reading:
        """Both readers' answers for an embedding [n, d] and maps [n, c, s, s]."""
        pooled = self.pooled_reader(self.pooled(maps))
        return Reading(
            embedding=embedding,
            class_features=torch.cat((embedding, pooled), dim=1),
            kinds=self.kind_head(embedding),
            pooled_kinds=self.pooled_kind_head(pooled),
        )

    def answers(self, reading: Reading) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, embedding and kinds as the graph gives them."""
        return (
            self.class_head(reading.class_features) / self.temperature,
            reading.embedding,
            # The mean of the two readers' logits.
            (reading.kinds + reading.pooled_kinds) / (2.0 * self.kind_temperature),
        )

    def class_features(self, pixels: Tensor) -> Tensor:
        """What the class head reads: [n, channels, size, size], 0 to 255, to [n, d]."""
        return self.read_early(self.early_map(pixels[:, :3])).class_features

    @abstractmethod
    def early_map(self, pixels: Tensor) -> Tensor:
        """What no training changes, of the object view [n, 3, size, size], 0 to 255: it is computed once a view."""

    @abstractmethod
    def read_early(self, early: Tensor) -> Reading:
        """Read early maps of the object view."""

    @abstractmethod
    def standardise_by(self, early: Tensor) -> None:
        """Standardise what the readers read by that of some early maps."""

    @abstractmethod
    def pretrained(self) -> list[nn.Parameter]:
        """Weights that came trained from elsewhere: they learn at a rate of their own."""

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
        """Taps that retraining does not change: what detectors were fitted on stays true."""


def logit_norm_loss(logits: Tensor, classes: Tensor, *, tau: float) -> Tensor:
    """LogitNorm loss [Wei et al. 2022]: cross-entropy of `ℓ / (τ ‖ℓ‖)`, which does not depend on the logits' length."""
    unit = logits / (logits.norm(dim=1, keepdim=True) + 1e-7)
    return functional.cross_entropy(unit / tau, classes)
