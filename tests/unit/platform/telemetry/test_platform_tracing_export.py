"""Where traces are sent: wrong settings, collectors that do not answer, packages that are missing."""

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.telemetry.create_tracing import create_tracing
from astrolens.platform.telemetry.tracing_otel import OtelTracing
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from tests.unit.platform.platform_fakes import (
    settings,
)

pytestmark = pytest.mark.usefixtures("logged")


def test_a_wrong_variable_of_opentelemetry_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "zip")
    traced = OtelTracing(service="s", instance="i", endpoint="http://nowhere:1", ratio=1.0)
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_COMPRESSION"):
        traced.open()


class Broken(SpanExporter):
    """A collector that does not answer while `unreachable`."""

    def __init__(self) -> None:
        self.unreachable = True
        self.attempts = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.attempts += 1
        if self.unreachable and self.attempts % 2:
            raise ConnectionError("no route")
        return SpanExportResult.FAILURE if self.unreachable else SpanExportResult.SUCCESS


def test_an_unreachable_collector_is_logged_once(logged: list[Any]) -> None:
    from astrolens.platform.telemetry.tracing_export import OutageReportingExporter

    inner = Broken()
    exporter = OutageReportingExporter(inner, "http://collector:4317")
    span: Any = object()
    for _ in range(4):
        assert exporter.export([span] * 10) is SpanExportResult.FAILURE
    inner.unreachable = False
    assert exporter.export([span]) is SpanExportResult.SUCCESS
    assert exporter.export([span]) is SpanExportResult.SUCCESS
    assert [(line["log_level"], line.get("lost")) for line in logged] == [("warning", None), ("info", 40)]


def test_the_shutdown_waits_only_so_long_for_a_collector() -> None:
    collector_answers, exported = threading.Event(), threading.Event()

    class Hanging(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            collector_answers.wait(60)
            exported.set()
            return SpanExportResult.SUCCESS

    traced = OtelTracing(service="s", instance="i", endpoint="http://nowhere:1", ratio=1.0, exporter=Hanging())
    traced.open()
    with traced.arriving("fetch sdss") as arrivals:
        arrivals.begin("receipt")
    try:
        traced.close(0.2)
        assert not exported.is_set(), "it waited for the collector"
    finally:
        collector_answers.set()


def test_without_a_collector_nothing_of_opentelemetry_is_imported() -> None:
    program = (
        "import sys\n"
        "from astrolens.platform.runtime.services import SERVICES\n"
        "from importlib import import_module\n"
        "from astrolens.platform.settings import load_settings\n"
        "for service in (each for each in SERVICES if each.name != 'console'):\n"
        "    import_module(service.module).create_app(load_settings(events_url='kafka://127.0.0.1:9'))\n"
        "parts = ('opentelemetry.sdk', 'opentelemetry.exporter', 'opentelemetry.trace')\n"
        "print([name for name in sys.modules if name.startswith(parts)])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize(
    "url", ["collector:4317", "ftp://collector", "http://", "http://host:99999", "http://h/v1/traces"]
)
def test_a_wrong_address_is_one_sentence(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="ASTROLENS_TRACES_URL"):
        create_tracing(settings(tmp_path, traces_url=url), service="analyzer", instance="analyzer@here")


def test_an_absent_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "astrolens.platform.telemetry.tracing_otel", None)
    with pytest.raises(ConfigurationError, match=r"astrolens\[tracing\]"):
        create_tracing(settings(tmp_path, traces_url="https://collector"), service="analyzer", instance="analyzer@here")
