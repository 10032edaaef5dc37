"""Roles never overlap, and an oddity is never trained on."""

import csv
from pathlib import Path

import pytest
from astrolens.trainer.samples import CLASSES, Role, galaxies, labels_digest, read, simulated

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


def test_splits_become_roles(tmp_path: Path) -> None:
    rows = [("SDSS", "spiral", "", "train")] * 2000 + [("SDSS", "spiral", "", "val"), ("EFIGI", "smooth", "", "test")]
    samples = list(galaxies(table(tmp_path / "galaxies", rows)))
    roles = [sample.role for sample in samples]
    assert roles[-2:] == [Role.COMBINED, Role.TEST]
    shares = [roles.count(role) / 2000 for role in (Role.BACKBONE, Role.FIT, Role.CALIBRATION)]
    assert shares == pytest.approx([0.75, 0.10, 0.15], abs=0.03)
    assert samples[0].survey == "sdss"
    assert samples[0].path == tmp_path / "galaxies" / "x" / "0.jpg"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_oddities_are_only_looked_at(tmp_path: Path, split: str) -> None:
    rows = [("SDSS", "merger", "merger", split), ("EFIGI", "spiral", "outer-ring", split)] * 50
    roles = {sample.role for sample in galaxies(table(tmp_path / "galaxies", rows))}
    assert roles == {Role.TEST if split == "test" else Role.DEVELOP}


def test_an_object_of_no_known_class_is_left_out(tmp_path: Path) -> None:
    folder = table(tmp_path / "galaxies", [("SDSS", "unknown", "", "train"), ("SDSS", "smooth", "", "train")])
    assert [sample.morphology for sample in galaxies(folder)] == ["smooth"]


def test_the_digest_names_the_table(tmp_path: Path) -> None:
    one = table(tmp_path / "one", [("SDSS", "smooth", "", "train")])
    two = table(tmp_path / "two", [("SDSS", "spiral", "", "train")])
    assert labels_digest(one) != labels_digest(two)


def test_simulated_roles_have_seeds_of_their_own() -> None:
    samples = list(simulated(3, 400))
    draws = [sample.draw for sample in samples]
    assert len(set(draws)) == len(draws)
    seeds: dict[int, set[Role]] = {}
    for sample in samples:
        assert sample.draw is not None
        seeds.setdefault(sample.draw[0], set()).add(sample.role)
        assert sample.draw[2] == 0.0 or sample.role in {Role.DEVELOP, Role.TEST}
    assert all(len(roles) == 1 for roles in seeds.values())
    assert not list(simulated(3, 0))


def test_a_simulated_sample_is_read_with_its_truth() -> None:
    sample = next(iter(simulated(3, 10)))
    picture = read(sample)
    assert picture is not None
    assert picture.survey.startswith("simulated-")
    assert picture.morphology in CLASSES
    assert picture.oddity == ""
    assert picture.pixels.ndim == 3
    again = read(sample)
    assert again is not None
    assert (again.pixels == picture.pixels).all()


def test_the_real_table_has_every_role_and_no_overlap() -> None:
    samples = list(galaxies(shared_data() / "galaxies"))
    assert {sample.role for sample in samples} == set(Role)
    assert len({sample.key for sample in samples}) == len(samples)
    for sample in samples:
        assert not sample.oddity or sample.role in {Role.DEVELOP, Role.TEST}
        assert sample.oddity or sample.morphology in CLASSES
