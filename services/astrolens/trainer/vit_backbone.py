"""A vision transformer of Hugging Face as the backbone: any `ViTForImageClassification` checkpoint.

Its own head is replaced by those that every backbone has here. Token maps after a third and two thirds of its layers
take the place of the trunk's maps: pooled by how far they differ from themselves turned by 180°, of the object and of
the whole frame, they are the taps of the density detectors.
"""

from typing import Any, Final

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers import ViTConfig, ViTModel

from astrolens.contracts.base import Contract
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.pooling import rotation_asymmetry
from astrolens.trainer.trainable_backbone import BackboneOutputs, TrainableBackbone

ARCHITECTURE: Final = "huggingface-vit"
_HIDDEN: Final = 256
_DROP: Final = 0.3
_STANDARDISED_BY: Final = 128
"""Views that the pooled statistics are standardised by: token maps of a ViT-B/16 take 300 MB of them."""


class ViTDescription(Contract):
    """What a checkpoint says of itself beside its weights; a bundle made from it ships this as a file.

    Pixels are normalised as `(x · rescale_factor − mean) / deviation`.
    """

    source: str = Field(description="Name of the checkpoint.")
    weights_digest: str = Field(description="SHA-256 of its weights, or of the digests of their parts.")
    config: dict[str, Any] = Field(description="Its `config.json`, as `ViTConfig` reads it.")
    preprocessing: PreprocessingSpec = Field(description="Side of its input, and how pictures are resized.")
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    rescale_factor: float = Field(gt=0.0)

    @property
    def tokens_a_side(self) -> int:
        """Patches along a side of the input."""
        return self.preprocessing.size // int(self.config.get("patch_size", 16))

    def vit_config(self) -> ViTConfig:
        """The configuration of the transformer."""
        return ViTConfig.from_dict(self.config)


class ViTBackbone(TrainableBackbone):
    """A `ViTModel` with the heads and taps of this project.

    Args:
        description: Of the checkpoint.
        classes: Number of classes.
        kinds: Number of kinds, `ordinary` among them.
        vit: The transformer with its weights, without a pooling layer; by default one with random weights.
    """

    def __init__(self, description: ViTDescription, classes: int, kinds: int, vit: ViTModel | None = None) -> None:
        super().__init__()
        self.description = description
        config = description.vit_config()
        self.vit = vit if vit is not None else ViTModel(config, add_pooling_layer=False)
        self._width = int(config.hidden_size)
        self._layers = int(config.num_hidden_layers)
        self._side = description.tokens_a_side
        self._tapped = sorted({max(1, round(self._layers / 3)), max(1, round(2 * self._layers / 3))})
        mean, deviation = (torch.tensor(own).reshape(1, 3, 1, 1) for own in (description.mean, description.deviation))
        self.pixel_mean: Tensor
        self.pixel_deviation: Tensor
        self.register_buffer("pixel_mean", mean, persistent=False)
        self.register_buffer("pixel_deviation", deviation, persistent=False)
        channels = [self._width] * len(self._tapped)
        self.add_heads(channels, self.embedding_dim, classes=classes, kinds=kinds, hidden=_HIDDEN, drop=_DROP)

    def early_map(self, pixels: Tensor) -> Tensor:
        """The pixels themselves: every layer is trained."""
        return pixels.clone()

    def forward_early(self, early: Tensor) -> BackboneOutputs:
        """Outputs of the heads for object views [n, 3, size, size], 0 to 255."""
        embedding, maps = self._states(early)
        return self.outputs_of(embedding, maps)

    @torch.no_grad()
    def standardise_by(self, early: Tensor) -> None:
        """Standardise the pooled maps by those of some views."""
        self.pooled.standardise_by(self._states(early[:_STANDARDISED_BY])[1])

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """[n, 6, size, size], 0 to 255, to logits, embedding, kinds and the taps, in the order of `taps`."""
        embedding, maps = self._states(pixels[:, :3])
        # Of the frame only the tapped layers are computed: the export leaves out what nothing reads.
        _, frame_maps = self._states(pixels[:, 3:])
        return (
            *self.graph_outputs(self.outputs_of(embedding, maps)),
            rotation_asymmetry(maps),
            rotation_asymmetry(maps, central=True),
            rotation_asymmetry(frame_maps),
            embedding.clone(),
        )

    def pretrained(self) -> list[nn.Parameter]:
        """The transformer."""
        return list(self.vit.parameters())

    def frozen_in_retraining(self) -> list[nn.Module]:
        """Nothing: classes, kinds and taps are read from the layers that learn."""
        return []

    @property
    def architecture(self) -> str:
        """Short name of the architecture, for the manifest."""
        return f"{ARCHITECTURE}-d{self._width}-l{self._layers}"

    @property
    def embedding_dim(self) -> int:
        """Length of the embedding: class token and mean patch token."""
        return 2 * self._width

    @property
    def taps(self) -> dict[str, int]:
        """Names and lengths of the taps, in the order of `forward`."""
        tapped = self._width * len(self._tapped)
        asymmetries = dict.fromkeys(("object_asymmetry", "core_asymmetry", "frame_asymmetry"), tapped)
        return {**asymmetries, "object_embedding": self.embedding_dim}

    @property
    def fixed_taps(self) -> frozenset[str]:
        """None: all layers learn."""
        return frozenset()

    def _states(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Embedding [n, 2 d] and the tapped token maps [n, d, s, s]."""
        scaled = pixels.to(torch.float32) * self.description.rescale_factor
        found = self.vit(
            pixel_values=(scaled - self.pixel_mean) / self.pixel_deviation, output_hidden_states=True, return_dict=True
        )
        last = found.last_hidden_state
        embedding = torch.cat((last[:, 0], last[:, 1:].mean(dim=1)), dim=1)
        # The first hidden state is the one before the first layer.
        maps = [
            found.hidden_states[depth][:, 1:].transpose(1, 2).unflatten(2, (self._side, self._side))
            for depth in self._tapped
        ]
        return embedding, maps
