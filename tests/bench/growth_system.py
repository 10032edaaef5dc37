"""Starting, feeding and stopping the services that `make bench-growth` measures."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import psutil

from tests.bench.arrivals import visit_folder
from tests.bench.growth_archives import Plan, Report
from tests.bench.main import describes
from tests.bench.pipeline import feed
from tests.e2e.system import System
from tests.engines.health import HEALTH, readiness, sentences

_POLL_S = 0.1
_REPORT_EVERY_S = 30.0
_FEED_S = 900.0
_STOP_S = 90.0


def start(system: System, limit_s: float) -> dict[str, Any]:
    """Start everything; seconds until the console, each service's `/readyz` and the model server have answered well.

    `cpu_s` is the processor time of each process until all were ready: on a busy machine only that is of the start.

    Raises:
        AssertionError: It ended, or something did not become ready in time.
    """
    log_path = system.home.parent / f"{system.home.name}-up.log"
    waiting: dict[str, Callable[[], bool]] = {
        "console /api/health": lambda: _ok(f"{system.url}/api/health"),
        "model server RPC": lambda: describes(f"127.0.0.1:{system.port + 1}") is not None,
        **{
            name: lambda offset=offset: _ok(f"http://127.0.0.1:{system.port + offset}/readyz")  # type: ignore[misc]
            for name, offset in HEALTH.items()
        },
    }
    ready: dict[str, float] = {}
    began = time.monotonic()
    with log_path.open("a") as log:
        system.process = subprocess.Popen(
            [sys.executable, "-m", "astrolens.cli", "up"],
            env=system.environment,
            text=True,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    while waiting:
        for name in [name for name, answers in waiting.items() if answers()]:
            ready[name] = round(time.monotonic() - began, 1)
            del waiting[name]
        code = system.process.poll()
        took = time.monotonic() - began
        assert code is None, f"`astrolens up` ended with {code} after {took:.0f} s\n{system.logs()}"
        assert took < limit_s, f"not ready within {limit_s:.0f} s: {_unready(system, waiting)}\n{system.logs()}"
        time.sleep(_POLL_S)
    return {"seconds": max(ready.values()), "ready_s": ready, "cpu_s": _cpu_s(system)}


def _cpu_s(system: System) -> dict[str, float]:
    """Processor time of each service so far, with its children, and their sum, seconds."""
    spent: dict[str, float] = {}
    for name, pid in system.pids().items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
            spent[name] = round(sum(each.user + each.system for each in times), 2)
    return {**spent, "total": round(sum(spent.values()), 2)}


def _unready(system: System, waiting: Iterable[str]) -> str:
    """Who is not ready, and what each says."""
    try:
        told = readiness(system)
    except httpx.HTTPError as error:
        return f"{', '.join(waiting)} ({error})"
    return "; ".join(f"{name}: {sentences(told, name) if told.get(name) else 'does not answer'}" for name in waiting)


def _ok(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def wait_for_index(system: System, plan: Plan, wanted: int, say: Report) -> dict[str, Any]:
    """Wait until the similarity index holds the archive; how many images it holds and how long it took since now.

    It reads the archive page by page beside everything else: some minutes for 100,000 images on the stack. The services
    are up meanwhile, so that what is still missing after the plan's limit is told and waited for no longer.
    """
    began = said = time.monotonic()
    held = 0
    while (waited := time.monotonic() - began) < plan.index_s:
        told = describes(f"127.0.0.1:{system.port + 1}")
        held = told.indexed_images if told else held
        if told and held >= wanted:
            break
        if time.monotonic() - said > _REPORT_EVERY_S:
            said = time.monotonic()
            say(f"the similarity index holds {held:,} of {wanted:,} images after {waited:.0f} s")
        time.sleep(0.5)
    return {"images": held, "complete": held >= wanted, "after_s": round(time.monotonic() - began, 1)}


def stop(system: System) -> float:
    """Stop as Ctrl-C does; seconds."""
    assert system.process is not None
    began = time.monotonic()
    system.process.send_signal(signal.SIGINT)
    code = system.process.wait(_STOP_S)
    assert code == 0, f"`astrolens up` ended with {code}\n{system.logs()}"
    return round(time.monotonic() - began, 1)


def feed_pictures(system: System, plan: Plan, name: str, say: Report) -> dict[str, Any]:
    """Feed new pictures until nothing is in flight; images a second, and processor time an image by service, ms.

    On a busy machine only the second is of the archive.
    """
    pictures = visit_folder(plan.scratch / f"{plan.engine}-{name}-{uuid.uuid4().hex[:8]}", plan.images)
    try:
        before, spent_before = system.status(), _cpu_s(system)
        began = time.perf_counter()
        feed(system, pictures)
        after = system.wait_settled(before["received"] + plan.images, timeout_s=_FEED_S)
        rate = plan.images / (time.perf_counter() - began)
        spent = _cpu_s(system)
    finally:
        shutil.rmtree(pictures)
    settled = {name: after[name] - before[name] for name in ("analyzed", "rejected", "duplicates", "dead_lettered")}
    assert settled["analyzed"] > 0.98 * plan.images, f"of {plan.images} pictures: {settled}"
    cost = {name: round(1e3 * (s - spent_before.get(name, 0.0)) / plan.images, 2) for name, s in spent.items()}
    say(f"{rate:.0f} images/s, {cost['total']} ms of processor time an image")
    return {"images_per_s": round(rate, 1), "cpu_ms": cost}
