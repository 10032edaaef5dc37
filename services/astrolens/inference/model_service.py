"""What the model server does, without gRPC: analyse in batches, describe the model, find similar images."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from astrolens.contracts.patch_maps import PATCHES_TAP
from astrolens.inference.batcher import MicroBatcher, QueueFull
from astrolens.inference.engine import Engine, Item, ItemResult, Outcome
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.patch_graph import gives_patches
from astrolens.inference.similarity.index import SimilarityIndex
from astrolens.platform.time_limits import MODEL_CALL_S
from astrolens.science.bundle import Bundle
from astrolens.science.calibration import COMBINED
from astrolens.science.density import Taps
from astrolens.science.scoring import Scorer
from astrolens.science.survey_scoring import SurveyCalibrations

_STAGE: Final = "model"
MAX_SIMILAR: Final = 100
"""Neighbours that may be asked for at once."""


@dataclass(frozen=True)
class ModelIdentity:
    """Names, digests and calibration: they make an analysis traceable and repeatable."""

    name: str
    version: str
    digest: str
    preprocessing_digest: str
    calibration_id: str
    execution_provider: str


@dataclass(frozen=True)
class Strip:
    """Quantiles of a detector's scores on ordinary images; `scores[i]` is the quantile `probabilities[i]`."""

    detector: str
    probabilities: tuple[float, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class SurveyStrips:
    """How ordinary images of a survey score."""

    survey: str
    images: int
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class ServedSurvey:
    """What serves a survey instead of the bundle's own calibration; `revision` None: the pooled one, as unfit."""

    survey: str
    calibration_id: str
    revision: str | None
    images: int


@dataclass(frozen=True)
class ModelDescription:
    """The model and its calibration, for people and programs; `limits` as in `Scorer.limits`."""

    identity: ModelIdentity
    classes: tuple[str, ...]
    embedding_dim: int
    detectors: tuple[str, ...]
    alpha: float
    surveys: tuple[SurveyStrips, ...]
    limits: Mapping[str, str]
    figures_json: str
    model_card: str
    taps: tuple[str, ...] = ()


def describe(bundle: Bundle, scorer: Scorer, execution_provider: str) -> ModelDescription:
    """The description of a bundle under a false-alarm budget."""
    manifest, facts = bundle.manifest, scorer.describe()
    detectors = tuple(entry.name for entry in manifest.detectors)
    return ModelDescription(
        identity=ModelIdentity(
            name=manifest.name,
            version=manifest.version,
            digest=bundle.digest,
            preprocessing_digest=bundle.preprocessing_digest,
            calibration_id=scorer.calibration_id,
            execution_provider=execution_provider,
        ),
        classes=tuple(manifest.classes),
        embedding_dim=manifest.model.embedding_dim,
        detectors=detectors,
        alpha=scorer.alpha,
        surveys=tuple(
            SurveyStrips(
                survey=survey,
                images=int(counts["n"]),
                strips=tuple(_strip(scorer, detector, survey) for detector in (*detectors, COMBINED)),
            )
            for survey, counts in facts["surveys"].items()
        ),
        limits=scorer.limits(),
        figures_json=json.dumps(manifest.figures, sort_keys=True),
        model_card=bundle.card,
        taps=(*manifest.model.taps, *((PATCHES_TAP,) if gives_patches(bundle) else ())),
    )


def _labels(identity: ModelIdentity) -> dict[str, str]:
    return {
        "name": identity.name,
        "version": identity.version,
        "digest": identity.digest[:16],
        "calibration": identity.calibration_id,
        "provider": identity.execution_provider,
    }


def _strip(scorer: Scorer, detector: str, survey: str) -> Strip:
    scores = scorer.score_quantiles(detector, survey)
    last = len(scores) - 1
    return Strip(detector, tuple(index / last for index in range(len(scores))), tuple(scores))


class ModelService:
    """One loaded model with its batcher and its similarity index.

    Args:
        engine: Analyses a batch.
        index: Gets every embedding before its analysis is answered.
        description: Of the same bundle.
        workers: Batches worked on at once, each on one core.
        metrics: Where batches are counted.
        on_done: Called with how many images were answered.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        index: SimilarityIndex,
        description: ModelDescription,
        workers: int,
        metrics: ModelMetrics,
        on_done: Callable[[int], None],
    ) -> None:
        self.description = description
        self.index = index
        self._engine = engine
        self._metrics = metrics.shared
        self._refusals = metrics.queue_refusals
        self._on_done = on_done
        self.on_analyzed: Callable[[Sequence[Item], Sequence[Outcome]], None] | None = None
        """Called with what was analysed, on the event loop: a comparison looks on."""
        self.served: tuple[ServedSurvey, ...] = ()
        """Surveys that something else than the bundle's own calibration serves."""
        self._extracting = asyncio.Lock()
        self._batcher: MicroBatcher[Item, Outcome] = MicroBatcher(self._work, workers=workers)
        self._model_metrics = metrics

    @property
    def queued(self) -> int:
        """Images that wait for a worker."""
        return self._batcher.queued

    def start(self) -> None:
        """Start the batcher; metrics show this model from now on."""
        self._batcher.start()
        self._model_metrics.queued.set_function(lambda: self._batcher.queued)
        self._model_metrics.indexed.set_function(lambda: len(self.index))
        self._model_metrics.model.info(_labels(self.description.identity))

    async def close(self) -> None:
        """Finish the batches under way; fail what still waits."""
        await self._batcher.close()

    async def retire(self) -> None:
        """Answer all that was asked, then close: another model answers from now on."""
        await self._batcher.drain(timeout_s=MODEL_CALL_S)
        await self._batcher.close()

    async def analyze(self, items: Sequence[Item]) -> list[Outcome]:
        """One outcome an item, in their order.

        Raises:
            QueueFull: Too much is waiting.
            BatcherClosed: The service ends.
        """
        self._metrics.received.labels(_STAGE).inc(len(items))
        try:
            outcomes = await self._batcher.submit(items)
        except QueueFull:
            self._refusals.inc()
            raise
        self._on_done(len(outcomes))
        if self.on_analyzed is not None:
            self.on_analyzed(items, outcomes)
        done = sum(isinstance(outcome, ItemResult) for outcome in outcomes)
        self._metrics.settled.labels(_STAGE, "done").inc(done)
        self._metrics.settled.labels(_STAGE, "rejected").inc(len(outcomes) - done)
        return outcomes

    def serve(self, calibrations: SurveyCalibrations) -> None:
        """Judge by these survey models from the next batch on."""
        ids = self._engine.serve(calibrations)
        self.served = tuple(
            ServedSurvey(
                survey=survey,
                calibration_id=calibration_id,
                revision=model.digest if (model := calibrations.models.get(survey)) else None,
                images=model.manifest.images if model else 0,
            )
            for survey, calibration_id in sorted(ids.items())
        )

    async def extract_taps(self, items: Sequence[Item], wanted: Sequence[str]) -> tuple[list[str], Taps]:
        """Ids and the wanted feature maps of cutouts; one request at a time, for images that wait come first."""
        async with self._extracting:
            return await asyncio.to_thread(self._engine.extract_taps, items, wanted)

    async def like_image(self, image_id: str, k: int) -> list[tuple[str, float]]:
        """The k images most like a known one; see `SimilarityIndex.like_image`."""
        return await asyncio.to_thread(self.index.like_image, image_id, k)

    async def like_embedding(self, embedding: bytes, k: int) -> list[tuple[str, float]]:
        """The k images most like an embedding; see `SimilarityIndex.like_embedding`."""
        return await asyncio.to_thread(self.index.like_embedding, embedding, k)

    def _work(self, items: Sequence[Item]) -> list[Outcome]:
        """Analyse a batch; called in a worker thread."""
        start = perf_counter()
        outcomes = self._engine.analyze(items)
        self._index_embeddings(items, outcomes)
        self._metrics.batch_size.labels(_STAGE).observe(len(items))
        self._metrics.handler_seconds.labels(_STAGE).observe(perf_counter() - start)
        return outcomes

    def _index_embeddings(self, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        self.index.add(
            (item.image_id, outcome.embedding)
            for item, outcome in zip(items, outcomes, strict=True)
            if item.image_id and isinstance(outcome, ItemResult)
        )
