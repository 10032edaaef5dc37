"""Faults that the bus meets in its normal life, on a real Kafka protocol: each ends in progress, nothing is lost."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from astrolens.contracts.events import ImageIngested
from astrolens.platform.bus import Bus, Refusal, create_bus
from astrolens.platform.errors import BusUnavailable, TransientError
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.integration.embedded_broker import SHORT_RETRY, running_broker, settings
from tests.unit.platform.platform_fakes import body, ingested

confluent_kafka = pytest.importorskip("confluent_kafka")
PADDING = b" " * 200_000
"""Makes a record large; JSON ignores it."""


@pytest.fixture
def servers() -> Iterator[str]:
    with running_broker() as address:
        yield address


async def publish(bus: Bus, topic: str, *numbers: int) -> None:
    """Publish events in order, all in one partition."""
    await bus.publish([ingested(number).pending(topic=topic, key="one") for number in numbers])


async def until(condition: Any, *, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


async def test_a_consumer_goes_on_where_the_broker_has_dropped_what_it_had_not_read(
    servers: str, tmp_path: Path, records: SqliteRecordStore
) -> None:
    """The embedded broker keeps about 5 MB a partition; what it drops is redelivered from the record store."""
    topic = "astrolens.dropped.v1"
    begun, release = asyncio.Event(), asyncio.Event()
    handled: list[str] = []

    async def slow(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        begun.set()
        await release.wait()
        handled.extend(event.event_id for event in events)
        return ()

    bus = create_bus(settings(tmp_path, servers), service="dropped", records=records)
    bus.consume(topic, ImageIngested, slow, max_batch=1)
    await bus.start()
    await publish(bus, topic, 0)
    await begun.wait()
    producer = confluent_kafka.Producer({"bootstrap.servers": servers, "log_level": 0})
    for number in range(1, 60):
        producer.produce(topic, body(number) + PADDING, key=b"one")
        producer.flush(10)
    await publish(bus, topic, 100)
    release.set()
    await until(lambda: "event100" in handled)
    await publish(bus, topic, 101)
    await until(lambda: "event101" in handled)
    await bus.stop()
    assert len(handled) < 62, "the broker dropped nothing: the test shows nothing"
    assert await records.tally(Collection.DEAD_LETTERS, "state") == {}


async def test_what_failed_is_not_passed_over_by_what_succeeds_after_it(
    servers: str, tmp_path: Path, records: SqliteRecordStore
) -> None:
    """Fail one batch, succeed with the next partition's, restart: the commit of the second must not cover the first."""
    topic = "astrolens.passed-over.v1"
    handled: list[str] = []
    failing = {"event1"}
    failed: list[str] = []

    async def handle(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        if any(event.event_id in failing for event in events):
            failed.append("event1")
            raise TransientError("store unreachable")
        handled.extend(event.event_id for event in events)
        return ()

    def create() -> Bus:
        bus = create_bus(settings(tmp_path, servers), service="passed", records=records, retry_policy=SHORT_RETRY)
        bus.consume(topic, ImageIngested, handle, max_batch=1)
        return bus

    bus = create()
    await bus.start()
    for number in range(40):
        await bus.publish([ingested(number).pending(topic=topic, key=f"image{number}")])
    await until(lambda: len(failed) > 1 and len(handled) >= 20)
    await bus.stop()
    assert "event1" not in handled
    failing.clear()
    again = create()
    await again.start()
    await until(lambda: len(set(handled)) == 40)
    await again.stop()
    assert "event1" in handled


SERVICE = """
import asyncio
import sys
from pathlib import Path
from astrolens.contracts.events import ImageIngested
from astrolens.platform.runtime.service import ServiceApp, run
from astrolens.platform.settings import Settings

home, servers, topic = sys.argv[1:]

def build():
    app = ServiceApp(
        Settings(_env_file=None, home=Path(home), events_url=f"kafka://{servers}", shutdown_grace_s=1.0),
        service="signalled",
    )

    async def endless(events):
        print(events[0].event_id, flush=True)
        await asyncio.Event().wait()

    app.bus.consume(topic, ImageIngested, endless, max_batch=1)
    return app

sys.exit(run(build))
"""


async def test_a_service_that_is_ended_inside_its_handler_acknowledges_nothing(
    servers: str, tmp_path: Path, records: SqliteRecordStore
) -> None:
    topic = "astrolens.signalled.v1"
    bus = create_bus(settings(tmp_path, servers), service="other", records=records)
    await bus.connect()
    await publish(bus, topic, *range(3))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE, str(tmp_path), servers, topic, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 60)).strip() == b"event0"
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.wait(), 30)
    await bus.stop()

    handled: list[str] = []

    async def handle(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        handled.extend(event.event_id for event in events)
        return ()

    again = create_bus(settings(tmp_path, servers), service="signalled", records=records)
    again.consume(topic, ImageIngested, handle)
    await again.start()
    await until(lambda: len(handled) == 3)
    await again.stop()
    assert handled == ["event0", "event1", "event2"]


BROKER = """
import sys
from astrolens.local.broker import EmbeddedBroker
with EmbeddedBroker() as broker:
    print(broker.url, flush=True)
    sys.stdin.read()
"""


MEASURED_S = 4.0


@pytest.mark.timeout(600)
async def test_a_service_without_its_broker_costs_little_and_says_so(tmp_path: Path) -> None:
    broker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BROKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert broker.stdout is not None
    servers = (await asyncio.wait_for(broker.stdout.readline(), 60)).decode().strip().removeprefix("kafka://")
    handled: list[str] = []

    async def handle(events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        handled.extend(event.event_id for event in events)
        return ()

    app = ServiceApp(settings(tmp_path, servers, shutdown_grace_s=2.0), service="lonely")
    app.bus.consume("astrolens.lonely.v1", ImageIngested, handle)
    async with app.running():
        await publish(app.bus, "astrolens.lonely.v1", 0)
        await until(lambda: handled)
        before_ms = app.bus.last_fetches_ms()["astrolens.lonely.v1"]
        assert before_ms
        await until(lambda: app.bus.last_fetches_ms()["astrolens.lonely.v1"] != before_ms)  # an idle consumer fetches
        broker.kill()
        await broker.wait()
        with pytest.raises(BusUnavailable):
            await publish(app.bus, "astrolens.lonely.v1", 1)
        process = psutil.Process(os.getpid())
        before = process.cpu_times()
        await asyncio.sleep(MEASURED_S)
        after = process.cpu_times()
        used_s = after.user + after.system - before.user - before.system
        with pytest.raises(BusUnavailable):
            await app.bus.ping()
    assert used_s < 0.1 * MEASURED_S, "a tenth of a core"
    assert app.condition.state == "stopped", "every step of the shutdown was run"
