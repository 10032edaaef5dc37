"""The backbone: a small vision transformer with a convolutional stem, on Hugging Face's `ViTModel`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import ViTConfig, ViTModel

from astrolens.science.preprocessing import PreprocessingSpec


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes, chosen so that an image costs about one millisecond of one core.

    Four halvings leave 16 patch tokens: the stem sees the detail, the transformer how the parts belong together.
    """

    width: int = 128
    layers: int = 6
    heads: int = 4
    mlp_ratio: int = 2
    stem: tuple[int, ...] = (32, 64, 128, 128)
    drop: float = 0.05

    @property
    def name(self) -> str:
        """Architecture in a few characters."""
        return f"vit-conv{len(self.stem)}-d{self.width}-l{self.layers}"


class ConvStem(nn.Module):
    """Halving convolutions instead of one big patch projection: a small ViT learns faster from few images with it."""

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
    """Pixels to logits and embedding, normalisation included.

    The logits are divided by a temperature (a buffer, 1 while training), so that their softmax is a calibrated
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
        """[n, channels, size, size] in 0 … 255 to logits [n, classes] and embedding [n, 2 · width]."""
        scaled = pixels.to(torch.float32) * (1.0 / 64.0) - 1.0
        tokens = self.vit(pixel_values=scaled).last_hidden_state
        embedding = torch.cat((tokens[:, 0], tokens[:, 1:].mean(dim=1)), dim=1)
        return self.head(embedding) / self.temperature, embedding

    @property
    def embedding_dim(self) -> int:
        """Length of the embedding."""
        return 2 * self.config.width


def logit_norm_loss(logits: Tensor, classes: Tensor, *, tau: float) -> Tensor:
    """Cross-entropy of unit logits over τ [Wei et al. 2022]: confidence cannot grow by length alone."""
    unit = logits / (logits.norm(dim=1, keepdim=True) + 1e-7)
    return functional.cross_entropy(unit / tau, classes)
