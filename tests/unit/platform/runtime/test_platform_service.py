"""The life of a service: order of opening and closing, exit codes, signals. No sockets: no bus, no port."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from astrolens.platform.bus import TooManyDeadLetters
from astrolens.platform.errors import AstroLensError, ConfigurationError, StoreUnavailable
from astrolens.platform.runtime import parent_watch as parent
from astrolens.platform.runtime.service import ServiceApp, run
from astrolens.platform.runtime.shutdown import Shutdown
from astrolens.platform.runtime.tasks import Tasks
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.unit.platform.platform_fakes import settings


def build(home: Path, **options: Any) -> ServiceApp:
    overrides = {name: options.pop(name) for name in ("shutdown_grace_s",) if name in options}
    return ServiceApp(settings(home, **overrides), service="analyzer", with_bus=False, **options)


async def status(home: Path) -> dict[str, Any]:
    store = SqliteRecordStore(home / "records.sqlite")
    await store.open()
    try:
        (document,) = (await store.find(Collection.SERVICES, Query())).documents
        return document
    finally:
        await store.close()


async def test_building_opens_nothing(tmp_path: Path) -> None:
    build(tmp_path / "home")
    assert not (tmp_path / "home").exists()


async def test_hooks_and_tasks_run_in_order_and_end_in_reverse(tmp_path: Path) -> None:
    steps: list[str] = []
    app = build(tmp_path)

    def note(step: str) -> Callable[[], Any]:
        async def hook() -> None:
            steps.append(step)
            await app.records.ping()  # still open

        return hook

    async def task() -> None:
        steps.append("task begins")
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("task ends")

    app.spawn("task", task)
    for name in ("model", "index"):
        app.on_start(name, note(f"{name} starts"))
        app.on_stop(name, note(f"{name} stops"))
    async with app.running():
        await asyncio.sleep(0)
        assert app.condition.state == "running"
        assert app.stopping.is_set() is False
    assert steps == ["model starts", "index starts", "task begins", "task ends", "index stops", "model stops"]
    last = await status(tmp_path)
    assert (last["state"], last["ready"], last["service"]) == ("stopped", False, "analyzer")


async def test_the_heartbeat_shows_what_the_service_does(tmp_path: Path) -> None:
    app = build(tmp_path)
    app.info["model"] = "first-light"
    async with app.running():
        app.processed += 3
    last = await status(tmp_path)
    assert (last["processed"], last["lag"], last["info"]) == (3, None, {"model": "first-light"})


async def test_a_task_that_fails_stops_the_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = build(tmp_path)

    async def dies() -> None:
        raise ZeroDivisionError("division by zero")

    app.spawn("scheduler", dies)
    assert await app.serve() == 1
    sentence = capsys.readouterr().err.splitlines()[-1]
    assert sentence == "astrolens: analyzer: the task 'scheduler' failed: ZeroDivisionError: division by zero"


async def test_a_task_that_ends_by_itself_is_no_failure(tmp_path: Path) -> None:
    app = build(tmp_path)

    async def ends() -> None:
        asyncio.get_running_loop().call_soon(app.request_stop)

    app.spawn("once", ends)
    assert await app.serve() == 0


async def test_an_open_breaker_has_its_own_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = build(tmp_path)

    async def breaks() -> None:
        app.fail(TooManyDeadLetters("analyzer stopped: too many dead letters"))

    app.spawn("breaker", breaks)
    assert await app.serve() == 3
    assert "astrolens: analyzer stopped: too many dead letters" in capsys.readouterr().err
    assert (await status(tmp_path))["last_errors"] == ["analyzer stopped: too many dead letters"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_gracefully(tmp_path: Path, number: signal.Signals) -> None:
    app = build(tmp_path)

    async def signals() -> None:
        os.kill(os.getpid(), number)

    app.spawn("somebody", signals)
    assert await asyncio.wait_for(app.serve(), 30) == 0
    assert (await status(tmp_path))["state"] == "stopped"


async def test_a_stop_during_the_start_ends_it(tmp_path: Path) -> None:
    class UnavailableStore(SqliteRecordStore):
        async def open(self) -> None:
            raise StoreUnavailable("no route to host")

    app = build(tmp_path, records=UnavailableStore(tmp_path / "records.sqlite"))
    asyncio.get_running_loop().call_later(0.1, app.request_stop)
    assert await asyncio.wait_for(app.serve(), 3) == 0
    assert app.condition.detail == "no route to host"


async def test_what_was_opened_is_closed_when_the_start_fails(tmp_path: Path) -> None:
    closed: list[str] = []

    class RecordedStore(SqliteRecordStore):
        async def close(self) -> None:
            closed.append("records")
            await super().close()

    app = build(tmp_path, records=RecordedStore(tmp_path / "records.sqlite"))

    async def fails() -> None:
        raise ConfigurationError("the bundle is damaged")

    app.on_start("model", fails)
    with pytest.raises(ConfigurationError, match="bundle is damaged"):
        await app.serve()
    assert closed == ["records"]


def test_a_wrong_setting_is_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    def create() -> ServiceApp:
        raise ConfigurationError("ASTROLENS_RECORDS_URL: no record store serves 'http'://")

    assert run(create) == 2
    assert capsys.readouterr().err == "astrolens: ASTROLENS_RECORDS_URL: no record store serves 'http'://\n"


def test_a_service_without_a_bus_says_so(tmp_path: Path) -> None:
    app = build(tmp_path)
    with pytest.raises(AstroLensError, match="without a bus"):
        _ = app.bus
    with pytest.raises(AstroLensError, match="without a bus"):
        _ = app.outbox


async def test_a_step_that_hangs_or_fails_does_not_keep_the_others_from_closing() -> None:
    done: list[str] = []
    shutdown = Shutdown(grace_s=0.05)

    async def closes() -> None:
        done.append("store")

    async def hangs() -> None:
        await asyncio.sleep(60)

    async def fails() -> None:
        raise OSError("broken")

    shutdown.register("store", closes)
    shutdown.register("hangs", hangs)
    shutdown.register("fails", fails)
    with structlog.testing.capture_logs() as lines:
        await asyncio.wait_for(shutdown.run(), 3)
    assert done == ["store"]
    assert [line["step"] for line in lines] == ["fails", "hangs"]
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(1)
            assert not thread.is_alive(), "a shutdown in time must not be followed by a forced exit"


async def test_a_step_that_awaited_something_cancelled_does_not_keep_the_others_from_closing() -> None:
    """As aiokafka does when its broker is unreachable: it cancels its own fetches and awaits them."""
    closed: list[str] = []

    async def records() -> None:
        closed.append("records")

    async def consumers() -> None:
        fetch = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        fetch.cancel()
        await fetch

    shutdown = Shutdown(grace_s=5.0)
    shutdown.register("records", records)
    shutdown.register("consumers", consumers)
    await shutdown.run()
    assert closed == ["records"]


async def test_a_shutdown_that_is_cancelled_itself_ends() -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    shutdown = Shutdown(grace_s=60.0)
    shutdown.register("endless", endless)
    task = asyncio.create_task(shutdown.run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_graceful_tasks_end_by_themselves_and_others_are_cancelled() -> None:
    ends: list[str] = []
    stopping = asyncio.Event()
    tasks = Tasks(lambda name, _: ends.append(f"{name} died"))

    async def graceful() -> None:
        await stopping.wait()
        ends.append("graceful")

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    tasks.spawn("graceful", graceful, graceful=True)
    tasks.spawn("stubborn", stubborn)
    tasks.spawn("stubborn too", stubborn, graceful=True)
    tasks.start()
    await asyncio.sleep(0)
    stopping.set()
    await tasks.stop(0.05)
    assert sorted(ends) == ["cancelled", "cancelled", "graceful"]


def test_the_end_of_the_parents_pipe_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    reading, writing = os.pipe()
    watching = threading.Thread(target=parent.stop_at_end_of_pipe, args=(reading,))
    watching.start()
    os.write(writing, b"still here")
    assert killed == []
    os.close(writing)
    watching.join(5)
    os.close(reading)
    assert killed == [(os.getpid(), signal.SIGTERM)]


def test_a_parent_that_did_not_ask_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(parent.ENVIRONMENT_VARIABLE, raising=False)
    assert parent.watch_parent() is None
