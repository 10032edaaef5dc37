"""A bundle under test: the graph and the scorer of the product, on inputs that the benchmark has made."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine, Item
from astrolens.science.bundle import Bundle
from astrolens.science.density import DensityEntry, Taps
from astrolens.science.detectors import Features
from astrolens.science.scoring import ImageScores, Scorer
from astrolens.science.survey_model import MINIMUM_IMAGES, RECIPE, SurveyModel, fit_survey_model
from astrolens.science.survey_scoring import SurveyCalibrations
from numpy.typing import NDArray

_BATCH = 64
_TIMED_BATCH = 32
_ROUNDS = 15

_EMBEDDING_RECIPE = (DensityEntry(name="embedding-density", taps=("embedding",)),)
"""What a survey model is made of where a bundle lacks the taps of the product's recipe."""


class BundleUnderTest:
    """One bundle.

    Args:
        path: Its folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bundle = Bundle.load(path)
        self.scorer = Scorer(self.bundle)
        self.backbone = Backbone(self.bundle, threads=1)

    @property
    def name(self) -> str:
        """Name, version and the start of the digest: two seeds of one recipe differ in the digest only."""
        manifest = self.bundle.manifest
        return f"{manifest.name} {manifest.version} ({self.bundle.digest[:8]})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the morphology classes."""
        return self.bundle.manifest.classes

    def features(self, inputs: NDArray[np.uint8]) -> Features:
        """Outputs of the graph for inputs [n, channels, size, size]."""
        return Features.concatenated([self.backbone.run(batch) for batch in _batches(inputs)])

    def scores(self, features: Features, survey: str) -> list[ImageScores]:
        """Scores of n images as images of `survey`; a survey that the bundle does not know is scored as pooled."""
        scored: list[ImageScores] = []
        for start in range(0, len(features), _BATCH):
            part = features.rows(slice(start, start + _BATCH))
            scored += self.scorer.score(part, [survey] * len(part))
        return scored

    def kinds(self, features: Features) -> dict[str, NDArray[np.float64]]:
        """Logits [n] of each kind of strangeness less that of `ordinary`; empty where the bundle tells none."""
        logits = features.kind_logits
        if logits is None:
            return {}
        names = self.bundle.manifest.kinds
        return {name: logits[:, place] - logits[:, 0] for place, name in enumerate(names) if place}

    def taps(self, features: Features) -> tuple[Taps, tuple[DensityEntry, ...]]:
        """What a survey model reads, and its recipe."""
        if {tap for entry in RECIPE for tap in entry.taps} <= features.taps.keys():
            return features.taps, RECIPE
        return {"embedding": features.embedding}, _EMBEDDING_RECIPE

    def cost(self, inputs: NDArray[np.uint8], jpegs: list[bytes], survey: str) -> dict[str, float]:
        """CPU time of an image on one thread, milliseconds.

        Of the graph as the bundle's own detectors need it, of the engine from JPEG to their verdict, and of the engine
        from JPEG to the verdict of a survey model, which needs all of the graph.
        """
        items = [Item("", survey, jpeg) for jpeg in jpegs[:_TIMED_BATCH]]
        batch = inputs[:_TIMED_BATCH]
        engine = Engine(bundle=self.bundle, scorer=self.scorer, backbone=self.backbone)
        of_models = Engine(bundle=self.bundle, scorer=self.scorer, backbone=self.backbone)
        of_models.serve(SurveyCalibrations(models={survey: self._survey_model(inputs[:MINIMUM_IMAGES], survey)}))
        work = {
            "graph": lambda: self.backbone.run(batch, all_taps=False),
            "engine": lambda: engine.analyze(items),
            "survey_model": lambda: of_models.analyze(items),
        }
        spent: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(_ROUNDS):
            for name, step in work.items():
                begun = time.process_time()
                step()
                spent[name].append((time.process_time() - begun) / len(batch) * 1e3)
        return {f"{name}_cpu_ms_per_image": round(median(own), 2) for name, own in spent.items()} | {
            "batch": len(batch)
        }

    def _survey_model(self, inputs: NDArray[np.uint8], survey: str) -> SurveyModel:
        taps, recipe = self.taps(self.features(inputs))
        ids = [f"{row:032x}" for row in range(len(inputs))]
        digest = self.bundle.digest
        return fit_survey_model(
            taps, survey=survey, model_digest=digest, image_ids=ids, recipe=recipe, minimum_images=len(ids)
        )


def _batches(inputs: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(inputs), _BATCH):
        yield inputs[start : start + _BATCH]
