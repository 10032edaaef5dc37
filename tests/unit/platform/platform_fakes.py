"""Records, events and stores for the tests of bus, outbox and service. No sockets."""

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import ImageRecord, PendingEvent
from astrolens.platform.bus import Bus
from astrolens.platform.errors import BusUnavailable, StoreUnavailable
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

TOPIC = topics.IMAGES_INGESTED


def settings(home: Path, **overrides: Any) -> Settings:
    return Settings(_env_file=None, home=home, events_url="kafka://127.0.0.1:9", **overrides)


def ingested(number: int) -> ImageIngested:
    return ImageIngested(
        event_id=f"event{number}",
        producer="astrolens-test/0",
        occurred_at=datetime(2026, 11, 22, tzinfo=UTC),
        image_id=f"image{number}",
        survey="sdss",
        cutout_key=f"cutouts/im/image{number}.jpg",
        cutout_sha256="0" * 64,
    )


def body(number: int) -> bytes:
    return ingested(number).model_dump_json().encode()


def record(
    value: bytes | None,
    offset: int,
    *,
    partition: int = 0,
    key: bytes | None = b"key",
    headers: Sequence[tuple[str, bytes]] = (("content-type", b"application/json"),),
    topic: str = TOPIC,
) -> ConsumerRecord:
    size = len(value or b"")
    return ConsumerRecord(topic, partition, offset, 0, 0, key, value, None, len(key or b""), size, tuple(headers))


def image_with_pending(number: int) -> ImageRecord:
    sha256 = f"{number:064x}"
    at = datetime(2026, 11, 22, tzinfo=UTC).isoformat()
    return ImageRecord.model_validate(
        {
            "image_id": f"image{number}",
            "receipt_id": f"receipt{number}",
            "source": "test",
            "batch": "batch",
            "observation": {"survey": "sdss"},
            "original": {
                "key": f"originals/{sha256}",
                "sha256": sha256,
                "size_bytes": 1,
                "media_type": "image/jpeg",
                "width": 64,
                "height": 64,
            },
            "cutout": {"key": "c", "sha256": sha256, "width": 64, "height": 64, "scale": 1, "stretch": "none"},
            "phash": "0" * 16,
            "ingested_at": at,
            "offered_at": at,
            "pending": [pending(number).model_dump()],
        }
    )


def pending(number: int) -> PendingEvent:
    return ingested(number).pending(topic=TOPIC, key=f"image{number}")


class Published:
    """Stands in for the broker's side of `publish`: remembers, or fails `failures` times."""

    def __init__(self, bus: Bus) -> None:
        self.messages: list[dict[str, Any]] = []
        self.failures = 0
        bus.broker.publish = self._publish  # type: ignore[method-assign, assignment]

    async def _publish(self, message: bytes, topic: str, **options: Any) -> "asyncio.Future[None]":
        if self.failures:
            self.failures -= 1
            raise ConnectionError("broker unreachable")
        self.messages.append({"body": message, "topic": topic, **options})
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def on(self, topic: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["topic"] == topic]


class Consumer:
    """Stands in for aiokafka's consumer: remembers commits and seeks, and knows how much waits."""

    def __init__(self, waiting: int = 0) -> None:
        self.commits = 0
        self.seeks: dict[TopicPartition, int] = {}
        self.waiting = waiting

    async def commit(self) -> None:
        self.commits += 1

    def seek(self, *, partition: TopicPartition, offset: int) -> None:
        self.seeks[partition] = offset

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(TOPIC, 0)}

    def highwater(self, _: TopicPartition) -> int:
        return 100 + self.waiting

    async def position(self, _: TopicPartition) -> int:
        return 100

    def last_poll_timestamp(self, _: TopicPartition) -> int:
        return 1

    async def stop(self) -> None:
        self.waiting = 0


class FlakyRecords(SqliteRecordStore):
    """The real store, unreachable for the next `failures` writes of dead letters or changes."""

    failures = 0

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("record store unreachable")

    async def insert(self, collection: Collection, documents: Sequence[Any]) -> set[str]:
        if collection is Collection.DEAD_LETTERS:
            self._fail()
        return await super().insert(collection, documents)

    async def apply(self, collection: Collection, changes: Sequence[Any]) -> set[str]:
        self._fail()
        return await super().apply(collection, changes)


class FakeBus:
    """A bus for the outbox: remembers what was published, or is unreachable."""

    service = "test"

    def __init__(self) -> None:
        self.published: list[str] = []
        self.unreachable = False
        self.entered = asyncio.Event()
        self.hold: asyncio.Event | None = None

    async def publish(self, events: Sequence[PendingEvent]) -> None:
        self.entered.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.unreachable:
            raise BusUnavailable("broker unreachable")
        self.published += [event.event_id for event in events]


def attach(bus: Bus, consumer: Consumer) -> Any:
    """Make the bus's one subscriber ready to consume, as after `start`, and return it."""
    subscriber: Any
    (subscriber,) = bus.broker.subscribers
    bus.broker._setup_logger()
    subscriber._build_fastdepends_model()
    subscriber.consumer = consumer
    subscriber.running = True
    return subscriber


def unbase64(text: str) -> bytes:
    return base64.b64decode(text)


def original_headers(text: str) -> list[tuple[str, bytes]]:
    return [(name, unbase64(value)) for name, value in json.loads(text)]
