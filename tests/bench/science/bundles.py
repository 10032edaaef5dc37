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
from astrolens.science.survey_model import RECIPE
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
        """CPU time of an image on one thread, milliseconds: of the graph, and of the engine from JPEG to verdict."""
        engine = Engine(bundle=self.bundle, scorer=self.scorer, backbone=self.backbone)
        items = [Item("", survey, jpeg) for jpeg in jpegs[:_TIMED_BATCH]]
        batch = inputs[:_TIMED_BATCH]
        graph, whole = [], []
        for _ in range(_ROUNDS):
            begun = time.process_time()
            self.backbone.run(batch)
            ran = time.process_time()
            engine.analyze(items)
            graph.append((ran - begun) / len(batch) * 1e3)
            whole.append((time.process_time() - ran) / len(items) * 1e3)
        return {
            "graph_cpu_ms_per_image": round(median(graph), 2),
            "engine_cpu_ms_per_image": round(median(whole), 2),
            "batch": len(batch),
        }


def _batches(inputs: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(inputs), _BATCH):
        yield inputs[start : start + _BATCH]
