"""The science benchmark's own parts: label tables, measures, splits of new skies, plots. No real data needed."""

import csv
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from astrolens.science.bundle import Bundle, write_bundle
from astrolens.trainer.evaluation import Half, half_of
from astrolens.trainer.reviewed_labels import REVIEWED

from tests.bench.science import new_skies, tables
from tests.bench.science.answers import neighbour_score
from tests.bench.science.baselines import oracle_auroc
from tests.bench.science.drawn_kinds import drawn_kind_figures
from tests.bench.science.measures import MEASURES, measure
from tests.bench.science.pictures import Cutouts
from tests.bench.science.plots import Axis, bar_plot, line_plot
from tests.bench.science.record import record
from tests.bench.science.seeds import mean_and_spread
from tests.bench.science.shifts import SHIFTS
from tests.bench.science.tables import ImageTable
from tests.unit.science.test_science_bundle import small_contents, small_manifest


def picture(*, shifted: int = 0) -> np.ndarray:
    y, x = np.mgrid[0:41, 0:41]
    light = 200.0 * np.exp(-((y - 20) ** 2 + (x - 20 - shifted) ** 2) / 40.0)
    return np.repeat(light[..., None], 3, axis=2).astype(np.uint8)


def value(pixels: np.ndarray, name: str) -> float:
    return float(measure(pixels, bytes_=1000)[MEASURES.index(name)])


def test_measures_of_a_round_object() -> None:
    assert value(picture(), "asymmetry") == pytest.approx(0.0)
    assert value(picture(shifted=6), "asymmetry") > 0.5
    assert value(picture(), "concentration") > value(picture(shifted=15), "concentration")
    assert value(picture(), "redness") == pytest.approx(0.0)
    assert value(picture(), "bytes-a-pixel") == pytest.approx(1000 / 41**2)


def test_shifts_keep_the_form_of_a_picture() -> None:
    pixels = picture()
    for name, change in SHIFTS.items():
        changed = change(pixels)
        assert changed.shape == pixels.shape, name
        assert changed.dtype == np.uint8, name
        assert np.array_equal(changed, change(pixels)), f"{name} is not repeatable"


def test_neighbour_score_believes_answers_near_what_was_seen() -> None:
    strangeness, near = np.full(2, 0.5), np.array([0.0, 0.0])
    said_odd, said_ordinary = neighbour_score(strangeness, np.array([5.0, 0.0]), near)
    assert said_odd > 4 * said_ordinary
    far = neighbour_score(strangeness, np.array([5.0, 0.0]), np.array([3.0, 3.0]))
    assert far[0] - far[1] < said_odd - said_ordinary


def test_the_drawn_kind_that_finds_oddities_is_named() -> None:
    rng = np.random.default_rng(4)
    count = 200
    oddities = np.array(["", "merger"])[(np.arange(count) % 2)]
    table = ImageTable(
        "made",
        tuple(Path(str(row)) for row in range(count)),
        np.array([str(row) for row in range(count)]),
        oddities,
        np.array(["smooth"] * count),
        np.array([Half.CHOOSE] * count),
        np.array([str(row) for row in range(count)]),
        np.zeros(count, dtype=bool),
    )
    finds = rng.normal(size=count) + 3.0 * (oddities != "")
    made = drawn_kind_figures(table, {"blend": finds, "trail": rng.normal(size=count) - 1.0})
    assert made["blend"]["auroc"] > 0.95
    assert made["trail"]["auroc"] < 0.65
    assert made["blend"]["loss_interval"][0] > 0.2
    assert abs(made["trail"]["loss_without"]) < 0.05
    assert drawn_kind_figures(table, {}) == {}


def test_figures_of_new_skies_are_written_into_a_bundle_once(tmp_path: Path) -> None:
    card = b"# Card\n\n### Cost\n3 ms\n"
    write_bundle(tmp_path / "own", small_manifest(figures={"parity": 0.0}), small_contents(model_card__md=card))
    names = ("auroc", "flagged_at_0.01", "flagged_at_0.05", "recall_at_0.05")
    figures = {name: {"mean": 0.25, "spread": 0.125} for name in names}
    own = {
        "new_skies": {"a sky": {"survey_model": figures}, "a small one": {"pooled": figures}},
        "first_looks": {"found": 40.0, "spread": 2.0, "odd": 100, "pool": 2000},
        "cost": {f"{name}_cpu_ms_per_image": 4.25 for name in ("engine", "graph", "survey_model")},
    }
    digest = record(tmp_path / "own", own)
    bundle = Bundle.load(tmp_path / "own")
    assert bundle.digest == digest
    assert bundle.manifest.figures["parity"] == 0.0
    assert bundle.manifest.figures["new_skies"].keys() == {"a sky"}
    assert bundle.card.count("### New skies") == 1
    assert "0.250 ± 0.125" in bundle.card
    assert bundle.card.count("4.25 ms of one CPU core an image from JPEG to verdict") == 1
    assert bundle.card.endswith("### Cost\n3 ms\n")
    assert record(tmp_path / "own", own) == digest


def test_an_oracle_knows_the_direction() -> None:
    odd = np.array([True, True, False, False])
    assert oracle_auroc(odd, np.array([0.0, 1.0, 2.0, 3.0])) == 1.0


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"object_id": f"{number}", "survey": "SDSS", "split": ("train", "val", "test")[number % 3]}
        | {"oddity": "merger" if number >= 60 else "", "morphology": "unknown" if number == 5 else "smooth"}
        for number in range(90)
    ]
    (tmp_path / "galaxies").mkdir()
    with (tmp_path / "galaxies" / "labels.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["file", "survey", "object_id", "morphology", "oddity", "split"])
        writer.writeheader()
        writer.writerows(row | {"file": f"galaxies/{row['object_id']}.jpeg"} for row in rows)
    return tmp_path


def test_each_image_has_its_role(data: Path) -> None:
    table = tables.galaxy_tables(data)["sdss"]
    roles = dict(zip(table.ids.tolist(), table.roles.tolist(), strict=True))
    assert roles["0"] == tables.FIT
    assert roles["1"] == Half.CHOOSE
    assert roles["2"] == Half.REPORT
    assert "5" not in roles
    assert {roles[one] for one in roles if int(one) >= 60} == {Half.CHOOSE, Half.REPORT}
    assert roles["61"] == half_of("61")
    assert len(table) == 89


def test_reviewed_images_are_real_ids_with_a_reason() -> None:
    with REVIEWED.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len({row["object_id"] for row in rows}) == len(rows)
    for row in rows:
        assert row["survey"] in {"sdss", "efigi"}
        assert row["verdict"] in {"ordinary", "not-ordinary", "unclear"}
        assert len(row["why"]) > 10


def sky_cutouts(count: int, tiles: int) -> Cutouts:
    rng = np.random.default_rng(0)
    odd = np.arange(count) % 5 == 0
    table = tables.ImageTable(
        "decals-dr1",
        tuple(Path(str(number)) for number in range(count)),
        np.array([f"{number // tiles}@{number % tiles}" for number in range(count)]),
        np.where(odd, "trail", ""),
        np.full(count, "unknown"),
        np.full(count, ""),
        np.array([str(number // tiles) for number in range(count)]),
        np.zeros(count, dtype=np.bool_),
    )
    measures = rng.normal(size=(count, len(MEASURES)))
    return Cutouts(
        table,
        [b""] * count,
        measures,
        np.zeros((count, 2, 2, 3), np.uint8),
        table.where(np.zeros(count, dtype=np.bool_)),
        "key",
    )


def test_a_new_sky_is_split_by_picture() -> None:
    (sky,) = new_skies.new_skies({}, {"decals-dr1": sky_cutouts(800, 10)}, splits=2)
    assert sky.group == "pack"
    assert len(sky.splits) == 2
    for split in sky.splits:
        assert len(split.own) == new_skies.OWN_IMAGES
        assert not set(sky.cutouts.table.groups[split.own]) & set(sky.cutouts.table.groups[split.rest])


def test_a_small_pack_has_no_survey_model() -> None:
    (sky,) = new_skies.new_skies({}, {"decals-dr1": sky_cutouts(80, 10)}, splits=2)
    assert not sky.has_own
    assert len(sky.splits) == 1
    assert len(sky.splits[0].rest) == 80


def test_a_kind_of_oddity_is_told_from_the_others() -> None:
    cutouts = sky_cutouts(800, 1)
    names = np.where(np.arange(800) % 10 == 0, "merger+bright-neighbour", cutouts.table.oddities)
    packs = {"euclid-q1-vis": replace(cutouts, table=replace(cutouts.table, oddities=names))}
    skies = {sky.name: sky for sky in new_skies.new_skies({}, packs, splits=1)}
    assert skies["euclid merger"].odd.sum() == 80
    assert len(skies["euclid merger"].rows) == 720


def test_plots_are_well_formed() -> None:
    axis = Axis("p & q")
    lines = {"one <b>": [(0.0, 0.0), (1.0, 1.0)], "two": [(0.0, 0.5), (1.0, 2.0)]}
    bars = {"rings": {"first": (0.6, 0.5, 0.7)}, "mergers": {"first": (0.9, 0.8, 1.0), "second": (0.7, 0.6, 0.8)}}
    drawn = ET.fromstring(line_plot("title", axis, axis, lines, diagonal=True))  # noqa: S314 - our own text
    assert len(drawn.findall("{http://www.w3.org/2000/svg}polyline")) == 3
    drawn = ET.fromstring(bar_plot("title", axis, bars))  # noqa: S314
    # Background, frame, and three bars.
    assert len(drawn.findall("{http://www.w3.org/2000/svg}rect")) == 5


def test_spread_over_seeds_is_that_of_a_sample() -> None:
    assert mean_and_spread([0.8, 0.9, 1.0]) == {"mean": 0.9, "spread": 0.1}
