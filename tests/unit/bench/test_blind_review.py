"""The blind review: what is shown, how verdicts are joined with their key, and what the committed records say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astrolens.trainer.evaluation import Half
from astrolens.trainer.reviewed_labels import not_ordinary

from tests.bench.science import blind_review
from tests.bench.science.tables import CALIBRATE, ImageTable

COUNT = 400


def survey() -> ImageTable:
    """Every fourth image is odd; halves alternate."""
    numbers = np.arange(COUNT)
    return ImageTable(
        "sdss",
        tuple(Path(str(number)) for number in numbers),
        numbers.astype(np.str_),
        np.where(numbers % 4 == 0, "merger", ""),
        np.full(COUNT, "unknown"),
        np.where(numbers // 4 % 2 == 0, str(Half.CHOOSE), str(Half.REPORT)),
        numbers.astype(np.str_),
        np.zeros(COUNT, dtype=np.bool_),
    )


def record(own: ImageTable, shown: list[blind_review.Shown], odd: set[int]) -> list[dict[str, str]]:
    return [
        {
            "object_id": str(own.ids[one.row]),
            "groups": "+".join(one.groups),
            "verdict": "not-ordinary" if one.row in odd else "ordinary",
        }
        for one in shown
    ]


def test_shown_are_the_strangest_as_many_others_controls_and_repeats() -> None:
    own, values = survey(), np.arange(COUNT, dtype=np.float64)
    shown = blind_review.choose_pictures(own, {"one": values, "two": values})
    by_group = {group: [one for one in shown if group in one.groups] for group in ("one", "two", "random")}
    ordinary = np.flatnonzero(own.ordinary & (own.roles == Half.REPORT))
    assert sorted(one.row for one in by_group["one"]) == ordinary[-40:].tolist()
    assert by_group["one"] == by_group["two"]
    assert len(by_group["random"]) == 40
    assert {one.row for one in by_group["random"]} <= set(ordinary[:-40].tolist())
    controls = [one for one in shown if one.groups == ("control",)]
    assert len(controls) == 30
    assert all(not own.ordinary[one.row] and own.roles[one.row] == Half.CHOOSE for one in controls)
    repeats = [one for one in shown if one.mirrored]
    assert len(repeats) == 20
    assert {one.row for one in repeats} <= {one.row for one in shown if not one.mirrored}
    assert shown == blind_review.choose_pictures(own, {"one": values, "two": values})
    assert [one.row for one in shown] != sorted(one.row for one in shown)


def test_another_split_is_reviewed_as_deep_as_is_asked() -> None:
    drawn, values = survey(), np.arange(COUNT, dtype=np.float64)
    reported = drawn.ordinary & (drawn.roles == Half.REPORT)
    own = replace(drawn, roles=np.where(reported, CALIBRATE, drawn.roles))
    shown = blind_review.choose_pictures(own, {"one": values}, role=CALIBRATE, strangest=50)
    calibrating = np.flatnonzero(own.roles == CALIBRATE)
    assert sorted(one.row for one in shown if one.groups == ("one",)) == calibrating[-50:].tolist()
    assert sum(one.groups == ("random",) for one in shown) == 50
    assert sum(one.groups == ("control",) for one in shown) == 30


def test_verdicts_must_be_complete_and_have_reasons(tmp_path: Path) -> None:
    (tmp_path / "key.csv").write_text("number,object_id,groups\n1,a,random\n2,b,control\n")
    (tmp_path / "verdicts.csv").write_text("number,verdict,why\n1,ordinary,\n2,unclear,\n")
    with pytest.raises(ValueError, match="number 2"):
        blind_review.join_verdicts(tmp_path, "sdss")
    (tmp_path / "verdicts.csv").write_text("number,verdict,why\n1,ordinary,\n2,unclear,star: near\n")
    rows = blind_review.join_verdicts(tmp_path, "sdss")
    assert [(row["object_id"], row["survey"], row["verdict"]) for row in rows] == [
        ("a", "sdss", "ordinary"),
        ("b", "sdss", "unclear"),
    ]


def test_what_was_drawn_at_random_stands_for_what_nobody_saw() -> None:
    own, values = survey(), np.arange(COUNT, dtype=np.float64)
    shown = blind_review.choose_pictures(own, {"one": values})
    weights = blind_review.shown_weights(own, record(own, shown, set()))
    ordinary = own.ordinary & (own.roles == Half.REPORT)
    assert weights.sum() == pytest.approx(ordinary.sum())
    assert not weights[~ordinary].any()
    strangest = int(np.flatnonzero(ordinary)[-1])
    without = blind_review.shown_weights(own, record(own, shown, {strangest}))
    assert weights[strangest] == 1.0
    assert without.sum() == pytest.approx(ordinary.sum() - 1.0)


def test_estimated_figures_count_weights() -> None:
    own = survey()
    odd = ~own.ordinary & (own.roles == Half.REPORT)
    ordinary = np.flatnonzero(own.ordinary & (own.roles == Half.REPORT))
    values, weights = np.where(odd, 1.0, 0.0), np.zeros(COUNT)
    weights[ordinary[:4]] = (1.0, 1.0, 1.0, 5.0)
    values[ordinary[3]] = 2.0
    found = blind_review.estimated_figures(own, values, np.where(values > 1.5, 0.01, 0.5), weights)
    assert found["auroc"] == pytest.approx(3.0 / 8.0)
    assert found["flagged at 1 %"] == pytest.approx(5.0 / 8.0)
    assert found["recall at rank 1 %"] == 0.0


@pytest.mark.parametrize("split", [blind_review.TEST, blind_review.CALIBRATION])
@pytest.mark.parametrize("name", blind_review.SURVEYS)
def test_records_are_whole_and_agree_with_the_reviewed_list(name: str, split: str) -> None:
    rows = blind_review.read_record(name, split)
    assert [int(row["number"]) for row in rows] == list(range(1, len(rows) + 1))
    assert {row["verdict"] for row in rows} <= set(blind_review.VERDICTS)
    assert all(row["why"] for row in rows if row["verdict"] != "ordinary")
    ordinary = [row for row in rows if row["groups"] not in {blind_review.CONTROL, blind_review.REPEAT}]
    entered = not_ordinary(name)
    assert all((row["verdict"] == "not-ordinary") == (row["object_id"] in entered) for row in ordinary)
    counts = blind_review.agreement(rows)
    assert counts[blind_review.CONTROL][0] == 30
    again, same = blind_review.repeats_agree(rows)
    assert 0 < same <= again == 20
    assert f"| {name} | control | 30 |" in blind_review.report({name: rows})
