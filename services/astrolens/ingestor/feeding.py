"""Feeds the service from one source: at the source's pace, within the back-pressure, from where it stopped."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import SourceStatus
from astrolens.ingestor.gate import Gate
from astrolens.ingestor.service import IngestService
from astrolens.ingestor.sources.base import Offer, Position, Source, State
from astrolens.platform.errors import ConfigurationError, TransientError
from astrolens.platform.retry import RetryPolicy, sleep_unless
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.platform.telemetry.tracing import FETCH, NO_TRACING, Tracing

_log = structlog.get_logger(__name__)

_AT_ONCE: Final = 32
"""Offers admitted together at most: bulk writes, and a small overshoot when the gate closes."""

_AHEAD_BYTES: Final = 64 * 2**20
"""A source is not asked for more while this much of it waits; one image may be as large alone."""

_REPORT_EVERY_S: Final = 2.0
_RATE_WINDOW: Final = timedelta(minutes=1)
_RETRY: Final = RetryPolicy(initial_wait_s=1.0, max_wait_s=60.0)


class Feeder:
    """Owns one source. Whatever the source does, the service goes on."""

    def __init__(
        self,
        *,
        source: Source,
        service: IngestService,
        records: RecordStore,
        gate: Gate,
        on_admitted: Callable[[int], None] | None = None,
        on_status: Callable[[SourceStatus], None] | None = None,
        clock: Callable[[], datetime] = utc_now,
        retry_policy: RetryPolicy = _RETRY,
        report_every_s: float = _REPORT_EVERY_S,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._source = source
        self._service = service
        self._records = records
        self._gate = gate
        self._on_admitted = on_admitted
        self._on_status = on_status
        self._clock = clock
        self._retry_policy = retry_policy
        self._report_every_s = report_every_s
        self._tracing = tracing
        self._paused: str | None = None
        self._held_bytes = 0
        self._has_room = asyncio.Event()
        self._recent: deque[tuple[datetime, int]] = deque()

    async def run(self, stopping: asyncio.Event) -> None:
        """Feed until the source has no more, or until `stopping`."""
        reporting = asyncio.create_task(self._report(), name=f"report-{self._source.name}")
        try:
            await self._feed(stopping)
            if not stopping.is_set():
                self._source.report.set("finished", "it has no more images")
        finally:
            reporting.cancel()
            with suppress(asyncio.CancelledError):
                await reporting
            if stopping.is_set():
                self._source.report.set("off", "the ingestor was stopped")
            with suppress(TransientError):
                await self._write_status()

    async def _feed(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            started = self._clock()
            state: State = "unreachable"
            try:
                await self._session(stopping)
            except ConfigurationError as error:
                state, detail = "misconfigured", str(error)
            except TransientError as error:
                detail = str(error)
            except Exception as error:  # noqa: BLE001 - see below; it is logged and shown
                # A source is the least trusted part: its fault is shown, and everything else goes on.
                _log.exception("source failed", source=self._source.name)
                detail = f"{type(error).__name__}: {error}"
            else:
                return
            # A session that went well for a while has earned a short wait again.
            failures = 0 if self._clock() - started > _RATE_WINDOW else failures
            wait_s = self._retry_policy.wait_s(failures)
            failures += 1
            next_try_at = self._clock() + timedelta(seconds=wait_s)
            self._source.report.set(state, detail, next_try_at=next_try_at)
            _log.warning("source waits", source=self._source.name, detail=detail, wait_s=round(wait_s, 1))
            await sleep_unless(stopping, wait_s)

    async def _session(self, stopping: asyncio.Event) -> None:
        offers: asyncio.Queue[Offer] = asyncio.Queue(maxsize=_AT_ONCE)
        self._hold(-self._held_bytes)
        pulling = asyncio.create_task(self._pull(await self._position(), offers), name=f"pull-{self._source.name}")
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                if offers.empty() and pulling.done():
                    pulling.result()
                    return
                taking = asyncio.create_task(offers.get())
                await asyncio.wait({taking, pulling, stop}, return_when=asyncio.FIRST_COMPLETED)
                # One turn of the loop: the task that takes may only just have begun.
                await asyncio.sleep(0)
                if not taking.done():
                    taking.cancel()
                    continue
                batch = [taking.result()]
                while len(batch) < _AT_ONCE and not offers.empty():
                    batch.append(offers.get_nowait())
                self._hold(-sum(_size(offer) for offer in batch))
                await self._admit(batch)
        finally:
            pulling.cancel()
            stop.cancel()
            await asyncio.gather(pulling, stop, return_exceptions=True)

    async def _pull(self, position: Position | None, offers: "asyncio.Queue[Offer]") -> None:
        async with aclosing(self._source.offers(position)) as found:
            async for offer in found:
                await self._gate.wait(on_closed=self._on_closed)
                self._paused = None
                self._hold(_size(offer))
                await offers.put(offer)
                await self._has_room.wait()

    def _hold(self, more_bytes: int) -> None:
        self._held_bytes += more_bytes
        if self._held_bytes < _AHEAD_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _admit(self, batch: list[Offer]) -> None:
        now = self._clock()
        arrivals = [offer.arrival(source=self._source.name, batch=self._source.batch, now=now) for offer in batch]
        with self._tracing.arriving(f"{FETCH} {self._source.name}", source=self._source.name) as traces:
            for offer, arrival in zip(batch, arrivals, strict=True):
                receipt = arrival.receipt.receipt_id
                traces.begin(receipt, began_ns=offer.began_ns, receipt_id=receipt)
            await self._service.admit(arrivals)
        # After the receipts: a crash in between offers the same again, and they are the same arrivals.
        last = next((offer.position for offer in reversed(batch) if offer.position is not None), None)
        if last is not None:
            await self._records.upsert(Collection.META, [{"name": self._position_name, "position": dict(last)}])
        if self._on_admitted is not None:
            self._on_admitted(len(batch))
        self._recent.append((now, len(batch)))
        self._source.report.last_success_at = now

    @property
    def _position_name(self) -> str:
        return f"source:{self._source.name}:{self._source.batch}"

    async def _position(self) -> Position | None:
        found = await self._records.get(Collection.META, [self._position_name])
        document = found.get(self._position_name)
        return None if document is None else document["position"]

    def _on_closed(self, reason: str) -> None:
        self._paused = reason

    async def _report(self) -> None:
        while True:
            try:
                await self._write_status()
            except TransientError as error:
                _log.warning("cannot write the state of a source", source=self._source.name, error=str(error))
            await asyncio.sleep(self._report_every_s)

    async def _write_status(self) -> None:
        now = self._clock()
        while self._recent and now - self._recent[0][0] > _RATE_WINDOW:
            self._recent.popleft()
        counts = await self._records.tally(Collection.RECEIPTS, "source_outcome")
        report = self._source.report
        paused = self._paused if report.state == "running" else None
        status = SourceStatus(
            source=self._source.name,
            state="paused" if paused else report.state,
            detail=paused or report.detail,
            delivered=sum(count for (source, _), count in counts.items() if source == self._source.name),
            rate_per_min=float(sum(count for _, count in self._recent)),
            last_success_at=report.last_success_at,
            next_try_at=report.next_try_at,
            updated_at=now,
        )
        if self._on_status is not None:
            self._on_status(status)
        await self._records.upsert(Collection.SOURCES, [status])


def _size(offer: Offer) -> int:
    return len(offer.data or b"")


async def mark_off(records: RecordStore, names: Sequence[str], *, now: datetime) -> None:
    """Show sources as off that ran once and are not chosen any more."""
    found = await records.get(Collection.SOURCES, names)
    statuses = [SourceStatus.model_validate(document) for document in found.values()]
    off = {"state": "off", "detail": "not among the chosen sources", "rate_per_min": 0.0, "next_try_at": None}
    await records.upsert(
        Collection.SOURCES,
        [one.model_copy(update={**off, "updated_at": now}) for one in statuses if one.state != "off"],
    )
