"""`astrolens models`: tables for people, JSON for programs, and what a decision asks of the console."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.cli import app as cli
from astrolens.cli import models
from astrolens.platform.errors import ConfigurationError
from astrolens.science.bundle import MANIFEST, write_bundle
from typer.testing import CliRunner

from tests.behaviour.model_registry import write_folder
from tests.unit.inference.tiny_bundle import write_tiny_bundle

DIGEST = "3fdba35f04dc8c462986c992bcf875546257113072a909c162f7e470e581e278"
SHADOW = {
    "champion_digest": "0bc72abb3f0a" + "0" * 52,
    "images": 40,
    "wanted": 300,
    "newly_anomalous": 3,
    "no_longer_anomalous": 1,
    "rank_correlation": 0.912,
}
MODEL: dict[str, Any] = {
    "digest": DIGEST,
    "name": "second-light",
    "version": "0.3.1",
    "state": "shadow",
    "serves": False,
    "first_served_at": None,
    "signed_with": "5d41402abc4b2a76",
    "created_at": "2026-11-26T03:00:00Z",
    "created_by": "training run 7",
    "gates": {"passed": False, "gates": [{"name": "macro F1", "passed": False, "detail": "0.70 after 0.82"}]},
    "failed_gates": ["macro F1"],
    "history": [{"state": "candidate", "at": "2026-11-26T03:00:00Z", "by": "run 7", "why": "[red]no markup[/]"}],
    "shadow": SHADOW,
}
CARD = {"image_id": "e" * 32, "name": "NGC 1", "survey": "sdss", "p_value": 0.004}
DIFF = {"digest": DIGEST, "shadow": SHADOW, "newly_anomalous": [CARD], "no_longer_anomalous": []}


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """What was asked of the console: method, path, body."""
    asked: list[tuple[str, str, str]] = []
    answers: dict[str, Any] = {
        "/api/models": {"items": [MODEL], "serving": None},
        "/api/models/3fdba3": MODEL,
        "/api/models/3fdba3/diff": DIFF,
        "/api/models/3fdba3/shadow": MODEL,
        "/api/models/3fdba3/promote": {"digest": DIGEST},
        "/api/models/rollback": {"digest": DIGEST},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, request.content.decode()))
        return httpx.Response(200, json=answers[request.url.path])

    def connect(*_: object) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://console")

    monkeypatch.setattr(models, "connect", connect)
    monkeypatch.setenv("COLUMNS", "200")
    return asked


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_bundles_are_a_table_for_people_and_json_for_programs(console: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run("list", "--json"))["items"] == [MODEL]
    listed = run("list")
    for word in (
        "second-light 0.3.1",
        DIGEST[:12],
        "shadow",
        "failed 1 of 1",
        "40 of 300 images beside 0bc72abb3f0a: 3 newly anomalous",
    ):
        assert word in listed
    monkeypatch.setenv("COLUMNS", "80")
    narrow = run("list")
    assert DIGEST[:12] in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    monkeypatch.setenv("COLUMNS", "200")
    shown = run("show", "3fdba3")
    for word in (DIGEST, "failed macro F1: 0.70 after 0.82", "rank correlation 0.91", "[red]no markup[/]"):
        assert word in shown
    changed = run("diff", "3fdba3")
    assert ("NGC 1" in changed, "0.004" in changed, "no longer anomalous" in changed) == (True, True, True)


@pytest.mark.parametrize(
    ("state", "serves", "first_served_at", "words"),
    [
        ("promoted", True, "2026-11-26T03:00:00Z", "promoted (serves)"),
        ("promoted", False, None, "promoted (no model server serves it)"),
        ("retired", True, "2026-11-26T03:00:00Z", "retired (serves)"),
        ("retired", False, None, "retired (not seen serving)"),
        ("retired", False, "2026-11-26T03:00:00Z", "retired"),
    ],
)
def test_who_serves_is_what_model_servers_say(
    console: Any, monkeypatch: pytest.MonkeyPatch, state: str, serves: bool, first_served_at: str | None, words: str
) -> None:
    monkeypatch.setitem(MODEL, "state", state)
    monkeypatch.setitem(MODEL, "serves", serves)
    monkeypatch.setitem(MODEL, "first_served_at", first_served_at)
    assert f"second-light 0.3.1  {words}\n" in run("show", "3fdba3")


def test_decisions_say_why(console: Any) -> None:
    assert "was promoted" in run("promote", "3fdba3", "--why", "finds more")
    assert "back to" in run("rollback", "--why", "too many")
    assert "on 300 images" in run("shadow", "3fdba3", "--images", "50")
    run("shadow", "3fdba3")
    assert [(method, path, json.loads(body)) for method, path, body in console] == [
        ("POST", "/api/models/3fdba3/promote", {"why": "finds more"}),
        ("POST", "/api/models/rollback", {"why": "too many"}),
        ("POST", "/api/models/3fdba3/shadow", {"images": 50}),
        ("POST", "/api/models/3fdba3/shadow", {}),
    ]
    assert CliRunner().invoke(cli.app, ["models", "rollback"]).exit_code == 2


def test_a_folder_is_published_once_and_what_is_no_bundle_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASTROLENS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(models, "_check", lambda *_: None)
    (tmp_path / "home").mkdir()
    digest = write_folder(tmp_path / "bundle", version="7")
    for _ in range(2):
        assert f"{digest[:12]} (made 7) is candidate" in run("publish", str(tmp_path / "bundle"))
    (tmp_path / "bundle" / "model.onnx").write_bytes(b"another")
    with pytest.raises(ConfigurationError, match=r"cannot be published: its model\.onnx is not what the manifest says"):
        models.publish(tmp_path / "bundle", by="vera")
    assert (tmp_path / "home" / "keys" / "model-signing.key").stat().st_mode & 0o077 == 0


def test_what_no_model_server_could_load_is_not_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ASTROLENS_HOME", str(tmp_path / "home"))
    bundle = write_tiny_bundle(tmp_path / "junk")
    contents = {path.name: path.read_bytes() for path in bundle.path.iterdir() if path.name != MANIFEST}
    write_bundle(bundle.path, bundle.manifest, contents | {"model.onnx": b"no graph at all"})
    with pytest.raises(ConfigurationError) as refused:
        models.publish(tmp_path / "junk", by="vera")
    assert "junk cannot be published: its model.onnx: ONNX Runtime does not load it" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "home" / "records.sqlite").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "show", "../status"),
        ("models", "promote", "..", "--why", "x"),
        ("train", "status", "../../status"),
        ("surveys", "--budget", "../x=3"),
        ("surveys", "--budget", "=20"),
        ("surveys", "--calibrate", "../models/x#"),
    ],
)
def test_no_name_leads_to_another_address(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*arguments, "--url", "http://127.0.0.1:9"])
    assert isinstance(result.exception, ConfigurationError)
    assert "is no name and no id" in str(result.exception)


def test_a_question_mark_is_part_of_the_name(console: list[tuple[str, str, str]]) -> None:
    with pytest.raises(KeyError, match="3fdba3"):
        run("show", "3fdba3?x=1")
    assert console == [("GET", "/api/models/3fdba3?x=1", "")]


@pytest.mark.parametrize("budget", ["nan", "inf", "1e400", "many"])
def test_a_budget_is_a_finite_number(budget: str) -> None:
    result = CliRunner().invoke(cli.app, ["surveys", "--budget", f"sdss={budget}"])
    assert isinstance(result.exception, ConfigurationError)
    assert "is no budget" in str(result.exception)


def test_one_survey_has_one_budget() -> None:
    result = CliRunner().invoke(cli.app, ["surveys", "--aggressive", "sdss", "--budget", "sdss=3"])
    assert isinstance(result.exception, ConfigurationError)
    assert "choose one of them" in str(result.exception)
