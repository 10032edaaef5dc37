"""Logs: one line an event, with its context and without secrets."""

import io
import json
import logging
from pathlib import Path

import pytest
import structlog
from astrolens.platform.telemetry.logs import configure_logs, hide_secrets

from tests.unit.platform.platform_fakes import settings

pytestmark = pytest.mark.usefixtures("logging_as_before")


def fail_with_credentials() -> None:
    password = "in-a-" + "local-variable"
    raise ValueError("cannot reach smtp://me:hunter2@mail.example" if password else "")


def test_logs_are_one_json_object_a_line_with_context_and_without_secrets(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logs(settings(tmp_path), service="analyzer", instance="analyzer@here", stream=stream)
    log = structlog.get_logger("test")
    log.info("connected", url="https://user:pass@host/path", token="abc", topic="images")
    logging.getLogger("library").warning("from %s", "a library")
    try:
        fail_with_credentials()
    except ValueError:
        log.exception("failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["connected", "from a library", "failed"]
    assert {line["service"] for line in lines} == {"analyzer"}
    assert {line["instance"] for line in lines} == {"analyzer@here"}
    assert lines[0]["url"] == "https://[hidden]@host/path"
    assert lines[0]["token"] == "[hidden]"
    assert lines[0]["topic"] == "images"
    assert lines[1]["level"] == "warning"
    assert "ValueError" in lines[2]["exception"]
    assert "hunter2" not in stream.getvalue()


def test_logs_for_people_hide_secrets_of_traces_too(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logs(settings(tmp_path, log_format="console"), service="a", instance="i", stream=stream)
    try:
        fail_with_credentials()
    except ValueError:
        structlog.get_logger("test").exception("failed")
    assert "ValueError" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    assert "in-a-local-variable" not in stream.getvalue()


def test_logs_do_not_tell_what_makes_a_presigned_address_good(tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logs(settings(tmp_path), service="console", instance="i", stream=stream)
    query = "X-Amz-Credential=hunter2%2F2026&X-Amz-Expires=60&X-Amz-Signature=hunter2&x-amz-security-token=hunter2"
    structlog.get_logger("test").info("moved", to=f"https://s3.example/b/k?{query}", path=f"/b/k?{query}")
    logging.getLogger("urllib3.connectionpool").debug("GET /b/k?%s", query)
    assert "hunter2" not in stream.getvalue()
    assert stream.getvalue().count("X-Amz-Expires=60") == 2


def test_values_of_secret_names_are_hidden() -> None:
    hidden = hide_secrets(None, "info", {"event": "e", "api_key": "k", "Authorization": "Bearer x", "tokens_seen": 3})
    assert hidden == {"event": "e", "api_key": "[hidden]", "Authorization": "[hidden]", "tokens_seen": "[hidden]"}
