"""`astrolens train`: what is sent, and how runs, figures and refusals are told."""

import json
from typing import Any

import httpx
import pytest
from astrolens.cli import app as cli
from astrolens.cli import train
from typer.testing import CliRunner

RUN: dict[str, Any] = {
    "run_id": "0123456789abcdef",
    "state": "done",
    "step": "publishing",
    "progress": 1.0,
    "requested_by": "vera [x]",
    "requested_at": "2026-05-01T12:00:00Z",
    "cancel_requested_by": None,
    "data": {"labels": {"artefact": 12, "ordinary": 30}},
    "answers": 54,
    "changes": ["heads trained"],
    "failure": None,
    "after": {"accuracy": 0.849},
    "gates": {
        "gates": [
            {"name": "oddity AUROC, sdss", "passed": False, "champion": 0.9, "challenger": 0.8, "detail": "worse"},
            {"name": "cost", "passed": True, "champion": 4.0, "challenger": 4.0, "detail": "as before"},
        ],
        "missing": ["no gold items"],
    },
}
VIEW = {"run": RUN, "refusal": "worse", "accuracy_change": 0.049, "auroc": 0.912, "auroc_change": 0.006}
PAGE = {"items": [VIEW], "next": None, "available": False, "detail": "Training is not installed here"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        is_list = request.method == "GET" and request.url.path.endswith("/runs")
        return httpx.Response(200, json=PAGE if is_list else VIEW)

    def connect(url: str | None, token: str | None) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://console")

    monkeypatch.setattr(train, "connect", connect)
    return requests


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, ["train", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_starts_with_the_options_that_were_given(asked: list[httpx.Request]) -> None:
    assert run("start", "--views", "500") == "run 0123456789abcdef is done\n"
    assert json.loads(asked[0].content) == {"options": {"views": 500}}
    run("start", "--network")
    assert json.loads(asked[1].content) == {"options": {"network": True}}


@pytest.mark.parametrize("option", [("--epochs", "20.5"), ("--epochs", "0"), ("--views", "200001"), ("--views", "9")])
def test_what_no_run_may_take_is_refused_before_anything_is_asked(
    asked: list[httpx.Request], option: tuple[str, str]
) -> None:
    result = CliRunner().invoke(cli.app, ["train", "start", *option], env={"COLUMNS": "200"})
    assert result.exit_code == 2
    assert asked == []


def test_the_list_tells_accuracy_beside_the_one_before_and_what_is_missing(asked: list[httpx.Request]) -> None:
    said = run("status")
    assert "Training is not installed here" in said
    assert "84.9% (+4.9%)" in said
    assert "0.912 (+0.006)" in said
    assert "refused by 1 of 2" in said
    assert "vera [x]" in said
    assert json.loads(run("status", "--json")) == PAGE


def test_a_narrow_terminal_has_the_whole_id_of_a_run(asked: list[httpx.Request]) -> None:
    result = CliRunner().invoke(cli.app, ["train", "status"], env={"COLUMNS": "80"})
    assert VIEW["run"]["run_id"] in result.output
    assert "84.9% (+4.9%)" in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_a_run_that_has_just_begun_tells_its_answers_and_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = RUN | {"state": "running", "step": None, "progress": 0.0, "data": None, "after": None, "gates": None}
    page = PAGE | {
        "items": [{"run": begun, "refusal": None, "accuracy_change": None, "auroc": None, "auroc_change": None}]
    }
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=page))
    monkeypatch.setattr(train, "connect", lambda *_: httpx.Client(transport=transport, base_url="http://console"))
    said = run("status")
    assert "running (starting, 0%)" in said
    assert "54" in said


def test_one_run_tells_its_gates(asked: list[httpx.Request]) -> None:
    said = run("status", "0123456789abcdef")
    assert "refused" in said
    assert "not measured: no gold items" in said


def test_cancelling_without_an_id_takes_the_newest(asked: list[httpx.Request]) -> None:
    run("cancel")
    assert [(each.method, each.url.path) for each in asked] == [
        ("GET", "/api/training/runs"),
        ("POST", "/api/training/runs/0123456789abcdef/cancel"),
    ]


def test_there_may_be_nothing_to_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=PAGE | {"items": []}))
    monkeypatch.setattr(train, "connect", lambda *_: httpx.Client(transport=transport, base_url="http://console"))
    result = CliRunner().invoke(cli.app, ["train", "cancel"])
    assert (result.exit_code, str(result.exception)) == (1, "there is no training run to cancel")


def test_a_refusal_names_the_command_instead_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"detail": "No training run has the id 'x': look it up with GET /api/training/runs."}
    transport = httpx.MockTransport(lambda _: httpx.Response(404, json=problem))
    monkeypatch.setattr(train, "connect", lambda *_: httpx.Client(transport=transport, base_url="http://console"))
    result = CliRunner().invoke(cli.app, ["train", "status", "x"])
    assert str(result.exception) == "No training run has the id 'x': look it up with `astrolens train status`."
