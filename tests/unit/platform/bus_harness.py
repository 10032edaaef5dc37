"""A bus with one consumer and no broker, and what a test looks at."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from astrolens.contracts import topics
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.records import DeadLetter
from astrolens.platform.bus import Refusal, create_bus
from astrolens.platform.errors import AstroLensError
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Query
from astrolens.platform.telemetry.metrics import Metrics

from tests.unit.platform.platform_fakes import TOPIC, Consumer, FlakyRecords, Published, attach, settings

SHORT_RETRY = RetryPolicy(initial_wait_s=0.001, max_wait_s=0.002, timeout_s=0.05)
DLQ = topics.dead_letter_topic(TOPIC)


class Harness:
    """One bus with one consumer, and everything around it that a test looks at."""

    def __init__(self, home: Path, records: FlakyRecords, **options: Any) -> None:
        self.metrics = Metrics("analyzer")
        self.bus = create_bus(
            settings(home),
            service="analyzer",
            records=records,
            metrics=self.metrics,
            retry_policy=options.pop("retry_policy", SHORT_RETRY),
            breaker=options.pop("breaker", None),
        )
        self.records = records
        self.published = Published(self.bus)
        self.kafka = Consumer()
        self.failure: list[AstroLensError] = []
        self.bus.on_failure = self.failure.append
        self.batches: list[list[str]] = []
        self.settled: list[Refusal] = []
        self.behaviour: Callable[[Sequence[ImageIngested]], Sequence[Refusal]] = lambda _: ()
        self.consumer = self.bus.consume(
            TOPIC, ImageIngested, self._handle, on_refused=options.pop("on_refused", self._settle), **options
        )
        self.subscriber = attach(self.bus, self.kafka)

    async def _handle(self, events: Sequence[ImageIngested]) -> Sequence[Refusal]:
        self.batches.append([event.event_id for event in events])
        return self.behaviour(events)

    async def _settle(self, refusal: Refusal) -> None:
        self.settled.append(refusal)

    async def feed(self, *records: Any) -> None:
        await self.subscriber.consume(records)

    async def letters(self) -> list[DeadLetter]:
        page = await self.records.find(Collection.DEAD_LETTERS, Query())
        found = [DeadLetter.model_validate(document) for document in page.documents]
        return sorted(found, key=lambda letter: letter.offset)

    @property
    def acknowledged(self) -> bool:
        assert (self.kafka.commits > 0) != bool(self.kafka.seeks), "either committed or rewound"
        return self.kafka.commits > 0
