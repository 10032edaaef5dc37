"""The acceptance rows: figures as labelled stand beside those without the reviewed images."""

from typing import Any

from tests.bench.science.measures import MEASURES
from tests.bench.science.targets import target_rows

Figures = dict[str, Any]


def survey(*, auroc: float, alarms: float) -> Figures:
    point = {"recall": 0.5}
    budgets = {"0.01": {"by_verdict": point, "by_rank": point}}
    part = {"auroc": auroc, "auroc_interval": [0.0, 1.0], "budgets": budgets}
    return {
        "oddities": part | {"auroc": {"combined": auroc}, "by_kind": {"all-but-rings": part}},
        "morphology": {"macro_f1": 0.8, "macro_f1_interval": [0.7, 0.9]},
        "false_alarms": {"at": {"0.01": {"rate": alarms, "interval": [0.0, 0.1]}}},
    }


def figures() -> Figures:
    mean = {"mean": 0.005, "spread": 0.0}
    model = {"auroc": {"mean": 0.9, "spread": 0.0}, "flagged_at_0.01": mean}
    scores = dict.fromkeys(("survey_model", "survey_model_reviewed", "as_known", "pooled"), model)
    labelled, reviewed = survey(auroc=0.91, alarms=0.018), survey(auroc=0.93, alarms=0.008)
    looks = {"spread": 1.0, "odd": 100, "pool": 2000}
    own = {
        "test": {"sdss": labelled, "efigi": labelled},
        "test_reviewed": {"sdss": reviewed, "efigi": reviewed},
        "new_skies": {"sdss-gz2-paper": scores | {"group": "pack"}},
        "rings": {"ring": {"auroc_to_choose_by": 0.8, "auroc": 0.8, "auroc_interval": [0.7, 0.9]}},
        "first_looks": looks | {"found": 40.0},
        "first_looks_reviewed": looks | {"found": 46.0},
        "cost": {
            "engine_cpu_ms_per_image": 4.0,
            "graph_cpu_ms_per_image": 3.0,
            "survey_model_cpu_ms_per_image": 4.8,
        },
    }
    sky = {"auroc": {name: {"mean": 0.5} for name in MEASURES}}
    named = {"best_pixel_statistic": MEASURES[0], "best_measure": MEASURES[0]}
    return {"bundles": {"one": own}, "baselines": {"new_skies": {"sdss-gz2-paper": sky | named}}}


def test_rows_that_the_review_changes_have_both_figures() -> None:
    rows = {row[""].split(",")[0].split(":")[0]: row for row in target_rows(figures())}
    labelled, reviewed = "one", "one, reviewed ones left out"
    sdss, alarms, looks = rows["SDSS oddities"], rows["realised false alarms at 1 %"], rows["first looks"]
    assert sdss[labelled].startswith("0.910")
    assert sdss[labelled].endswith("✗")
    assert sdss[reviewed].startswith("0.930")
    assert sdss[reviewed].endswith("✓")
    assert alarms[labelled].startswith("1.8 % [0.0 %, 10.0 %]")
    assert alarms[labelled].endswith("✗")
    assert alarms[reviewed].endswith("✓")
    assert looks[labelled].startswith("40")
    assert looks[reviewed].startswith("46")
    assert rows["macro-F1"][reviewed] == ""
