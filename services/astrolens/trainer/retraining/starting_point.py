"""What a run starts from and what it trains: the promoted bundle's heads or its network, or a named checkpoint."""

from collections.abc import Callable, Collection, Mapping
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
from astrolens.trainer.bundle_builder import Provenance, build_bundle, build_with_kinds
from astrolens.trainer.dataset import Split
from astrolens.trainer.early_views import EarlyViews, PreparedViews
from astrolens.trainer.image_arrays import ImageArrays
from astrolens.trainer.retraining.checkpoints import describe, find_checkpoint, load_checkpoint
from astrolens.trainer.retraining.fine_tuning import fine_tune, recipe_of
from astrolens.trainer.retraining.kind_heads import refit_kind_heads
from astrolens.trainer.retraining.starting_weights import files_beside, load_backbone, with_more_kinds
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import Recipe, Trained

CHECKPOINT_RATE: Final = 1e-3
"""Largest learning rate of the new heads of a checkpoint."""
CHECKPOINT_TRUNK_RATE: Final = 1e-4
"""Largest learning rate of its own weights, which know everyday pictures."""
_EXAMPLES: Final = 128
_HEADS_NOTE: Final = (
    "Only the heads of the kinds were fitted again, on views of answered images and drawn ones: network, classes and "
    "detectors are those of that bundle, and so are the images that calibrate a survey, unless the run had as many."
)

OnStep = Callable[[int, int], None]


class StartingPoint(Protocol):
    """What a run starts from, and what it trains."""

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """The preprocessing of the challenger."""

    @property
    def note(self) -> str:
        """Where the challenger comes from, a sentence for its card."""

    @property
    def trained(self) -> str:
        """What is trained, a noun phrase."""

    @property
    def fitted(self) -> str:
        """What is fitted again afterwards, a noun phrase."""

    def load(self, kinds: int) -> TrainableBackbone:
        """The backbone to train, with heads of so many kinds."""

    def recipe(self, options: TrainingOptions) -> Recipe:
        """The hyperparameters."""

    def train(
        self,
        model: TrainableBackbone,
        views: PreparedViews,
        answers: EarlyViews | None,
        recipe: Recipe,
        *,
        checkpoint: Path,
        on_step: OnStep,
    ) -> Trained:
        """Train a backbone that `load` gave.

        Args:
            model: It is changed.
            views: Drawn views, and others to calibrate the kinds with.
            answers: Views of answered images.
            recipe: Hyperparameters.
            checkpoint: Where a long training keeps its state, to go on from after a kill.
            on_step: Told how many steps are done, and of how many.
        """

    def build(
        self,
        trained: Trained,
        arrays: Mapping[Split, ImageArrays],
        recipe: Recipe,
        provenance: Provenance,
        out: Path,
        *,
        kinds: tuple[str, ...],
    ) -> Bundle:
        """Write the challenger; see `astrolens.trainer.bundle_builder`."""


class _Promoted:
    """The bundle in use.

    Args:
        champion: The bundle.
    """

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

    def load(self, kinds: int) -> TrainableBackbone:
        """Its backbone, with outputs for further kinds."""
        model = load_backbone(self._champion)
        with_more_kinds(model, kinds)
        return model

    def recipe(self, options: TrainingOptions) -> Recipe:
        """Small rates, since most is known."""
        return recipe_of(options)


class PromotedHeads(_Promoted):
    """The bundle in use, of which only the heads of the kinds are fitted again."""

    trained = "heads of the kinds"
    fitted = "calibrations"

    def train(
        self,
        model: TrainableBackbone,
        views: PreparedViews,
        answers: EarlyViews | None,
        recipe: Recipe,  # noqa: ARG002 - a fit has no rates
        *,
        checkpoint: Path,  # noqa: ARG002 - seconds are not worth keeping
        on_step: OnStep,
    ) -> Trained:
        """Fit the heads."""
        return refit_kind_heads(model, views, answers, on_step=on_step)

    def build(
        self,
        trained: Trained,
        arrays: Mapping[Split, ImageArrays],
        recipe: Recipe,
        provenance: Provenance,
        out: Path,
        *,
        kinds: tuple[str, ...],
    ) -> Bundle:
        """With the detectors and classes of the promoted bundle."""
        noted = replace(provenance, note=f"{provenance.note} {_HEADS_NOTE}")
        return build_with_kinds(self._champion, trained, arrays, recipe, noted, out, kinds=kinds, beside=files_beside)


class PromotedNetwork(_Promoted):
    """The bundle in use, of which the transformer is trained on, too."""

    trained = "transformer and heads of the kinds"
    fitted = "detectors of the embedding and calibrations"

    def train(
        self,
        model: TrainableBackbone,
        views: PreparedViews,
        answers: EarlyViews | None,
        recipe: Recipe,
        *,
        checkpoint: Path,
        on_step: OnStep,
    ) -> Trained:
        """Fine-tune it; its statistics are those of its weights."""
        return fine_tune(model, views, answers, self.preprocessing, recipe, checkpoint=checkpoint, on_step=on_step)

    def build(
        self,
        trained: Trained,
        arrays: Mapping[Split, ImageArrays],
        recipe: Recipe,
        provenance: Provenance,
        out: Path,
        *,
        kinds: tuple[str, ...],
    ) -> Bundle:
        """With the promoted bundle's class head, and its detectors that read what does not change."""
        return build_bundle(
            trained,
            arrays,
            self.preprocessing,
            recipe,
            provenance,
            out,
            kinds=kinds,
            beside=files_beside,
            kept=self.reused_arrays(),
            refit_classes=False,
        )

    def reused_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Arrays of detectors that read taps which do not change."""
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

    fitted = "detectors and calibrations"

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

    def recipe(self, options: TrainingOptions) -> Recipe:
        """Full rates for the new heads, a tenth for its own weights."""
        return replace(recipe_of(options), rate=CHECKPOINT_RATE, trunk_rate=CHECKPOINT_TRUNK_RATE)

    def train(
        self,
        model: TrainableBackbone,
        views: PreparedViews,
        answers: EarlyViews | None,
        recipe: Recipe,
        *,
        checkpoint: Path,
        on_step: OnStep,
    ) -> Trained:
        """Train all of it, its pooled maps standardised by the first views."""
        model.eval()
        model.standardise_by(torch.from_numpy(views.training.maps[:_EXAMPLES].astype(np.float32)))
        return fine_tune(model, views, answers, self.preprocessing, recipe, checkpoint=checkpoint, on_step=on_step)

    def build(
        self,
        trained: Trained,
        arrays: Mapping[Split, ImageArrays],
        recipe: Recipe,
        provenance: Provenance,
        out: Path,
        *,
        kinds: tuple[str, ...],
    ) -> Bundle:
        """With a class head and detectors of its own."""
        return build_bundle(
            trained, arrays, self.preprocessing, recipe, provenance, out, kinds=kinds, beside=files_beside
        )
