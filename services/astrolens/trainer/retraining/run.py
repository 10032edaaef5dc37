"""One run, step by step. Each step leaves a file that the next one reads: a run that was killed skips what is there."""

import json
import logging
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import DataSummary, GateReport, RunFigures, RunStep
from astrolens.science.bundle import Bundle
from astrolens.science.calibration import COMBINED
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer import export
from astrolens.trainer.bundle_builder import Provenance, cpu_ms_per_image
from astrolens.trainer.dataset import Sample, Split
from astrolens.trainer.early_views import Drawing, EarlyViews, PreparedViews, prepare_views
from astrolens.trainer.image_arrays import ImageArrays, prepare_arrays
from astrolens.trainer.retraining import data_set as data
from astrolens.trainer.retraining.answer_views import draw_answer_views, kind_names
from astrolens.trainer.retraining.archive_images import ArchiveImage, GivenAnswer
from astrolens.trainer.retraining.gates import Scored, compare, figures_of, score_both
from astrolens.trainer.retraining.named_sets import NamedSet
from astrolens.trainer.retraining.orders import BUNDLE, PROGRESS, Order, Outcome, Progress, write, write_bytes
from astrolens.trainer.retraining.starting_point import NamedCheckpoint, PromotedHeads, PromotedNetwork, StartingPoint
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import Trained

log = logging.getLogger(__name__)

_ARCHIVE: Final = "archive.json"
_MANIFEST: Final = "data.jsonl"
_GATES: Final = "gates.json"
_TRAINED: Final = "fine-tuned.safetensors"
_TRAINED_NOTE: Final = "fine-tuned.json"
_CHALLENGER_NOTE: Final = "challenger.json"
"""Written last: a step is done where its note is there."""
_START_SHARES: Final = {
    RunStep.DATA: 0.0,
    RunStep.VIEWS: 0.35,
    RunStep.FINE_TUNING: 0.55,
    RunStep.CHALLENGER: 0.75,
    RunStep.GATES: 0.90,
    RunStep.PUBLISHING: 0.98,
}
"""Share of the whole at which a step begins, by the processor time of a run of 6,000 views."""
_STEPS: Final = tuple(RunStep)
_NOTE_EVERY_S: Final = 5.0
_PARITY_IMAGES: Final = 32


ReadArchive = Callable[[Path, int], tuple[list[ArchiveImage], list[ArchiveImage]]]
"""Writes the cutouts of answered images, and of so many others of a survey, to a folder, and says what they are."""
Publish = Callable[[Path, GateReport, bytes], str | None]
"""Hands bundle, gates and data manifest on, any number of times; gives the key under which the manifest is stored."""


@dataclass(frozen=True)
class Measured:
    """What the gates found."""

    report: GateReport
    before: RunFigures
    after: RunFigures


class Run:
    """A run in its folder.

    Args:
        order: What to do.
        folder: Everything it makes is kept there until it ends.
        read_archive: Reads the archive.
        publish: Hands the challenger on.
    """

    def __init__(self, order: Order, folder: Path, *, read_archive: ReadArchive, publish: Publish) -> None:
        self._order = order
        self._folder = folder
        self._cache = folder / "cache"
        self._read_archive = read_archive
        self._publish = publish
        self._champion = Bundle.load(order.champion)
        self._noted = 0.0
        self._start = self._starting_point()

    def perform(self) -> Outcome:
        """Do what is not done yet."""
        self._begin(RunStep.DATA)
        collected = self._collect()
        arrays = self._arrays(collected)
        kinds = kind_names(collected.labelled, self._champion.manifest.kinds)
        self._begin(RunStep.VIEWS)
        views = None if self._is_done(_TRAINED_NOTE) else self._views(arrays[Split.BACKBONE], collected, kinds)
        self._begin(RunStep.FINE_TUNING)
        if views is not None:
            self._fine_tune(*views)
        self._begin(RunStep.CHALLENGER)
        spec = self._start.preprocessing
        benchmarks = {name: self._benchmark(samples, spec) for name, samples in collected.benchmarks.items()}
        if not self._is_done(_CHALLENGER_NOTE):
            self._build_challenger(arrays, benchmarks, collected, kinds)
        note = json.loads((self._folder / _CHALLENGER_NOTE).read_bytes())
        challenger = Bundle.load(self._folder / BUNDLE, expected_digest=note["digest"])
        self._begin(RunStep.GATES)
        measured = self._measured(challenger, benchmarks, collected)
        self._begin(RunStep.PUBLISHING)
        key = self._publish(challenger.path, measured.report, collected.manifest)
        return Outcome(
            state="done",
            champion=self._champion.digest,
            challenger=challenger.digest,
            data=collected.summary.model_copy(update={"key": key}),
            changes=self._changes(challenger, collected.summary),
            before=measured.before,
            after=measured.after,
            gates=measured.report,
        )

    def _starting_point(self) -> StartingPoint:
        options = self._order.options
        if options.backbone is None:
            return PromotedNetwork(self._champion) if options.network else PromotedHeads(self._champion)
        order = self._order
        return NamedCheckpoint(options.backbone, order.backbones, hosts=order.fetch_hosts, seed=options.seed)

    def _begin(self, step: RunStep) -> None:
        self._note(step, _START_SHARES[step])
        log.info("%s", step.value)

    def _note_part(self, step: RunStep, done: int, of: int) -> None:
        """Say how far a step is, at most every few seconds."""
        if time.monotonic() - self._noted >= _NOTE_EVERY_S:
            first, last = _START_SHARES[step], _START_SHARES[_STEPS[_STEPS.index(step) + 1]]
            self._note(step, round(first + (last - first) * min(done / of, 1.0), 4))

    def _note(self, step: RunStep, share: float) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        spent = round(self._order.spent_cpu_s + usage.ru_utime + usage.ru_stime, 1)
        write(self._folder, PROGRESS, Progress(step=step, progress=share, cpu_s=spent))
        self._noted = time.monotonic()

    def _collect(self) -> data.DataSet:
        path = self._folder / _ARCHIVE
        if not path.is_file():
            labelled, unanswered = self._read_archive(self._folder / "cutouts", self._order.options.replay)
            write_bytes(path, _archive_text(labelled, unanswered))
        labelled, unanswered = archive_images(path.read_bytes())
        sets = [
            data.SetSamples(text, tuple(NamedSet.parse(text).samples(self._folder / "extracted")))
            for text in self._order.sets
        ]
        collected = data.assemble(
            labelled=labelled,
            unanswered=unanswered,
            sets=sets,
            simulated=self._order.options.simulated,
            seed=self._order.options.seed,
            alpha=self._order.false_alarms_per_1000 / 1000.0,
        )
        write_bytes(self._folder / _MANIFEST, collected.manifest)
        log.info("data %s: %s", collected.summary.digest[:12], collected.summary.origins)
        return collected

    def _arrays(self, collected: data.DataSet) -> dict[Split, ImageArrays]:
        spec, done = self._start.preprocessing, count(1)

        def note_image() -> None:
            self._note_part(RunStep.DATA, next(done), len(collected.samples))

        return {
            split: prepare_arrays(collected.samples, split, spec, cache=self._cache, workers=0, on_image=note_image)
            for split in (Split.BACKBONE, Split.FIT, Split.CALIBRATION)
        }

    def _benchmark(self, samples: tuple[Sample, ...], spec: PreprocessingSpec) -> ImageArrays:
        return prepare_arrays(samples, Split.TEST, spec, cache=self._cache, workers=0)

    def _is_done(self, note: str) -> bool:
        return (self._folder / note).is_file()

    def _views(
        self, images: ImageArrays, collected: data.DataSet, kinds: tuple[str, ...]
    ) -> tuple[TrainableBackbone, PreparedViews, EarlyViews | None]:
        model = self._start.load(len(kinds))
        spec, recipe = self._start.preprocessing, self._start.recipe(self._order.options)
        graph = export.export_early(model, spec)
        drawing = Drawing(recipe.seed, recipe.views, spec.size, recipe.balance, recipe.ranges)
        views = prepare_views(
            images, graph, drawing, cache=self._cache, workers=0, on_step=partial(self._note_part, RunStep.VIEWS)
        )
        early = export.session(graph)
        answers = draw_answer_views(collected.labelled, kinds, early, size=spec.size, seed=recipe.seed)
        return model, views, answers

    def _fine_tune(self, model: TrainableBackbone, views: PreparedViews, answers: EarlyViews | None) -> None:
        trained = self._start.train(
            model,
            views,
            answers,
            self._start.recipe(self._order.options),
            checkpoint=self._folder / "fine-tuning.checkpoint",
            on_step=partial(self._note_part, RunStep.FINE_TUNING),
        )
        weights = {name: value.contiguous() for name, value in trained.model.state_dict().items()}
        save_file(weights, self._folder / _TRAINED)
        note = {"draws": trained.draws, "minutes": trained.minutes}
        write_bytes(self._folder / _TRAINED_NOTE, json.dumps(note).encode())

    def _fine_tuned(self, kinds: tuple[str, ...]) -> Trained:
        model = self._start.load(len(kinds))
        model.load_state_dict(load_file(self._folder / _TRAINED))
        return Trained(model.eval(), **json.loads((self._folder / _TRAINED_NOTE).read_bytes()))

    def _build_challenger(
        self,
        arrays: dict[Split, ImageArrays],
        benchmarks: dict[str, ImageArrays],
        collected: data.DataSet,
        kinds: tuple[str, ...],
    ) -> None:
        champion = self._champion.manifest
        bundle = self._start.build(
            self._fine_tuned(kinds),
            {**arrays, Split.TEST: _joined(list(benchmarks.values()))},
            self._start.recipe(self._order.options),
            Provenance(
                name=champion.name,
                version=_next_version(champion.version, self._order.run_id),
                data_digest=collected.summary.digest,
                note=f"{self._start.note} by run {self._order.run_id}.",
            ),
            self._folder / BUNDLE,
            kinds=kinds,
        )
        write_bytes(self._folder / _CHALLENGER_NOTE, json.dumps({"digest": bundle.digest}).encode())

    def _scored(
        self, challenger: Bundle, benchmarks: Mapping[str, ImageArrays], collected: data.DataSet
    ) -> list[Scored]:
        """Every benchmark as both bundles score it, each on its own inputs of the same images."""
        budget, scored = self._order.false_alarms_per_1000, []
        for name, images in benchmarks.items():
            own = images
            if self._champion.preprocessing != challenger.preprocessing:
                own = self._benchmark(collected.benchmarks[name], self._champion.preprocessing)
            scored.append(score_both(name, self._champion, challenger, own, images, budget=budget))
        return scored

    def _measured(self, challenger: Bundle, benchmarks: Mapping[str, ImageArrays], collected: data.DataSet) -> Measured:
        path = self._folder / _GATES
        if not path.is_file():
            budget = self._order.false_alarms_per_1000
            scored = self._scored(challenger, benchmarks, collected)
            probe = next(iter(benchmarks.values())).inputs[:_PARITY_IMAGES]
            report = compare(
                scored,
                champion=self._champion,
                challenger=challenger,
                missing=_missing(benchmarks),
                surveys_without=collected.surveys_without,
                costs_ms=self._costs(challenger, scored[0], probe),
                parity=float(challenger.manifest.figures["parity"]),
                alpha=budget / 1000.0,
                bounds=self._order.bounds,
                seed=self._order.options.seed,
            )
            before, after = (figures_of(scored, challenger=own) for own in (False, True))
            parts = {"report": report, "before": before, "after": after}
            text = {name: own.model_dump(mode="json") for name, own in parts.items()}
            write_bytes(path, json.dumps(text).encode())
        found = json.loads(path.read_bytes())
        return Measured(
            GateReport.model_validate(found["report"]),
            RunFigures.model_validate(found["before"]),
            RunFigures.model_validate(found["after"]),
        )

    def _costs(self, challenger: Bundle, scored: Scored, probe: NDArray[np.uint8]) -> tuple[float, float]:
        before = cpu_ms_per_image(self._champion.model, scored.images.inputs[:_PARITY_IMAGES])
        return before, cpu_ms_per_image(challenger.model, probe)

    def _changes(self, challenger: Bundle, summary: DataSummary) -> tuple[str, ...]:
        new = [name for name in challenger.manifest.kinds if name not in self._champion.manifest.kinds]
        lost = sorted(set(self._champion.manifest.surveys) - set(challenger.manifest.surveys))
        added = sorted(set(challenger.manifest.surveys) - set(self._champion.manifest.surveys))
        carried = [each for each in challenger.manifest.surveys if _is_carried_over(each, self._champion, challenger)]
        renewed = [each for each in challenger.manifest.surveys if each not in carried]
        learned = ", ".join(f"{number} {answer}" for answer, number in summary.labels.items()) or "no answers"
        return (
            f"{self._start.trained} trained on {self._order.options.views} drawn pictures and {learned}",
            f"{self._start.fitted} fitted again: {', '.join(renewed) or 'of no survey'}",
            *((f"calibrations carried over: {', '.join(carried)}",) if carried else ()),
            *((f"new kinds: {', '.join(new)}",) if new else ()),
            *((f"calibrated for the first time: {', '.join(added)}",) if added else ()),
            *((f"no calibration of its own any more: {', '.join(lost)}",) if lost else ()),
        )


def _joined(parts: list[ImageArrays]) -> ImageArrays:
    return ImageArrays(
        np.concatenate([own.inputs for own in parts]),
        np.concatenate([own.classes for own in parts]),
        np.concatenate([own.surveys for own in parts]),
        np.concatenate([own.oddities for own in parts]),
    )


def _is_carried_over(survey: str, champion: Bundle, challenger: Bundle) -> bool:
    """Whether the calibration of a survey is still of the images that calibrated the champion."""
    name = f"{survey}/{COMBINED}"
    return name in champion.calibration and np.array_equal(champion.calibration[name], challenger.calibration[name])


def _missing(benchmarks: Mapping[str, ImageArrays]) -> list[str]:
    """What could not be measured, one sentence each."""
    missing = []
    if not any(":" in name for name in benchmarks):
        missing.append("no named set: ASTROLENS_TRAINING_SETS names none, so that no catalogued galaxies measure")
    if data.ARCHIVE not in benchmarks:
        missing.append("no unanswered images of real surveys in the archive")
    if data.ANSWERED not in benchmarks:
        missing.append("no held-out answers")
    if data.GOLD_ITEMS not in benchmarks:
        missing.append("no gold items: no image has the same answer of two people")
    return missing


def _next_version(version: str, run_id: str) -> str:
    return f"{version.split('+', maxsplit=1)[0]}+{run_id[:8]}"


def _archive_text(labelled: list[ArchiveImage], unanswered: list[ArchiveImage]) -> bytes:
    rows = {"labelled": labelled, "unanswered": unanswered}
    return json.dumps({name: [asdict(own) for own in images] for name, images in rows.items()}, default=str).encode()


def archive_images(text: bytes) -> tuple[list[ArchiveImage], list[ArchiveImage]]:
    """Answered and unanswered images, as a run keeps them in `archive.json`."""
    rows = json.loads(text)
    return [_archive_image(row) for row in rows["labelled"]], [_archive_image(row) for row in rows["unanswered"]]


def _archive_image(row: dict[str, Any]) -> ArchiveImage:
    answer = row["answer"]
    if answer is not None:
        answer = GivenAnswer(**{**answer, "answer": Answer(answer["answer"])})
    return ArchiveImage(**{**row, "path": Path(row["path"]), "answer": answer})
