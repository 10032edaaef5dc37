"""The bus on a real Kafka: log-in, TLS, rights, missing topics, and two members of one group."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.platform.bus import Bus, Refusal, create_bus
from astrolens.platform.bus.access import kafka_access
from astrolens.platform.bus.topics import TopicDeclaration, create_topics, declared_topics
from astrolens.platform.errors import BusUnavailable, ConfigurationError
from astrolens.platform.settings import Settings
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.engines.conftest import kafka_settings
from tests.engines.stack_control import Stack
from tests.unit.platform.platform_fakes import ingested

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[SqliteRecordStore]:
    store = SqliteRecordStore(tmp_path / "records.sqlite")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def settings(engine_settings: dict[str, str], tmp_path: Path) -> Settings:
    return kafka_settings(engine_settings, tmp_path)


@pytest.fixture
async def topic(settings: Settings) -> str:
    """A topic of the test's own, with four partitions."""
    name = f"astrolens.test-{uuid.uuid4().hex[:10]}.v1"
    await create_topics(kafka_access(settings), [TopicDeclaration(name, 4, 3_600_000)])
    return name


async def publish(bus: Bus, topic: str, numbers: Sequence[int]) -> None:
    await bus.publish([ingested(number).pending(topic=topic, key=f"image{number}") for number in numbers])


class Member:
    """A service of the group, and what it handled."""

    def __init__(self, settings: Settings, records: SqliteRecordStore, topic: str, *, pause_s: float = 0.0) -> None:
        self.handled: list[str] = []
        self._pause_s = pause_s
        self.bus = create_bus(settings, service="analyzer", records=records)
        self.bus.consume(topic, ImageIngested, self._handle, group=f"astrolens-{topic}", max_batch=16)

    async def _handle(self, events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        await asyncio.sleep(self._pause_s)
        self.handled += [event.event_id for event in events]
        return ()


async def until(condition: Any, *, timeout_s: float = 60.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.mark.timeout(240)
async def test_two_members_share_a_topic_and_one_takes_over_from_the_other(
    settings: Settings, records: SqliteRecordStore, topic: str
) -> None:
    first, second = (Member(settings, records, topic, pause_s=0.02) for _ in range(2))
    await first.bus.start()
    await publish(first.bus, topic, range(200))
    await until(lambda: len(set(first.handled)) == 200)
    await second.bus.start()
    total = 200
    while not second.handled:  # the group settles within a few seconds
        await publish(first.bus, topic, range(total, total + 100))
        total += 100
        await asyncio.sleep(0.5)
        assert total < 10_000
    await publish(first.bus, topic, range(total, total + 400))
    total += 400
    await asyncio.sleep(0.1)
    await second.bus.stop()  # leaves in the middle; what it had not acknowledged comes to the first
    await until(lambda: len({*first.handled, *second.handled}) == total)
    await first.bus.stop()
    assert second.handled
    assert {*first.handled, *second.handled} == {f"event{number}" for number in range(total)}


async def test_tls_and_its_certificate(
    stack: dict[str, str], engine_settings: dict[str, str], records: SqliteRecordStore, topic: str, tmp_path: Path
) -> None:
    over_tls = {"events_url": stack["STACK_KAFKA_TLS_URL"], "kafka_tls": True}
    trusting = kafka_settings(engine_settings, tmp_path, **over_tls, kafka_ca_file=stack["STACK_KAFKA_CA_FILE"])
    member = Member(trusting, records, topic)
    await member.bus.start()
    await publish(member.bus, topic, [1])
    await until(lambda: member.handled == ["event1"])
    await member.bus.ping()
    await member.bus.stop()
    bus = create_bus(kafka_settings(engine_settings, tmp_path, **over_tls), service="notifier", records=records)
    with pytest.raises(ConfigurationError, match="ASTROLENS_KAFKA_CA_FILE does not vouch for"):
        await bus.connect(timeout_s=8)


async def test_a_wrong_password_is_one_sentence_without_it(
    engine_settings: dict[str, str], records: SqliteRecordStore, tmp_path: Path
) -> None:
    wrong = kafka_settings(engine_settings, tmp_path, kafka_password="not-the-password")
    bus = create_bus(wrong, service="notifier", records=records)
    with pytest.raises(ConfigurationError, match="refuses the log-in of ASTROLENS_KAFKA_USER") as caught:
        await bus.connect(timeout_s=20)
    assert "not-the-password" not in str(caught.value)


async def test_no_login_where_one_is_wanted_is_a_bounded_wait_with_a_hint(
    engine_settings: dict[str, str], records: SqliteRecordStore, tmp_path: Path
) -> None:
    nobody = kafka_settings(engine_settings, tmp_path, kafka_user="", kafka_password=None)
    with pytest.raises(BusUnavailable, match="ASTROLENS_KAFKA_USER"):
        await create_bus(nobody, service="notifier", records=records).connect(timeout_s=3)


async def test_a_topic_that_this_user_may_not_see_or_make_is_named(
    stack: dict[str, str], engine_settings: dict[str, str], records: SqliteRecordStore, tmp_path: Path
) -> None:
    """The user `alerts` cannot make topics, so that one which is not there stays missing."""
    reader = kafka_settings(
        engine_settings,
        tmp_path,
        kafka_user=stack["STACK_ALERTS_USER"],
        kafka_password=stack["STACK_ALERTS_PASSWORD"],
    )
    for name in ("astrolens.alerts.nowhere.smooth.v1", topics.IMAGES_INGESTED):
        member = Member(reader, records, name)
        with pytest.raises(ConfigurationError, match=name):
            await member.bus.start()
        await member.bus.stop()


async def test_declared_topics_are_there_and_making_them_again_changes_nothing(settings: Settings) -> None:
    declared = declared_topics(ROOT / "deploy/kafka/topics.yaml")
    assert {topic.name for topic in declared} >= set(topics.INTERNAL)
    assert await create_topics(kafka_access(settings), declared) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_producer_and_consumer_go_on_when_the_only_broker_returns(
    servers: Stack, settings: Settings, records: SqliteRecordStore, topic: str, kill: bool
) -> None:
    """aiokafka 703, 1133 and 496: no silence, no producer that is dead for good, and no core burnt meanwhile."""
    member = Member(settings, records, topic)
    failures: list[Exception] = []
    member.bus.on_failure = failures.append
    await member.bus.start()
    await publish(member.bus, topic, range(10))
    await until(lambda: len(set(member.handled)) == 10)
    await asyncio.to_thread(servers.stop, "kafka", kill=kill)
    try:
        with pytest.raises(BusUnavailable):
            await publish(member.bus, topic, [10])
        with pytest.raises(BusUnavailable):
            await member.bus.ping()
        process = psutil.Process(os.getpid())
        before = process.cpu_times()
        await asyncio.sleep(10)
        after = process.cpu_times()
    finally:
        await asyncio.to_thread(servers.start, "kafka")
    used_s = after.user + after.system - before.user - before.system
    await published_again(member.bus, topic, range(10, 20))
    await until(lambda: len(set(member.handled)) == 20, timeout_s=120)
    await member.bus.ping()
    await member.bus.stop()
    assert set(member.handled) == {f"event{number}" for number in range(20)}
    assert failures == []
    assert used_s < 1.0, "a tenth of a core"


async def published_again(bus: Bus, topic: str, numbers: Sequence[int]) -> None:
    """Publish as the relay does: again until the broker acknowledges."""
    async with asyncio.timeout(120):
        while True:
            try:
                await publish(bus, topic, numbers)
            except BusUnavailable:
                await asyncio.sleep(1)
            else:
                return
