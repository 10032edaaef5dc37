"""What a run learns from: answers that count, the archive's sample, splits that never mix, named sets."""

import csv
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from astrolens.contracts.ids import content_digest
from astrolens.contracts.records import Answer, ImageState
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import cutout_key
from astrolens.platform.stores.records import to_document
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.cutouts import encode_jpeg
from astrolens.trainer.dataset import Split
from astrolens.trainer.retraining.archive_images import ArchiveImage, ArchiveReader, GivenAnswer, majority_answer
from astrolens.trainer.retraining.data_set import (
    ANSWERED,
    ARCHIVE,
    GOLD_ITEMS,
    MIN_CALIBRATING,
    SetSamples,
    assemble,
)
from astrolens.trainer.retraining.named_sets import GALAXY10_CLASSES, NamedSet
from PIL import Image

from tests.made_records import make_image

JPEG = encode_jpeg(np.zeros((16, 16, 3), dtype=np.uint8))


def label(answer: str | None, user: str, number: int = 0) -> dict[str, Any]:
    return {"label_id": f"{user}-{number}", "answer": answer, "user": user, "recorded_at": f"2026-05-0{number + 1}"}


def test_of_each_person_the_last_answer_counts_then_the_majority_then_the_newest() -> None:
    def counted(*labels: dict[str, Any]) -> tuple[str, str, int] | None:
        given = majority_answer(labels)
        return None if given is None else (given.answer.value, given.user, given.people)

    assert counted() is None
    assert counted(label("ordinary", "vera"), label(None, "vera", 1)) is None
    assert counted(label("ordinary", "vera"), label("artefact", "vera", 1)) == ("artefact", "vera", 1)
    assert counted(label("ordinary", "vera"), label("artefact", "tom", 1)) == ("artefact", "tom", 1)
    two_of_three = (label("ordinary", "vera"), label("ordinary", "ada", 1), label("artefact", "tom", 2))
    assert counted(*two_of_three) == ("ordinary", "ada", 1)
    assert counted(label("artefact", "vera"), label("artefact", "tom", 1)) == ("artefact", "tom", 2), "gold"


class Archive:
    def __init__(self, folder: Path) -> None:
        self.records = SqliteRecordStore(folder / "records.sqlite")
        self.images = FolderImageStore(folder / "images")
        self.reader = ArchiveReader(self.records, self.images, folder / "cutouts")

    async def add(self, name: str, *labels: dict[str, Any], jpeg: bytes = JPEG, **changes: Any) -> str:
        document = to_document(make_image(name, p_value=0.5)[0])
        answers = [each for each in labels if each["answer"]]
        document |= {"labels": list(labels), "label": answers[-1]["answer"] if answers else None}
        document |= {"labeled_at": "2026-05-01T00:00:00.000000Z" if answers else None}
        document["cutout"]["sha256"] = content_digest(JPEG)
        document["observation"] |= changes.pop("observation", {})
        await self.records.insert(Collection.IMAGES, [document | changes])
        await self.images.put(cutout_key(document["image_id"]), jpeg, media_type="image/jpeg")
        return str(document["image_id"])


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(tmp_path)
    await archive.records.open()
    await archive.images.open()
    yield archive
    await archive.images.close()
    await archive.records.close()


async def test_the_archive_gives_answers_and_a_sample_and_leaves_injections_and_damage_out(archive: Archive) -> None:
    answered = await archive.add("answered", label("artefact", "vera"))
    plain = await archive.add("plain")
    await archive.add("injected", label("interesting", "vera"), observation={"injected": True})
    await archive.add("simulated", observation={"simulated": True})
    await archive.add("waiting", state=ImageState.INGESTED.value)
    await archive.add("damaged", jpeg=b"other bytes")
    [found] = await archive.reader.labelled()
    assert (found.image_id, found.survey, found.path.read_bytes()) == (answered, "sdss", JPEG)
    assert found.answer == GivenAnswer(Answer.ARTEFACT, "vera", "2026-05-01", "vera-0")
    [other] = await archive.reader.unanswered(10)
    assert (other.image_id, other.answer, other.verdict) == (plain, None, "ordinary")


async def test_a_sample_is_bounded_and_the_same_at_every_call(archive: Archive) -> None:
    for number in range(60):
        await archive.add(f"n{number}")
    first = [each.image_id for each in await archive.reader.unanswered(10)]
    assert len(first) == 10
    assert [each.image_id for each in await archive.reader.unanswered(10)] == first


def image(name: str, answer: str | None = None, *, people: int = 1, verdict: str = "ordinary", folder: Path) -> Any:
    identity = content_digest(name.encode())[:32]
    path = folder / f"{identity}.jpg"
    path.write_bytes(JPEG)
    given = GivenAnswer(Answer(answer), "vera", "2026-05-01", name, people) if answer else None
    return ArchiveImage(identity, path, content_digest(JPEG), "sdss", "spiral", verdict, answer=given)


def test_a_part_of_the_answers_only_measures_and_no_labelled_oddity_is_ordinary(tmp_path: Path) -> None:
    labelled = [image(f"a{n}", "interesting", folder=tmp_path) for n in range(40)]
    labelled += [image(f"g{n}", "artefact", people=2, folder=tmp_path) for n in range(40)]
    unanswered = [image(f"u{n}", folder=tmp_path) for n in range(600)]
    data = assemble(labelled=labelled, unanswered=unanswered, sets=(), simulated=40, seed=1, alpha=0.01)
    training = {each.image.image_id for each in data.labelled}
    held_out = {sample.key.removeprefix("archive/") for sample in data.benchmarks[ANSWERED]}
    gold = {sample.key.removeprefix("archive/") for sample in data.benchmarks[GOLD_ITEMS]}
    everyone = {each.image_id for each in labelled}
    assert training | held_out | gold == everyone
    assert len(training) + len(held_out) + len(gold) == 80
    assert 4 <= len(held_out) <= 22
    assert 12 <= len(gold) <= 28, "half of what two people answered alike"
    assert not {f"archive/{own}" for own in everyone} & {sample.key for sample in data.samples}
    assert {sample.oddity for sample in data.benchmarks[GOLD_ITEMS]} == {"artefact"}
    assert {sample.morphology for sample in data.benchmarks[ARCHIVE]} == {""}, "the bundle's own class is no truth"
    assert {sample.morphology for sample in data.samples if sample.key.startswith("archive/")} == {"spiral"}
    again = assemble(labelled=labelled[::-1], unanswered=unanswered[::-1], sets=(), simulated=40, seed=1, alpha=0.01)
    assert again.summary.digest == data.summary.digest, "the order of reading does not matter"
    [entry] = [each for each in map(json.loads, data.manifest.splitlines()[1:]) if each.get("label_id") == "a0"]
    assert entry["sha256"] == content_digest(JPEG)
    assert (entry["user"], entry["answer"], entry["recorded_at"]) == ("vera", "interesting", "2026-05-01")


def test_no_more_unanswered_anomalies_stay_than_the_budget_expects(tmp_path: Path) -> None:
    unanswered = [image(f"u{n}", folder=tmp_path) for n in range(500)]
    unanswered += [image(f"s{n}", verdict="anomaly", folder=tmp_path) for n in range(100)]
    strange = {f"archive/{each.image_id}" for each in unanswered[500:]}
    data = assemble(labelled=(), unanswered=unanswered, sets=(), simulated=40, seed=1, alpha=0.01)
    kept = [sample for sample in data.samples if sample.key in strange]
    kept += [sample for own in data.benchmarks.values() for sample in own if sample.key in strange]
    assert 1 <= len(kept) <= 6
    assert all(sample.split is not Split.BACKBONE for sample in kept)


def test_a_survey_with_few_images_calibrates_nothing_and_is_named(tmp_path: Path) -> None:
    unanswered = [image(f"u{n}", folder=tmp_path) for n in range(200)]
    data = assemble(labelled=(), unanswered=unanswered, sets=(), simulated=40, seed=1, alpha=0.01)
    assert 0 < data.surveys_without["sdss"] < MIN_CALIBRATING
    alone = assemble(
        labelled=[image("a", "artefact", folder=tmp_path)], unanswered=(), sets=(), simulated=40, seed=1, alpha=0.01
    )
    assert alone.surveys_without == {"sdss": 0}, "an answered image shows that the survey is streamed"
    assert not [each for each in data.samples if each.survey == "sdss" and each.split is Split.CALIBRATION]


def test_galaxy10_is_read_by_its_layout(tmp_path: Path) -> None:
    path = tmp_path / "Galaxy10_DECals.h5"
    with h5py.File(path, "w") as file:
        file["images"] = np.arange(10 * 8 * 8 * 3, dtype=np.uint8).reshape(10, 8, 8, 3)
        file["ans"] = np.arange(10, dtype=np.uint8)
    samples = list(NamedSet.parse(f"galaxy10:{path}").samples(tmp_path / "out"))
    assert len(samples) == len(GALAXY10_CLASSES) == 10
    assert [each.oddity for each in samples] == ["disturbed", "merger", *[""] * 8]
    assert [each.morphology for each in samples[2:]] == [*["smooth"] * 3, *["spiral"] * 3, *["edge-on"] * 2]
    assert all(each.split is Split.TEST for each in samples[:2]), "oddities only measure"
    assert samples[3].path is not None
    with Image.open(samples[3].path) as picture:
        assert np.array_equal(np.asarray(picture), np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3) + 64)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["flux"] = np.zeros(3)
    with pytest.raises(ConfigurationError, match="no Galaxy10"):
        list(NamedSet.parse(f"galaxy10:{tmp_path / 'other.h5'}").samples(tmp_path))


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_galaxy_zoo_tables_label_what_most_voted_for(tmp_path: Path) -> None:
    names = ("p_el", "p_cw", "p_acw", "p_edge", "p_mg")
    votes = {"1": (0.9, 0, 0, 0, 0), "2": (0, 0.5, 0.4, 0, 0), "3": (0, 0, 0, 0.8, 0), "4": (0, 0, 0, 0, 0.8)}
    votes["5"] = (0.5, 0.2, 0.1, 0.1, 0.1)
    rows = [
        {"OBJID": name, **{key.upper(): str(each) for key, each in zip(names, own, strict=True)}}
        for name, own in votes.items()
    ]
    write_table(tmp_path / "zoo1.csv", rows)
    (tmp_path / "images").mkdir()
    for name in votes:
        (tmp_path / "images" / f"{name}.jpg").write_bytes(JPEG)
    found = {
        each.key.rpartition("/")[2]: (each.morphology, each.oddity)
        for each in NamedSet.parse(f"galaxy-zoo:{tmp_path / 'zoo1.csv'}").samples(tmp_path)
    }
    assert found == {"1": ("smooth", ""), "2": ("spiral", ""), "3": ("edge-on", ""), "4": ("", "merger")}


def test_a_folder_with_a_table(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "own").mkdir(exist_ok=True)
        (tmp_path / "own" / name).write_bytes(JPEG)
    rows = [("a.jpg", "Elliptical"), ("b.jpg", "lens"), ("c.jpg", ""), ("gone.jpg", "spiral")]
    write_table(tmp_path / "own" / "labels.csv", [{"file": name, "class": label} for name, label in rows])
    found = {
        each.key.rpartition("/")[2]: (each.morphology, each.oddity, each.survey)
        for each in NamedSet.parse(f"folder:{tmp_path / 'own'}@HSC").samples(tmp_path)
    }
    assert found == {"a.jpg": ("smooth", "", "hsc"), "b.jpg": ("", "lens", "hsc"), "c.jpg": ("", "", "hsc")}
    write_table(tmp_path / "own" / "labels.csv", [{"file": "../../etc/passwd", "class": "spiral"}])
    with pytest.raises(ConfigurationError, match="outside its folder"):
        list(NamedSet.parse(f"folder:{tmp_path / 'own'}").samples(tmp_path))


@pytest.mark.parametrize("text", ["nothing", "galaxy10:", "sdss:/tmp", "folder:/no/such/place"])
def test_a_wrong_set_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="ASTROLENS_TRAINING_SETS"):
        NamedSet.parse(text)


def test_the_splits_of_a_set_do_not_mix(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rows = []
    for number in range(400):
        (tmp_path / f"{number}.jpg").write_bytes(JPEG)
        rows.append({"file": f"{number}.jpg", "class": "spiral"})
    write_table(tmp_path / "labels.csv", rows)
    own = SetSamples("folder:x", tuple(NamedSet.parse(f"folder:{tmp_path}").samples(tmp_path)))
    data = assemble(labelled=(), unanswered=(), sets=[own], simulated=40, seed=1, alpha=0.01)
    training = {each.key for each in data.samples if each.draw is None}
    measuring = {each.key for each in data.benchmarks["folder:x"]}
    assert not training & measuring
    assert 30 <= len(measuring) <= 90
