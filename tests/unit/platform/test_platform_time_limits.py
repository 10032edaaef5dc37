"""Time limits that depend on each other: their order, their table in the architecture page, and the probes."""

import ast
import inspect
import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from astrolens.local import liveness
from astrolens.platform import time_limits as limits
from astrolens.platform.bus.consumer import BATCH_RETRY
from astrolens.platform.settings import Settings

from tests.deploy_files import load

ROOT = Path(__file__).parents[3]
MARGIN_S = 10.0
"""What a limit leaves to what bounds it."""


def probe(path: str, kind: str) -> dict[str, Any]:
    """A probe of the first container of the deployment in a file."""
    text = (ROOT / path).read_text().split("\n---\n", 1)[0]
    found: dict[str, Any] = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"][0][kind]
    return found


def test_a_handler_call_leaves_time_for_everything_that_it_calls() -> None:
    stores_s = limits.STORE_OPERATION_S + limits.IMAGE_OPERATION_S
    assert limits.DOWNLOADS_S + limits.IMAGE_OPERATION_S < limits.HANDLER_S
    assert limits.MODEL_RETRY_S + limits.MODEL_CALL_S + stores_s + MARGIN_S < limits.HANDLER_S
    assert limits.STORE_OPERATION_S < limits.MODEL_CALL_S
    assert limits.STORE_OPERATION_S <= limits.IMAGE_OPERATION_S


def test_a_handler_that_runs_to_its_limit_is_alive() -> None:
    dead_letter_s = limits.STORE_OPERATION_S + 2 * limits.PUBLISH_S
    assert limits.HANDLER_S + MARGIN_S < limits.STUCK_AFTER_S
    assert dead_letter_s < limits.STUCK_AFTER_S
    assert BATCH_RETRY.max_wait_s < limits.STUCK_AFTER_S


def test_a_batch_ends_before_kafka_takes_its_partitions() -> None:
    assert BATCH_RETRY.timeout_s == limits.BATCH_RETRY_S
    assert limits.HANDLER_S < limits.BATCH_RETRY_S
    assert limits.BATCH_RETRY_S + limits.HANDLER_S + MARGIN_S < limits.POLL_INTERVAL_S


def test_a_process_that_hangs_is_restarted_before_kafka_takes_its_partitions() -> None:
    local_s = liveness.MAX_MISSES * (liveness.PROBE_INTERVAL_S + liveness.PROBE_TIMEOUT_S)
    grace_s = limits.SHUTDOWN_GRACE_S + limits.KILL_AFTER_S
    assert limits.STUCK_AFTER_S + local_s + grace_s < limits.POLL_INTERVAL_S
    probed = probe("k8s/base/http-probes.yaml", "livenessProbe")
    kubernetes_s = probed["failureThreshold"] * (probed["periodSeconds"] + probed["timeoutSeconds"])
    assert limits.STUCK_AFTER_S + kubernetes_s + grace_s < limits.POLL_INTERVAL_S


@pytest.mark.parametrize("path", ["k8s/base/http-probes.yaml", "k8s/base/model-server.yaml"])
def test_a_probe_gives_no_service_up_for_one_slow_call_of_a_store(path: str) -> None:
    probed = probe(path, "livenessProbe")
    assert probed["failureThreshold"] * probed["periodSeconds"] > 2 * limits.STORE_OPERATION_S
    assert probed["timeoutSeconds"] < probed["periodSeconds"]
    started = probe(path, "startupProbe")
    assert started["failureThreshold"] * started["periodSeconds"] >= 2 * limits.MODEL_CALL_S


def test_a_service_ends_by_itself_before_it_is_killed() -> None:
    assert Settings.model_fields["shutdown_grace_s"].default == limits.SHUTDOWN_GRACE_S
    assert limits.FORCED_EXIT_S < limits.KILL_AFTER_S
    forced_s = limits.SHUTDOWN_GRACE_S + limits.FORCED_EXIT_S
    pod = load("k8s/base/every-service.yaml")["spec"]["template"]["spec"]
    assert forced_s < pod["terminationGracePeriodSeconds"]
    compose = load("docker-compose.yml")["x-service"]
    assert forced_s < float(compose["stop_grace_period"].removesuffix("s"))


def test_the_architecture_page_shows_this_table() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split("\n## Time limits\n", 1)[1].split("\n## ", 1)[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == list(rows())


def rows() -> list[str]:
    """The rows of the table as the page must show them."""
    body = ast.parse(inspect.getsource(limits)).body
    found: list[str] = []
    for node, text in itertools.pairwise(body):
        match node, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(reason))),
            ):
                unit = "" if name == "STORE_TRIES" else " s"
                found.append(f"| `{name}` | {getattr(limits, name):g}{unit} | {' '.join(reason.split())} |")
    assert len(found) == sum(name.isupper() for name in vars(limits))
    return found
