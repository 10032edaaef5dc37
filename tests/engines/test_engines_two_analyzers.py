"""Two analyzers in one consumer group, one of them killed with -9 while images flow."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chaos.kills import Launch, feed, progressed
from tests.e2e.system import System, free_port_block, wait_until
from tests.engines.conftest import TIMEOUT_S

pytestmark = [pytest.mark.chaos, pytest.mark.acceptance, pytest.mark.timeout(TIMEOUT_S)]


@contextlib.contextmanager
def another_analyzer(system: System) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """A second member of the group, and the port of its health."""
    port = free_port_block(1)
    log = system.home / "logs" / "second-analyzer.log"
    with (
        log.open("ab") as lines,
        subprocess.Popen(
            [sys.executable, "-m", "astrolens.cli", "serve", "analyzer"],
            env={**system.environment, "ASTROLENS_ANALYZER_PORT": str(port)},
            stdout=lines,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process, port
        finally:
            process.kill()


def done(port: int) -> float:
    """Images that an analyzer says it has worked on."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "astrolens_settled_total" and sample.labels["outcome"] == "done"
    )


def test_one_of_two_analyzers_is_killed(launch: Launch, folder: Path, undisturbed: dict[str, Any]) -> None:
    with launch() as system, another_analyzer(system) as (second, port):

        def disturb(system: System) -> None:
            progressed(system, folder, 0.3)
            wait_until(lambda: done(port) and done(system.port + 3), timeout_s=60, what="both analyzers at work")
            shares = done(port), done(system.port + 3)
            second.kill()  # -9
            assert second.wait(10) == -9
            print(f"killed after {shares[0]:.0f} images, {shares[1]:.0f} done by the other")

        wait_until(
            lambda: httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200, timeout_s=60, what="the second"
        )
        before = system.pids()
        assert feed(system, folder, disturb) == undisturbed
        assert system.pids() == before
