"""`astrolens alerts tail` as it follows: after a restart of the console, and with updates and retractions."""

import json
from typing import Any

import httpx
import pytest
from astrolens.cli import show

from tests.unit.cli.cli_examples import alert


def test_following_alerts_goes_on_where_it_was_after_a_restart_of_the_console(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    same_time = alert(2)["raised_at"]
    answers: list[Any] = [
        {"items": [alert(1), alert(2)], "next": None},
        httpx.ConnectError("connection refused"),
        {"items": [alert(2), alert(3) | {"raised_at": same_time}], "next": None},
    ]
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if "updated_since" in request.url.params:
            return httpx.Response(200, json={"items": [], "next": None})
        asked.append(request.url.params["since"])
        if not answers:
            raise KeyboardInterrupt
        if isinstance(body := answers.pop(0), Exception):
            raise body
        return httpx.Response(200, json=body)

    follow(monkeypatch, answer)
    printed = [json.loads(line)["alert_id"] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["1", "2", "3"]
    behind = "2026-03-01T19:59:32+00:00"
    assert asked == ["2026-03-01T00:00:00+00:00", behind, behind, behind]


def follow(monkeypatch: pytest.MonkeyPatch, answer: Any, *, as_json: bool = True) -> None:
    """`alerts tail` until the console of these answers raises `KeyboardInterrupt`."""
    client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://console")
    monkeypatch.setattr(show, "connect", lambda *_: client)
    monkeypatch.setattr(show.time, "sleep", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        show.tail(as_json=as_json, since="2026-03-01", follow=True, url=None, token=None)


def test_following_alerts_tells_updates_and_retractions_at_their_own_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    retracted = alert(1) | {
        "alert_type": "retraction",
        "updated_at": "2026-03-02T08:30:00.000000Z",
        "update_reason": "ann called it an artefact (satellite\x1b[2J)",
    }
    looks = iter([([alert(1), alert(2)], []), ([retracted, alert(2)], [retracted]), ([], [retracted])])
    changed: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal changed
        if "updated_since" in request.url.params:
            return httpx.Response(200, json={"items": changed, "next": None})
        if (look := next(looks, None)) is None:
            raise KeyboardInterrupt
        raised, changed = look
        return httpx.Response(200, json={"items": raised, "next": None})

    follow(monkeypatch, answer, as_json=False)
    assert capsys.readouterr().out.splitlines() == [
        "2026-03-01T20:00:01Z  p = 0.001  sdss/spiral  http://console/image/1",
        "2026-03-01T20:00:02Z  p = 0.001  sdss/spiral  http://console/image/2",
        "2026-03-02T08:30:00Z  p = 0.001  sdss/spiral retraction: ann called it an artefact (satellite�[2J)  "
        "http://console/image/1",
    ]


def test_an_alert_that_changed_twice_between_two_looks_is_told_three_times(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["2026-03-01T20:00:01.000000Z", "2026-03-01T20:00:01.500000Z", "2026-03-01T20:00:03.000000Z"]
    kinds = ["initial", "retraction", "update"]
    messages = [
        {"revision": n, "at": time, "alert_type": kind, "update_reason": None if not n else f"reason {n}"}
        for n, (time, kind) in enumerate(zip(at, kinds, strict=True))
    ]
    last = alert(1) | {"updated_at": at[2], "messages": messages} | messages[2]
    looks = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal looks
        looks += 1
        if looks > 4:
            raise KeyboardInterrupt
        both = [last, alert(2)] if "since" in request.url.params else [last]
        return httpx.Response(200, json={"items": both, "next": None})

    follow(monkeypatch, answer)
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["alert_id"], each["alert_type"]) for each in printed] == [
        ("1", "initial"),
        ("1", "retraction"),
        ("2", "initial"),
        ("1", "update"),
    ]
    assert [each["updated_at"] for each in printed] == [None, at[1], None, at[2]]
    assert not any("messages" in each for each in printed)
