"""The command line itself: exit codes, sentences, tables."""

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.cli import app as cli
from astrolens.cli import console_client as client_module
from astrolens.cli import crossref, show, surveys
from astrolens.cli.doctor import check_installation, check_status, read_budget_issues
from astrolens.contracts import examples
from astrolens.contracts.survey_models import SurveyState
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.services import SERVICE_NAMES, SERVICES
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import record_store
from typer.testing import CliRunner

from tests.unit.cli.cli_examples import alert

CARD = {
    "image_id": "e" * 32,
    "name": "NGC 1",
    "survey": "sdss",
    "verdict": "anomaly",
    "p_value": 0.004,
    "p_value_words": {"figure": "p ≤ 1/251", "meaning": "", "calibration": "calibration: pooled"},
    "class": "spiral",
    "ra_deg": 10.68,
    "dec_deg": 41.27,
    "label": None,
}
STATUS: dict[str, Any] = {
    "received": 3,
    "analyzed": 1,
    "duplicates": 0,
    "rejected": 1,
    "dead_lettered": 0,
    "in_flight": 1,
    "imbalance": None,
    "verdicts": {"ordinary": 1, "near_miss": 0, "anomaly": 0},
    "alerts": 0,
    "reasons": {"not-an-image": 1},
    "services": {
        name: {"state": "running", "processed": 5, "lag": None, "detail": None, "silent_s": 1.0}
        for name in SERVICE_NAMES
    },
    "sources": {"sdss": {"state": "unreachable", "delivered": 0, "rate_per_min": 0.0, "detail": "no network"}},
    "model": {"state": "ready", "name": "first-light", "version": "1", "calibration_id": "c" * 64},
    "dead_letters_open": 0,
}

CHECKED: dict[str, Any] = {
    "receipts": {"accepted": 3},
    "images": {"analyzed": 3},
    "books": {"received": 3},
    "imbalance": None,
}
MISCOUNTED = "receipts: 2 are duplicate, their counter says 3"

SURVEY: dict[str, Any] = {
    "survey": "decals",
    "state": "learning",
    "since": "2026-03-01T20:00:01.000000Z",
    "reason": "the bundle does not know it",
    "images": 87,
    "images_needed": 300,
    "revision": None,
    "failure": None,
}


PLACE: dict[str, Any] = {
    "ra_deg": 10.6847,
    "dec_deg": -41.2687,
    **examples.matched().model_dump(mode="json"),
    "possible_discovery": False,
}


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """A console that answers from memory; the requests it got."""
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        first = "after" not in request.url.params
        alerts = [alert(1), alert(2)] if first else [alert(3)]
        more = "more" if first else None
        if "updated_since" in request.url.params:
            alerts, more = [], None
        recounted = request.url.params.get("recount") == "true"
        answers = {
            "/api/status": STATUS,
            "/api/books": {**CHECKED, "recounted": recounted, "miscounted": [MISCOUNTED] if recounted else []},
            "/api/candidates": {"items": [CARD], "next": "more" if first else None},
            "/api/surveys": {"items": [SURVEY]},
            "/api/surveys/sdss/clear": SURVEY,
            "/api/surveys/sdss/calibrate": SURVEY,
            "/api/surveys/sdss/budget": {**SURVEY, "false_alarms_per_1000": 20.0, "rejudging": True},
            "/api/crossref": PLACE,
            "/api/alerts": {"items": alerts, "next": more},
        }
        if (body := answers.get(request.url.path)) is None:
            return httpx.Response(404, json={"detail": "no such address"})
        return httpx.Response(200, json=body)

    def connect(url: str | None, token: str | None) -> httpx.Client:
        headers = client_module.headers(token)
        return httpx.Client(transport=httpx.MockTransport(answer), base_url=url or "http://console", headers=headers)

    monkeypatch.setattr(show, "connect", connect)
    monkeypatch.setattr(surveys, "connect", connect)
    monkeypatch.setattr(crossref, "connect", connect)
    return asked


def run(*arguments: str, columns: int = 200) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": str(columns)})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_status_for_programs_is_the_apis_own_object(console: Any) -> None:
    code, output = run("status", "--json", "--token", "secret")
    assert (code, json.loads(output)) == (0, STATUS)
    assert console[0].headers["authorization"] == "Bearer secret"


def test_status_for_people_names_every_number(console: Any) -> None:
    code, output = run("status")
    assert code == 0
    assert "analysed again" not in output
    for word in ("received", "in flight", "not-an-image 1", "analyzer", "unreachable", "no network", "first-light"):
        assert word in output


def test_status_says_how_many_verdicts_are_given_anew(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STATUS, "analyzed_again", 128)
    assert "(128 images in flight are analysed again;" in run("status")[1]


def test_books_that_contradict_themselves_are_told_and_end_with_an_error(console: Any) -> None:
    code, output = run("books")
    assert code == 0
    assert "the books balance" in output
    code, output = run("books", "--recount")
    assert code == 1
    assert MISCOUNTED in output
    assert "the books balance" not in output
    code, output = run("books", "--json", "--recount")
    assert (code, json.loads(output)["recounted"]) == (1, True)


def test_candidates_follow_the_pages_up_to_the_limit(console: Any) -> None:
    assert [each["name"] for each in json.loads(run("candidates", "--json")[1])] == ["NGC 1", "NGC 1"]
    assert len(json.loads(run("candidates", "--json", "--limit", "1")[1])) == 1
    table = run("candidates")[1]
    assert "+41.27000" in table
    assert "≤ 1/251" in table
    assert "pooled" in table


@pytest.mark.parametrize("columns", [80, 149, 150])
def test_ids_of_candidates_are_whole_in_every_terminal(console: Any, columns: int) -> None:
    lines = run("candidates", columns=columns)[1].splitlines()
    assert sum("e" * 32 in line for line in lines) == 2
    assert max(map(len, lines)) <= columns
    assert ("+41.27000" in "".join(lines)) == (columns == 150)


def test_surveys_tell_what_calibrates_them_and_one_is_returned_to_the_bundle(console: Any) -> None:
    assert json.loads(run("surveys", "--json")[1]) == [SURVEY]
    assert all(word in run("surveys")[1] for word in ("decals", "learning", "87 of 300", "does not know it", "since"))
    narrow = run("surveys", columns=80)[1]
    assert all(word in narrow for word in ("decals", "learning", "87 of 300", "decals: the bundle does not know it"))
    assert "since" not in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    asked = len(console)
    assert run("surveys", "--clear", "sdss")[0] == 0
    assert "release" not in console[asked].url.params
    assert [(each.method, each.url.path) for each in console[asked:]] == [
        ("POST", "/api/surveys/sdss/clear"),
        ("GET", "/api/surveys"),
    ]
    asked = len(console)
    assert run("surveys", "--clear", "sdss", "--release")[0] == 0
    assert console[asked].url.params["release"] == "true"
    with pytest.raises(ConfigurationError, match="name the survey"):
        run("surveys", "--release")


def test_a_survey_gets_a_budget_of_its_own_or_a_new_calibration(console: Any) -> None:
    for arguments in (("--budget", "sdss=20"), ("--budget", "sdss=default"), ("--aggressive", "sdss")):
        code, output = run("surveys", *arguments)
        said = "decals has a budget of 20 false alarms per 1,000; its earlier images are judged again under it"
        assert (code, said in output) == (0, True)
    assert run("surveys", "--calibrate", "sdss")[0] == 0
    decided = [request for request in console if request.method != "GET"]
    assert [(request.method, request.url.path) for request in decided] == [
        *[("PUT", "/api/surveys/sdss/budget")] * 3,
        ("POST", "/api/surveys/sdss/calibrate"),
    ]
    budgets = [json.loads(request.content)["false_alarms_per_1000"] for request in decided[:3]]
    assert budgets == [20.0, None, 30.0]
    with pytest.raises(ConfigurationError, match="SURVEY=NUMBER"):
        run("surveys", "--budget", "sdss")


def test_a_place_is_told_with_each_catalogues_answer(console: Any) -> None:
    assert json.loads(run("crossref", "10.6847", "-41.2687", "--json")[1]) == PLACE
    assert dict(console[-1].url.params) == {"ra_deg": "10.6847", "dec_deg": "-41.2687"}
    table = run("crossref", "10.6847", "-41.2687")[1]
    assert all(word in table for word in ("known", "M 51", "4,321", "ned", "failed", "503"))


def test_alerts_are_one_a_line(console: Any) -> None:
    code, output = run("alerts", "tail", "--json", "--no-follow", "--since", "1h")
    assert code == 0
    assert [json.loads(line)["alert_id"] for line in output.splitlines()] == ["1", "2", "3"]
    lines = run("alerts", "tail", "--no-follow", "--since", "2026-03-01")[1]
    assert "http://console/image/2" in lines
    assert "p = 0.001  sdss/spiral" in lines


def test_a_list_whose_pages_do_not_end_is_refused() -> None:
    pages = iter(range(10**6))

    def same_page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [1], "next": "same"})

    def more_and_more(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"items": [1], "next": f"{next(pages)}"})

    client = httpx.Client(transport=httpx.MockTransport(same_page), base_url="http://console")
    with pytest.raises(client_module.ConsoleUnreachable, match=r"the same page of /api/alerts"):
        list(client_module.iter_items(client, "/api/alerts"))
    client = httpx.Client(transport=httpx.MockTransport(more_and_more), base_url="http://console")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client_module, "_MAX_PAGES", 7)
        with pytest.raises(client_module.ConsoleUnreachable, match=r"more than 1,400 entries"):
            list(client_module.iter_items(client, "/api/alerts"))
    assert next(pages) == 7


def test_names_of_strangers_are_only_text() -> None:
    assert show.printable("[red]x[/] \x1b[2J\n") == "\\[red]x\\[/] �[2J�"
    assert show.printable(None) == ""


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30m", datetime(2026, 3, 1, 19, 30, tzinfo=UTC)),
        ("2d", datetime(2026, 2, 27, 20, 0, tzinfo=UTC)),
        ("2026-01-31T20:00", datetime(2026, 1, 31, 20, 0, tzinfo=UTC)),
        ("2026-01-31T20:00+02:00", datetime(2026, 1, 31, 18, 0, tzinfo=UTC)),
    ],
)
def test_since(text: str, time: datetime) -> None:
    assert show.parse_since(text, now=datetime(2026, 3, 1, 20, 0, tzinfo=UTC)) == time


def test_since_that_is_no_time() -> None:
    with pytest.raises(ConfigurationError, match="yesterday"):
        show.parse_since("yesterday", now=datetime.now(UTC))


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["serve", "nothing"], 2, "model-server"),
        (["status", "--url", "console:8080"], 2, "http://"),
        (["status", "--url", "http://127.0.0.1:9"], 1, "astrolens up"),
        (["ingest", "/no/such/folder"], 2, "does not exist"),
        (["account", "add", "vera", "--password-stdin"], 2, "too short"),
    ],
)
def test_errors_are_one_sentence_with_an_exit_code(
    arguments: list[str],
    code: int,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("ASTROLENS_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["astrolens", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    monkeypatch.setattr(httpx.Client, "get", _refuse)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == code
    assert said.count("\n") == 1
    assert said.startswith("astrolens: ")
    assert word in said


def _refuse(*_: Any, **__: Any) -> httpx.Response:
    raise httpx.ConnectError("connection refused")


def test_accounts_are_added_listed_and_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASTROLENS_HOME", str(tmp_path))
    added = CliRunner().invoke(cli.app, ["account", "add", "vera", "--password-stdin"], input="a long password\n")
    assert added.exit_code == 0, added.output
    assert run("account", "list") == (0, "vera\n")
    assert run("account", "remove", "vera")[0] == 0
    assert run("account", "remove", "vera")[0] == 1
    assert run("account", "list") == (0, "")


def test_a_healthy_system_has_nothing_wrong_but_its_source() -> None:
    findings = list(check_status(STATUS, logs="/logs"))
    assert [each.sentence for each in findings if not each.ok] == ["the source sdss is unreachable: no network"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"services": {}}, "has never reported"),
        ({"received": 4}, "the books do not balance: 4 received, 3 found again; 1 arrivals are accepted"),
        ({"received": 1}, "2 images have no accepted arrival; `astrolens books --recount`"),
        ({"model": {"state": "unreachable", "detail": "loading"}}, "loading"),
        ({"dead_letters_open": 2}, "2 dead letters"),
        (
            {"services": {**STATUS["services"], "analyzer": {"state": "silent", "detail": "no heartbeat for 60 s"}}},
            "analyzer is silent (no heartbeat for 60 s): look into /logs/analyzer.log",
        ),
    ],
)
def test_what_is_wrong_says_where_to_look(change: dict[str, Any], word: str) -> None:
    wrong = [each.sentence for each in check_status({**STATUS, "sources": {}, **change}, logs="/logs") if not each.ok]
    assert any(word in sentence for sentence in wrong), wrong


def test_a_damaged_bundle_and_an_unwritable_home_are_found(tmp_path: Path) -> None:
    home = tmp_path / "file"
    home.write_text("not a folder")
    settings = Settings(home=home, bundle=tmp_path / "absent", _env_file=None)
    wrong = [finding.sentence for finding in check_installation(settings) if not finding.ok]
    assert any("ASTROLENS_HOME" in sentence for sentence in wrong)
    assert any("ASTROLENS_BUNDLE" in sentence for sentence in wrong)
    assert any("record store" in sentence for sentence in wrong)


def test_every_service_has_its_module() -> None:
    import importlib.util

    for service in SERVICES:
        assert importlib.util.find_spec(service.module) is not None, f"{service.name}: there is no {service.module}"


def test_a_running_system_is_read_from_its_stores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASTROLENS_HOME", str(tmp_path))
    monkeypatch.setenv("ASTROLENS_INFERENCE_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr("astrolens.cli.doctor.running_pid", lambda _: 4711)
    monkeypatch.setattr(httpx.Client, "get", _refuse)
    wrong = [finding.sentence for finding in check_installation(Settings(_env_file=None)) if not finding.ok]
    assert any("the console does not serve" in sentence for sentence in wrong)
    assert any("analyzer has never reported" in sentence for sentence in wrong)
    assert any("no model answers" in sentence for sentence in wrong)
    assert not any("balance" in sentence for sentence in wrong)


async def test_doctor_names_a_budget_that_cannot_be_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLENS_HOME", str(tmp_path))
    settings = Settings(_env_file=None)
    records = record_store(settings.records_url)
    await records.open()
    learning = {"state": SurveyState.LEARNING, "revision": None, "images_needed": 300}
    named = {2.0: "small", 3.34: "enough", None: "of-the-settings"}
    surveys = [
        examples.survey_model().model_copy(update={**learning, "survey": survey, "false_alarms_per_1000": budget})
        for budget, survey in named.items()
    ]
    await records.insert(Collection.SURVEY_MODELS, surveys)
    await records.close()
    (issue,) = await read_budget_issues(settings)
    assert issue.startswith("Under 2 false alarms per 1,000 no image that the survey model of 'small' is fitted on")
    assert "Give it 3.34 per 1,000 or more. `astrolens surveys --budget SURVEY=NUMBER`" in issue


def test_calls_continue_the_trace_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    assert client_module.headers(None) == {}
    monkeypatch.setenv("TRACEPARENT", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    assert client_module.headers("secret") == {
        "Authorization": "Bearer secret",
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
