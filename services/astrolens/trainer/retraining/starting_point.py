"""What a run starts from: the promoted bundle, or a checkpoint that is named as the backbone."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from astrolens.contracts.training_runs import TrainingOptions
from astrolens.science.bundle import Bundle
from astrolens.science.detectors import EMBEDDING
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.early_views import EarlyViews
from astrolens.trainer.retraining.checkpoints import describe, find_checkpoint, load_checkpoint
from astrolens.trainer.retraining.fine_tuning import recipe_of
from astrolens.trainer.retraining.starting_weights import load_backbone, with_more_kinds
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import Recipe

CHECKPOINT_RATE: Final = 1e-3
"""Largest learning rate of the new heads of a checkpoint."""
CHECKPOINT_TRUNK_RATE: Final = 1e-4
"""Largest learning rate of its own weights, which know everyday pictures."""
_EXAMPLES: Final = 128


class StartingPoint(Protocol):
    """What a run starts from."""

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """The preprocessing of the challenger."""

    @property
    def refit_classes(self) -> bool:
        """Whether the class head is fitted once more when the challenger is built."""

    @property
    def note(self) -> str:
        """Where the challenger comes from, a sentence for its card."""

    @property
    def trained(self) -> str:
        """What is trained, a noun phrase."""

    def load(self, kinds: int) -> TrainableBackbone:
        """The backbone to train, with heads of so many kinds."""

    def prepare(self, model: TrainableBackbone, views: EarlyViews) -> None:
        """Set what a new backbone takes from its first views."""

    def recipe(self, options: TrainingOptions) -> Recipe:
        """The hyperparameters."""

    def reused_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Arrays of detectors that stay true, because what they read does not change."""


class PromotedBundle:
    """The bundle in use.

    Args:
        champion: The bundle.
    """

    refit_classes = False

    def __init__(self, champion: Bundle) -> None:
        self._champion = champion

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """The bundle's own."""
        return self._champion.preprocessing

    @property
    def note(self) -> str:
        """Names the bundle."""
        return f"Retrained from bundle {self._champion.digest[:12]}"

    @property
    def trained(self) -> str:
        """The transformer, and the heads that learn."""
        return "transformer and heads of the kinds"

    def load(self, kinds: int) -> TrainableBackbone:
        """Its backbone, with outputs for further kinds."""
        model = load_backbone(self._champion)
        with_more_kinds(model, kinds)
        return model

    def prepare(self, model: TrainableBackbone, views: EarlyViews) -> None:
        """Nothing: its statistics are those of its weights."""

    def recipe(self, options: TrainingOptions) -> Recipe:
        """Small rates, since most is known."""
        return recipe_of(options)

    def reused_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Those of detectors that read taps which do not change."""
        fixed_taps = load_backbone(self._champion).fixed_taps - {EMBEDDING}
        entries = self._champion.manifest.detectors
        fixed = {entry.name for entry in entries if entry.feature in fixed_taps and entry.kind == "mahalanobis"}
        return {name: array for name, array in self._champion.detectors.items() if name.split(".")[0] in fixed}


class NamedCheckpoint:
    """A `ViTForImageClassification` checkpoint; its own head is replaced.

    Args:
        name: Of the checkpoint.
        folder: The folder of backbones.
        hosts: Hosts that may be asked.
        seed: Of the new heads.

    Raises:
        BackboneRefused: It cannot be used.
    """

    refit_classes = True

    def __init__(self, name: str, folder: Path, *, hosts: Collection[str], seed: int) -> None:
        self._name = name
        self._folder = folder
        self._hosts = hosts
        self._seed = seed
        self._description = describe(find_checkpoint(name, folder, hosts=hosts), name)

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """Size and filter of its preprocessor."""
        return self._description.preprocessing

    @property
    def note(self) -> str:
        """Names the checkpoint."""
        return f"Fine-tuned from the checkpoint {self._name} (weights {self._description.weights_digest[:12]})"

    @property
    def trained(self) -> str:
        """All of it."""
        return f"checkpoint {self._name} with new heads"

    def load(self, kinds: int) -> TrainableBackbone:
        """The checkpoint with new heads."""
        torch.manual_seed(self._seed)
        return load_checkpoint(self._name, self._folder, kinds=kinds, hosts=self._hosts)

    def prepare(self, model: TrainableBackbone, views: EarlyViews) -> None:
        """Standardise the pooled maps by the first views."""
        model.eval()
        model.standardise_by(torch.from_numpy(views.maps[:_EXAMPLES].astype(np.float32)))

    def recipe(self, options: TrainingOptions) -> Recipe:
        """Full rates for the new heads, a tenth for its own weights."""
        return replace(recipe_of(options), rate=CHECKPOINT_RATE, trunk_rate=CHECKPOINT_TRUNK_RATE)

    def reused_arrays(self) -> Mapping[str, NDArray[Any]]:
        """None: every tap is new."""
        return {}
