"""What the panel of calibrations and the discovery page say."""

from datetime import UTC, datetime
from typing import Any

from astrolens.console.pages import discoveries
from astrolens.console.pages.calibrations import rows
from astrolens.contracts import examples
from astrolens.contracts.survey_models import DriftMeasure, SurveyModelRecord, SurveyState
from astrolens.usecases.discoveries import DiscoveryList
from astrolens.usecases.p_value_views import calibration_detail
from astrolens.usecases.survey_models import SurveyModelView

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def view(**changes: Any) -> SurveyModelView:
    record: SurveyModelRecord = examples.survey_model().model_copy(update=changes)
    return SurveyModelView.of(record, {})


def words(cells: Any) -> list[str]:
    return [" ".join(part["text"] for part in cell) for cell in cells]


def test_each_survey_shows_revision_budget_and_drift_and_what_came_before() -> None:
    drift = DriftMeasure(shift=0.9, scale=0.8, images=200, seen=400, measured_at=NOW)
    before = drift.model_copy(update={"shift": 0.4})
    own = view(
        survey="sdss",
        state=SurveyState.OWN,
        revision=None,
        images=1200,
        false_alarms_per_1000=20.0,
        drift=drift,
        adjustment=drift,
        earlier_adjustments=(before,),
        earlier=(),
    )
    shown = rows({"sdss": own, "decals": view()})
    sdss = words(shown["sdss"])
    assert sdss[:5] == ["sdss", "bundle", "1,200", "the bundle’s", "20"]
    assert sdss[5] == "0.90 × 0.80 verdicts allow for 0.90 × 0.80"
    assert words(shown[f"sdss {NOW}"])[1:6] == ["adjusted", "200", "replaced", "", "0.40 × 0.80"]
    decals = words(shown["decals"])
    assert decals[3:6] == ["survey model", "settings", "not measured yet"]
    assert all(len(cells) == 8 for cells in shown.values())
    useless = view(false_alarms_per_1000=2.0).model_copy(update={"budget_issue": "Give it 3.34 per 1,000 or more."})
    assert words(rows({"gz2": useless})["gz2"])[4] == "2 Give it 3.34 per 1,000 or more."


def test_the_line_of_a_night_says_how_many_stand_out() -> None:
    given: dict[str, Any] = {
        "night": NOW.date(),
        "since": NOW,
        "until": NOW,
        "q": 0.1,
        "tested": 2010,
        "left_out": {},
        "complete": True,
        "listed": 1,
        "threshold": 0.001,
        "limited": None,
        "promise": "",
        "items": [],
    }
    assert discoveries.summary(DiscoveryList(**given)) == "1 image stands out of the 2,010 of the night at q = 0.1."
    none = DiscoveryList(**{**given, "tested": 0, "listed": 0, "left_out": {"no-promise": 3}})
    assert discoveries.summary(none) == "No image of the night has a p-value that promises something yet."


def test_a_verdict_that_allows_for_a_drift_says_so() -> None:
    analysis = {"calibration_images": 1213, "calibration_survey": "sdss", "calibration_fit": "own"}
    assert calibration_detail(analysis) == "1,213 ordinary images of sdss"
    own_budget = calibration_detail({**analysis, "false_alarms_per_1000": 20.0})
    assert own_budget.endswith("; judged under the survey's own budget of 20 false alarms per 1,000")
    assert calibration_detail({**analysis, "adjusted_p_value": 0.0312}).endswith("the verdict goes by p = 0.031")
