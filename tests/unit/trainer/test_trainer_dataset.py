"""Splits never overlap, and oddities are never trained on."""

import csv
from pathlib import Path

import pytest
from astrolens.trainer.dataset import (
    CLASSES,
    Split,
    labelled_samples,
    labels_digest,
    load_image,
    pack_samples,
    simulated_samples,
)
from astrolens.trainer.evaluation import Half, half_of

from tests.shared_data import shared_data

HEAD = ["file", "survey", "object_id", "morphology", "oddity", "hubble_t", "ra_deg", "dec_deg", "name", "split"]


def table(folder: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEAD)
        for number, (survey, morphology, oddity, split) in enumerate(rows):
            writer.writerow([f"galaxies/x/{number}.jpg", survey, number, morphology, oddity, "", "", "", "", split])
    return folder


def test_splits_of_the_table_become_splits_by_use(tmp_path: Path) -> None:
    rows = [("SDSS", "spiral", "", "train")] * 2000 + [("SDSS", "spiral", "", "val"), ("EFIGI", "smooth", "", "test")]
    samples = list(labelled_samples(table(tmp_path / "galaxies", rows)))
    splits = [sample.split for sample in samples]
    assert splits[-2:] == [Split.CALIBRATION, Split.TEST]
    shares = [splits.count(split) / 2000 for split in (Split.BACKBONE, Split.FIT, Split.CALIBRATION)]
    assert shares == pytest.approx([0.75, 0.10, 0.15], abs=0.03)
    assert samples[0].survey == "sdss"
    assert samples[0].path == tmp_path / "galaxies" / "x" / "0.jpg"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_oddities_of_every_split_choose_or_report_by_halves(tmp_path: Path, split: str) -> None:
    rows = [("SDSS", "merger", "merger", split), ("EFIGI", "spiral", "outer-ring", split)] * 50
    samples = list(labelled_samples(table(tmp_path / "galaxies", rows)))
    assert {sample.split for sample in samples} == {Split.TEST, Split.DEVELOP}
    for number, sample in enumerate(samples):
        assert (sample.split is Split.TEST) == (half_of(str(number)) is Half.REPORT)


def test_an_object_of_no_known_class_is_left_out(tmp_path: Path) -> None:
    folder = table(tmp_path / "galaxies", [("SDSS", "unknown", "", "train"), ("SDSS", "smooth", "", "train")])
    assert [sample.morphology for sample in labelled_samples(folder)] == ["smooth"]


def test_the_digest_names_the_tables(tmp_path: Path) -> None:
    table(tmp_path / "one" / "galaxies", [("SDSS", "smooth", "", "train")])
    table(tmp_path / "two" / "galaxies", [("SDSS", "spiral", "", "train")])
    alone = labels_digest(tmp_path / "one")
    assert alone != labels_digest(tmp_path / "two")
    pack(tmp_path / "one" / "packs", "decals-dr1", [("a@1", "smooth", "")])
    assert labels_digest(tmp_path / "one") != alone


def pack(folder: Path, name: str, rows: list[tuple[str, str, str]]) -> None:
    (folder / name).mkdir(parents=True)
    with (folder / name / "labels.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "survey", "kind", "morphology", "oddity", "ra_deg", "dec_deg", "source_id"])
        for number, (source, morphology, oddity) in enumerate(rows):
            writer.writerow([f"{number}.jpg", "Legacy", "", morphology, oddity, "", "", source])


def test_tiles_of_one_picture_of_a_pack_stay_in_one_split(tmp_path: Path) -> None:
    rows = [(f"{index // 5}@{index}", "smooth" if index % 2 else "", "") for index in range(1000)]
    pack(tmp_path, "decals-dr1", [*rows, ("x@1", "", "trail"), ("y@1", "", "ring")])
    samples = list(pack_samples(tmp_path))
    assert {sample.survey for sample in samples} == {"legacy"}
    for first in range(0, 1000, 5):
        assert len({sample.split for sample in samples[first : first + 5]}) == 1
    assert {sample.split for sample in samples[:1000]} == {Split.FIT, Split.CALIBRATION, Split.TEST}
    assert all(sample.split in {Split.DEVELOP, Split.TEST} for sample in samples[1000:])
    assert not list(pack_samples(tmp_path / "missing"))


def test_simulated_splits_have_seeds_of_their_own() -> None:
    samples = list(simulated_samples(3, 400))
    draws = [sample.draw for sample in samples]
    assert len(set(draws)) == len(draws)
    seeds: dict[int, set[Split]] = {}
    for sample in samples:
        assert sample.draw is not None
        seeds.setdefault(sample.draw[0], set()).add(sample.split)
        assert sample.draw[2] == 0.0 or sample.split in {Split.DEVELOP, Split.TEST}
    assert all(len(splits) == 1 for splits in seeds.values())
    assert not list(simulated_samples(3, 0))


def test_a_simulated_sample_is_read_with_its_truth() -> None:
    sample = next(iter(simulated_samples(3, 10)))
    image = load_image(sample)
    assert image is not None
    assert image.survey.startswith("simulated-")
    assert image.morphology in CLASSES
    assert image.oddity == ""
    assert image.pixels.ndim == 3
    again = load_image(sample)
    assert again is not None
    assert (again.pixels == image.pixels).all()


def test_the_real_table_has_every_split_and_no_overlap() -> None:
    samples = list(labelled_samples(shared_data() / "galaxies"))
    assert {sample.split for sample in samples} == set(Split)
    assert len({sample.key for sample in samples}) == len(samples)
    for sample in samples:
        assert not sample.oddity or sample.split in {Split.DEVELOP, Split.TEST}
        assert sample.oddity or sample.morphology in CLASSES
