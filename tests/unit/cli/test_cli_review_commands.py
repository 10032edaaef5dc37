"""Answers with tags, and the discovery list, from the command line."""

import json
from typing import Any

import httpx
import pytest
from astrolens.cli import answers, discoveries
from astrolens.cli import app as cli
from typer.testing import CliRunner

LIST: dict[str, Any] = {
    "night": "2026-03-01",
    "q": 0.1,
    "tested": 2000,
    "left_out": {"simulated": 12},
    "listed": 1,
    "copies_merged": 29,
    "copies": {"a" * 32: {"count": 29, "image_ids": ["b" * 32]}},
    "promise": "At most 10 % of the listed are expected to be ordinary",
    "limited": None,
    "tail_assumed": False,
    "listed_with_tail": 3,
    "items": [
        {
            "image_id": "a" * 32,
            "p_value_words": {"figure": "p = 0.0012"},
            "class": "spiral",
            "survey": "sdss",
            "name": "odd [red]one",
            "ra_deg": 10.5,
            "dec_deg": -3.25,
            "label": None,
        }
    ],
}
OUTCOMES = {"labels": [{"image_id": "a" * 32, "answer": "interesting", "previous": "ordinary"}]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=OUTCOMES if request.url.path == "/api/labels" else LIST)

    def connect(url: str | None, token: str | None) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://console")

    monkeypatch.setattr(answers, "connect", connect)
    monkeypatch.setattr(discoveries, "connect", connect)
    return requests


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, list(arguments), env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_an_answer_goes_with_its_tags(asked: list[httpx.Request]) -> None:
    said = run("label", "interesting", "a" * 32, "--tag", "tidal tail", "--tag", "pair", "--note", "look again")
    assert said == f"{'a' * 32}  interesting (before: ordinary)\n"
    assert json.loads(asked[0].content) == {
        "image_ids": ["a" * 32],
        "answer": "interesting",
        "tags": ["tidal tail", "pair"],
        "note": "look again",
    }
    run("label", "none", "a" * 32)
    assert json.loads(asked[1].content)["answer"] is None


def test_the_discovery_list_of_a_night_with_its_promise(asked: list[httpx.Request]) -> None:
    shown = run("discoveries", "--night", "2026-03-01", "--q", "0.2")
    assert dict(asked[0].url.params) == {"night": "2026-03-01", "q": "0.2"}
    for word in (
        "1 of 2,000 tested images listed",
        "0.0012",
        "odd [red]one",
        "10.50000",
        LIST["promise"],
        "12 simulated",
        " 29 ",
        "On the assumption of an exponential tail 3 are listed: --assume-tail",
    ):
        assert word in shown
    run("discoveries", "--assume-tail")
    assert dict(asked[1].url.params) == {"q": "0.1", "assume_tail": "true"}
    assert json.loads(run("discoveries", "--json")) == LIST
