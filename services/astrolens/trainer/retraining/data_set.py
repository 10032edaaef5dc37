"""The data set of a run: which image is used for what, by whose label, and the manifest that names them all.

Rules: an image that a person called interesting or an artefact never enters the ordinary fit, its units or its
calibration. A quarter of the answered images by a hash of the id only measure, in every run, and half of the gold ones,
which two or more people answered alike. Of what nobody answered, no more anomalies stay among the ordinary images than
the budget of false alarms expects: the others are likely strange.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from astrolens.contracts.ids import content_digest
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import DataSummary
from astrolens.contracts.verdicts import Verdict
from astrolens.trainer.dataset import Sample, Split, simulated_samples, sky_fingerprint
from astrolens.trainer.retraining.archive_images import ArchiveImage

HELD_OUT: Final = 0.25
"""Share of the answered images that only measure."""
GOLD: Final = 0.5
"""Share of the gold items that only measure."""
MIN_CALIBRATING: Final = 150
"""A survey with fewer images calibrates nothing: at 10 false alarms per 1,000, 99 are needed to flag one."""
MIN_UNIT_IMAGES: Final = 20
"""Of the images that give a detector its units."""
_REPLAY: Final = ((0.45, Split.BACKBONE), (0.55, Split.FIT), (0.90, Split.CALIBRATION), (1.0, Split.TEST))

SIMULATED: Final = "simulated sky"
ARCHIVE: Final = "unanswered images"
ANSWERED: Final = "held-out answers"
GOLD_ITEMS: Final = "gold items"


@dataclass(frozen=True)
class Labelled:
    """An answered image that is trained on."""

    image: ArchiveImage
    answer: Answer


@dataclass(frozen=True)
class DataSet:
    """Everything that a run reads.

    Attributes:
        samples: Ordinary images of every split but the test.
        labelled: Answered images to train on.
        benchmarks: Images that only measure, by the name of their set; their split is the test.
        summary: Digest of the manifest, and counts.
        manifest: One JSON document a line, by key.
        surveys_without: Surveys of the archive that have too few images to be calibrated, and how many they have.
    """

    samples: tuple[Sample, ...]
    labelled: tuple[Labelled, ...]
    benchmarks: dict[str, tuple[Sample, ...]]
    summary: DataSummary
    manifest: bytes
    surveys_without: dict[str, int]


@dataclass(frozen=True)
class SetSamples:
    """Samples of one named set."""

    name: str
    samples: tuple[Sample, ...]


def assemble(
    *,
    labelled: Sequence[ArchiveImage],
    unanswered: Sequence[ArchiveImage],
    sets: Sequence[SetSamples],
    simulated: int,
    seed: int,
    alpha: float,
) -> DataSet:
    """Give every image its split.

    Args:
        labelled: Answered images of the archive.
        unanswered: A random sample of the others.
        sets: Named sets.
        simulated: Simulated images to train on; the other splits get a share of it.
        seed: Of the simulated images.
        alpha: Share of ordinary images that the promoted bundle calls anomalies.
    """
    drawn = list(simulated_samples(seed, simulated))
    replay = _within_budget(unanswered, alpha)
    training, held_out, gold = _by_use(labelled)
    samples = [
        *(each for each in drawn if each.split not in {Split.TEST, Split.DEVELOP}),
        *(each for own in sets for each in own.samples if each.split not in {Split.TEST, Split.DEVELOP}),
        *(each for each in replay if each.split is not Split.TEST),
    ]
    streamed = {image.survey for image in (*labelled, *unanswered) if not image.simulated}
    kept, surveys_without = _enough(samples, streamed)
    benchmarks = {
        SIMULATED: tuple(each for each in drawn if each.split is Split.TEST),
        **{own.name: tuple(each for each in own.samples if each.split is Split.TEST) for own in sets},
        ARCHIVE: tuple(each for each in replay if each.split is Split.TEST),
        ANSWERED: tuple(_measuring(each) for each in held_out),
        GOLD_ITEMS: tuple(_measuring(each) for each in gold),
    }
    benchmarks = {name: own for name, own in benchmarks.items() if own}
    origins = {sample.key: own.name for own in sets for sample in own.samples}
    manifest = _manifest(kept, training, benchmarks, origins, labelled)
    return DataSet(
        samples=tuple(kept),
        labelled=tuple(training),
        benchmarks=benchmarks,
        summary=_summary(manifest, kept, training, benchmarks, [*held_out, *gold]),
        manifest=manifest,
        surveys_without=surveys_without,
    )


def _by_use(labelled: Sequence[ArchiveImage]) -> tuple[list[Labelled], list[ArchiveImage], list[ArchiveImage]]:
    """Answered images to train on, held-out ones, and gold items that are held out."""
    training, held_out, gold = [], [], []
    for image in labelled:
        if image.answer is None:
            continue
        draw = _draw("held-out", image.image_id)
        if image.answer.people > 1 and draw < GOLD:
            gold.append(image)
        elif draw < HELD_OUT:
            held_out.append(image)
        else:
            training.append(Labelled(image, image.answer.answer))
    return training, held_out, gold


def _within_budget(unanswered: Sequence[ArchiveImage], alpha: float) -> list[Sample]:
    """Samples of the unanswered images, each with its split; strange ones beyond the budget are left out."""
    allowed = {Verdict.ANOMALY: alpha, Verdict.NEAR_MISS: 2.0 * alpha}
    samples: list[Sample] = []
    for survey in sorted({image.survey for image in unanswered}):
        own = sorted((image for image in unanswered if image.survey == survey), key=lambda each: each.image_id)
        room = {verdict: round(share * len(own)) for verdict, share in allowed.items()}
        for image in own:
            draw = _draw("role", image.image_id)
            split = next(split for limit, split in _REPLAY if draw < limit)
            if image.verdict in room:
                # The network learns what is ordinary from images that were called so.
                if split is Split.BACKBONE or room[Verdict(image.verdict)] == 0:
                    continue
                room[Verdict(image.verdict)] -= 1
            # Its class is what the promoted bundle says: good enough to learn on, but no truth to measure another by.
            morphology = "" if split is Split.TEST else image.morphology
            samples.append(_archive_sample(image, split, morphology=morphology))
    return samples


def _enough(samples: Iterable[Sample], streamed: Collection[str]) -> tuple[list[Sample], dict[str, int]]:
    """Samples without those that calibrate a survey of too few images; and these surveys.

    Args:
        samples: Of all splits that are not measured on.
        streamed: Surveys of the archive: one of which no image may calibrate has too few, too.
    """
    counts: dict[tuple[str, Split], int] = {}
    all_samples = list(samples)
    for each in all_samples:
        counts[each.survey, each.split] = counts.get((each.survey, each.split), 0) + 1
    # The surveys of simulated images are known once they are drawn.
    surveys = {survey for survey, _ in counts if survey} | set(streamed)
    few = {
        survey: counts.get((survey, Split.CALIBRATION), 0)
        for survey in sorted(surveys)
        if counts.get((survey, Split.CALIBRATION), 0) < MIN_CALIBRATING
        or counts.get((survey, Split.FIT), 0) < MIN_UNIT_IMAGES
    }
    kept = [each for each in all_samples if not (each.survey in few and each.split in {Split.CALIBRATION, Split.FIT})]
    return kept, few


def _measuring(image: ArchiveImage) -> Sample:
    answer = image.answer.answer if image.answer else Answer.ORDINARY
    sample = _archive_sample(image, Split.TEST, morphology="")
    return sample if answer is Answer.ORDINARY else replace(sample, oddity=answer.value)


def _archive_sample(image: ArchiveImage, split: Split, *, morphology: str) -> Sample:
    return Sample(
        split=split,
        key=f"archive/{image.image_id}",
        path=image.path,
        survey=image.survey,
        morphology=morphology,
        is_cutout=True,
    )


def _manifest(
    samples: Sequence[Sample],
    training: Sequence[Labelled],
    benchmarks: dict[str, tuple[Sample, ...]],
    origins: dict[str, str],
    labelled: Sequence[ArchiveImage],
) -> bytes:
    """Every image with its digest, its use, and who labelled it; the first line names the simulated sky."""
    answers = {f"archive/{image.image_id}": image for image in labelled}
    lines = [
        _entry(sample, use=str(sample.split), origin=origins.get(sample.key), answers=answers) for sample in samples
    ]
    lines += [
        _entry(_archive_sample(each.image, Split.BACKBONE, morphology=""), use="answers", origin=None, answers=answers)
        for each in training
    ]
    lines += [
        _entry(sample, use=f"benchmark: {name}", origin=origins.get(sample.key), answers=answers)
        for name, own in benchmarks.items()
        for sample in own
    ]
    head = json.dumps({"format": 1, "simulated_sky": sky_fingerprint()})
    return "\n".join([head, *sorted(lines)]).encode() + b"\n"


def _entry(sample: Sample, *, use: str, origin: str | None, answers: dict[str, ArchiveImage]) -> str:
    entry: dict[str, Any] = {
        "key": sample.key,
        "use": use,
        "origin": origin or ("simulated" if sample.draw is not None else "archive"),
        "survey": sample.survey,
        "class": sample.morphology,
        "oddity": sample.oddity,
    }
    image = answers.get(sample.key)
    if image is not None and image.answer is not None:
        entry |= {
            "answer": image.answer.answer.value,
            "user": image.answer.user,
            "recorded_at": image.answer.recorded_at,
            "label_id": image.answer.label_id,
        }
    if sample.draw is not None:
        entry["draw"] = sample.draw
    else:
        entry["sha256"] = image.sha256 if image is not None else _file_digest(sample.path)
    return json.dumps(entry, sort_keys=True)


def _file_digest(path: Path | None) -> str:
    return content_digest(path.read_bytes()) if path is not None else ""


def _summary(
    manifest: bytes,
    samples: Sequence[Sample],
    training: Sequence[Labelled],
    benchmarks: dict[str, tuple[Sample, ...]],
    held_out: Sequence[ArchiveImage],
) -> DataSummary:
    images: dict[str, dict[str, int]] = {}
    for split, survey in [(str(each.split), each.survey or "simulated") for each in samples]:
        own = images.setdefault(split, {})
        own[survey] = own.get(survey, 0) + 1
    for name, sample in [(name, each) for name, own in benchmarks.items() for each in own]:
        counts = images.setdefault(f"benchmark: {name}", {})
        survey = sample.survey or "simulated"
        counts[survey] = counts.get(survey, 0) + 1
    return DataSummary(
        digest=content_digest(manifest),
        images=images,
        labels=_counts(each.answer.value for each in training),
        held_out=_counts(each.answer.answer.value for each in held_out if each.answer),
        origins=_counts(json.loads(line)["origin"] for line in manifest.splitlines()[1:]),
    )


def _counts(values: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))


def _draw(purpose: str, image_id: str) -> float:
    return int.from_bytes(hashlib.sha256(f"{purpose}/{image_id}".encode()).digest()[:8], "big") / 2.0**64
