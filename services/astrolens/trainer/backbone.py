"""The backbone: a small vision transformer with a convolutional stem, on Hugging Face's `ViTModel`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from astrolens.science.preprocessing import PreprocessingSpec


@dataclass(frozen=True)
class BackboneConfig:
    """Hyperparameters of the architecture, chosen for an inference cost of about one millisecond of one core.

    Four strided convolutions reduce a view of 64 pixels to 16 patch tokens: the stem extracts detail, the transformer
    relates the parts.
    """

    width: int = 128
    layers: int = 6
    heads: int = 4
    mlp_ratio: int = 2
    stem: tuple[int, ...] = (32, 64, 128, 128)
    drop: float = 0.05

    @property
    def name(self) -> str:
        """Short name of the architecture, for the manifest."""
        return f"vit-conv{len(self.stem)}-d{self.width}-l{self.layers}"


class ConvStem(nn.Module):
    """Strided convolutions in place of the patch projection.

    A small ViT learns faster from few images with them [Xiao et al. 2021].
    """

    def __init__(self, channels: int, size: int, config: BackboneConfig) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = channels
        for after in config.stem:
            blocks += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.GELU()]
            before = after
        self.body = nn.Sequential(*blocks)
        # `ViTModel` reads its dtype from a layer of this name.
        self.projection = nn.Conv2d(before, config.width, 1)
        self.image_size = (size, size)
        self.num_patches = (size // 2 ** len(config.stem)) ** 2

    def forward(self, pixels: Tensor) -> Tensor:
        """[n, channels, size, size] to [n, tokens, width]."""
        tokens: Tensor = self.projection(self.body(pixels)).flatten(2).transpose(1, 2)
        return tokens


class Backbone(nn.Module):
    """Computes logits and embedding from pixels; the normalisation is part of the graph.

    The logits are divided by a temperature (a buffer, 1 during training), so that their softmax is a calibrated
    probability.
    """

    def __init__(self, spec: PreprocessingSpec, classes: int, config: BackboneConfig | None = None) -> None:
        super().__init__()
        self.config = config or BackboneConfig()
        vit = ViTConfig(
            hidden_size=self.config.width,
            num_hidden_layers=self.config.layers,
            num_attention_heads=self.config.heads,
            intermediate_size=self.config.width * self.config.mlp_ratio,
            hidden_dropout_prob=self.config.drop,
            attention_probs_dropout_prob=0.0,
            image_size=spec.size,
            patch_size=2 ** len(self.config.stem),
            num_channels=spec.channels,
        )
        self.vit = ViTModel(vit, add_pooling_layer=False)
        stem = ConvStem(spec.channels, spec.size, self.config)
        self.vit.embeddings.add_module("patch_embeddings", stem)
        nn.init.trunc_normal_(self.vit.embeddings.position_embeddings, std=0.02)
        nn.init.trunc_normal_(self.vit.embeddings.cls_token, std=0.02)
        self.head = nn.Linear(2 * self.config.width, classes)
        self.temperature: Tensor
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[n, channels, size, size], values 0 to 255, to logits [n, classes] and embedding [n, 2 · width]."""
        scaled = pixels.to(torch.float32) * (1.0 / 64.0) - 1.0
        tokens = self.vit(pixel_values=scaled).last_hidden_state
        embedding = torch.cat((tokens[:, 0], tokens[:, 1:].mean(dim=1)), dim=1)
        return self.head(embedding) / self.temperature, embedding

    @property
    def embedding_dim(self) -> int:
        """Length of the embedding."""
        return 2 * self.config.width


def logit_norm_loss(logits: Tensor, classes: Tensor, *, tau: float) -> Tensor:
    """LogitNorm loss [Wei et al. 2022]: cross-entropy of `ℓ / (τ ‖ℓ‖)`, which does not depend on the logits' length."""
    unit = logits / (logits.norm(dim=1, keepdim=True) + 1e-7)
    return functional.cross_entropy(unit / tau, classes)
