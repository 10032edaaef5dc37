"""What pages say: numbers, times, figures, what a search means, and where a login leads."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from astrolens.console.format import byte_size, count, duration, figure, relative
from astrolens.console.pages.dead_letters import readable
from astrolens.console.pages.image_panels import history
from astrolens.console.pages.login import answer, safe_next
from astrolens.console.pages.maps import graticule
from astrolens.console.pages.model import wilson_interval
from astrolens.console.pages.model_figures import facts, recall_options, tables
from astrolens.console.pages.services import source_row
from astrolens.console.pages.tonight import sparkline
from astrolens.contracts.records import Answer, Label
from astrolens.platform.stores.records import to_document
from astrolens.usecases.status import SourceView
from astrolens.usecases.views import ImageDetail
from fastapi import FastAPI, Request, Response

from tests.made_records import make_image

TOKEN = "a-long-secret-token"

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01, "0.01"), (0.91349, "0.913"), (12.0, "12"), (12345.6, "12,346"), (2e-5, "2.00e-5"), (None, "–")],
)
def test_a_figure_has_few_digits(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_numbers_and_times_are_written_for_people() -> None:
    assert count(12345) == "12,345"
    assert [duration(each) for each in (0.34, 2.14, 240, 7200, 400_000)] == ["340 ms", "2.1 s", "4 min", "2 h", "5 d"]
    assert relative(NOW - timedelta(seconds=2), NOW) == "now"
    assert relative(NOW - timedelta(minutes=4), NOW) == "4 min ago"
    assert relative(NOW + timedelta(seconds=12), NOW) == "in 12 s"
    assert [byte_size(each) for each in (12, 2048, 1.4e6, None)] == ["12 B", "2.05 kB", "1.4 MB", "–"]


def test_wilsons_interval_is_honest_for_small_counts() -> None:
    assert wilson_interval(0, 0) is None
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson_interval(3, 5) == pytest.approx((0.2307, 0.8824), abs=1e-3)


FIGURES = {
    "cpu_ms_per_image": 3.57,
    "test": {
        "sdss": {
            "morphology": {"n": 623, "accuracy": 0.8748, "accuracy_interval": [0.8475, 0.8973]},
            "oddities": {
                "n": 62,
                "auroc": {"msp": 0.71, "combined": 0.913},
                "auroc_interval": [0.87, 0.95],
                "curve": [[0.001, 0.2], [0.01, 0.3]],
            },
        },
        "euclid": {"false_alarms": {"n": 428, "flagged": 6, "rate": 0.014, "interval": [0.005, 0.03]}},
    },
}


def test_figures_are_shown_in_words_with_their_intervals() -> None:
    found = {title: (columns, rows) for title, columns, rows in tables(FIGURES)}
    columns, rows = found["Classes on ordinary images"]
    assert columns[:2] == ["Images", "Accuracy (95 %)"]
    assert rows == {"sdss": ["623", "0.875 (0.848 – 0.897)", "–", "–"]}
    assert found["False alarms on ordinary images"][1]["euclid"][2] == "0.014 (0.005 – 0.03)"
    assert found["Odd objects against ordinary ones"][1]["sdss"][1] == "0.913 (0.87 – 0.95)"
    assert found["AUROC by detector"] == (["Combined", "Maximum softmax"], {"sdss": ["0.913", "0.71"]})
    assert facts(FIGURES) == {"Cost": "3.57 ms of one processor core an image"}
    options = recall_options(FIGURES)
    assert options is not None
    assert [line["name"] for line in options["series"]] == ["sdss"]


def test_a_bundle_without_figures_shows_none() -> None:
    assert tables({}) == []
    assert recall_options({"test": {"sdss": {"oddities": {}}}}) is None
    assert facts({}) == {}


def test_bytes_of_a_dead_letter_are_shown_as_what_they_are() -> None:
    assert readable("eyJhIjogMX0=") == '{\n  "a": 1\n}'
    assert readable("cGxhaW4=") == "plain"
    assert readable("3q2+7w==") == "de ad be ef"
    assert readable("no base64!") == "(not readable)"


def test_a_sparkline_is_made_of_numbers() -> None:
    assert "polyline" not in sparkline([1.0])
    assert 'points="2.0,15.0 130.0,3.0"' in sparkline([1.0, 2.0])


def test_a_login_never_leads_to_another_site() -> None:
    assert safe_next("/gallery?verdict=anomaly") == "/gallery?verdict=anomaly"
    for text in ("https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", "javascript:alert(1)", ""):
        assert safe_next(text) == "/"


async def test_the_login_form_starts_a_session_or_says_what_was_wrong(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    app = FastAPI()

    @app.post("/login")
    async def submit(request: Request) -> Response:
        return await answer(world.context, request)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://console") as client:
        wrong = await client.post("/login", data={"token": "a wrong one", "next": "/gallery?verdict=anomaly"})
        assert wrong.status_code == 303
        assert wrong.headers["location"] == "/login?next=%2Fgallery%3Fverdict%3Danomaly&with=token&problem=wrong"
        assert "set-cookie" not in wrong.headers
        right = await client.post("/login", data={"token": TOKEN, "next": "//elsewhere.example"})
        assert right.status_code == 303
        assert right.headers["location"] == "/"
        assert "HttpOnly" in right.headers["set-cookie"]


ALERT = {
    "alert_id": "a" * 32,
    "alert_type": "initial",
    "topic": None,
    "raised_at": NOW.isoformat(),
    "predicted_class": "spiral",
    "verdict": "anomaly",
    "p_value": 0.002,
}


@pytest.mark.parametrize(
    ("alert", "says", "not_"),
    [
        ({"alert_tense": "withheld"}, "has not released these data", "retracted"),
        ({"alert_tense": "injection", "alert_type": "retraction", "verdict": "ordinary"}, "retracted", "released"),
        (
            {
                "alert_type": "retraction",
                "updated_at": NOW.isoformat(),
                "label": "artefact",
                "labeled_by": "<ann>",
                "tags": ["satellite"],
            },
            ">&lt;ann&gt; called it an artefact (satellite)<",
            "<ann>",
        ),
        # Of an alert of an older version nothing more is known.
        ({}, "Alert <span", "alert-tense"),
    ],
)
def test_an_image_says_what_became_of_its_alert_and_why_it_is_not_public(
    alert: dict[str, Any], says: str, not_: str
) -> None:
    known = {**ALERT, **alert}
    shown = history(ImageDetail.of(to_document(make_image("a.jpg")[0]), known))
    assert says in shown
    assert not_ not in shown
    assert "no alert was raised" in history(ImageDetail.of(to_document(make_image("a.jpg")[0]), None))


def test_an_image_lists_every_message_of_its_alert() -> None:
    first = {**ALERT, "at": NOW.isoformat(), "revision": 0, "p_value": 0.004}
    refuted = {"alert_type": "retraction", "at": NOW.isoformat(), "revision": 1, "label": "ordinary", "labeled_by": "b"}
    back = {"alert_type": "update", "updated_at": NOW.isoformat(), "revision": 2}
    alert = {**ALERT, **back, "earlier": [first, {**ALERT, **refuted}]}
    shown = history(ImageDetail.of(to_document(make_image("a.jpg")[0]), alert))
    lines = list(reversed(shown.split("<li>")[1:]))  # the newest first, as answers are
    assert ["raised, p = 0.004" in lines[0], "retracted, p = 0.002" in lines[1], "updated" in lines[2]] == [True] * 3
    assert "b called it ordinary" in lines[1]
    assert "its figures are new" in lines[2]


def test_an_answer_is_the_reason_of_one_message_only() -> None:
    said = {"label": "interesting", "labeled_by": "b", "tags": ["ring"], "at": NOW.isoformat()}
    answered = {**ALERT, **said, "alert_type": "update", "revision": 1}
    again = {**ALERT, **said, "alert_type": "update", "revision": 2, "model_digest": "another"}
    alert = {**again, "earlier": [{**ALERT, "at": NOW.isoformat(), "revision": 0}, answered]}
    detail = ImageDetail.of(to_document(make_image("a.jpg")[0]), alert)
    reasons = [message.update_reason for message in detail.alert_messages]
    assert reasons == [None, "b called it interesting (ring)", "its figures are new"]
    assert detail.alert_update_reason == "its figures are new"


def test_the_history_of_answers_has_their_tags() -> None:
    given = Label(label_id="l", answer=Answer.ARTEFACT, user="ann", recorded_at=NOW, tags=("<satellite>",))
    record = make_image("a.jpg")[0].model_copy(update={"labels": (given,)})
    assert "&lt;satellite&gt;</span>" in history(ImageDetail.of(to_document(record), None))


def test_a_source_that_does_not_run_has_no_rate() -> None:
    def rate(state: str) -> str:
        source = SourceView(source="sdss", state=state, rate_per_min=120.0, updated_at=NOW)
        return source_row(source)[2][0]["text"]

    assert (rate("running"), rate("off"), rate("finished")) == ("120", "–", "–")


def test_the_map_of_the_sky_has_numbers_at_its_lines() -> None:
    places = {each["name"]: each["value"] for each in graticule()[-1]["data"]}
    assert places["0°"] == (0, 0)
    # East is left.
    assert places["60°"][0] < 0 < places["300°"][0]
    assert places["-30°"][1] < 0 < places["+30°"][1]
