"""Feeds the service from one source: at the source's rate, within the backpressure, from where it stopped.

Of several ingestors one at a time feeds from a source: the one that holds its lease. Another continues behind the
stored cursor when the lease is released or has ended. An image that both yield is one arrival.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.status import SourceStatus
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.service import IngestService
from astrolens.ingestor.source_lease import SourceLease
from astrolens.ingestor.sources.base import Source, SourceCursor, SourceImage, SourceState
from astrolens.platform.errors import ConfigurationError, TransientError
from astrolens.platform.retry import RetryPolicy, sleep_unless
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, RecordStore
from astrolens.platform.telemetry.tracing import FETCH, NO_TRACING, Tracing

_log = structlog.get_logger(__name__)

_BATCH_SIZE: Final = 32
"""Images admitted together at most: bulk writes, and a small overshoot when the backpressure sets in."""

_MAX_BUFFERED_BYTES: Final = 64 * 2**20
"""A source is not asked for more while this much of it waits; one image may be as large alone."""

_STATUS_INTERVAL_S: Final = 2.0
_RATE_WINDOW: Final = timedelta(minutes=1)
_RETRY: Final = RetryPolicy(initial_wait_s=1.0, max_wait_s=60.0)

_CURSOR_FIELD: Final = "position"
"""Name of the cursor in its document of `META`; stores have held it under this name since the first release."""


class SourceFeeder:
    """Owns one source. Whatever the source does, the service continues."""

    def __init__(
        self,
        *,
        source: Source,
        service: IngestService,
        records: RecordStore,
        lease: SourceLease,
        backpressure: Backpressure,
        condition: Condition | None = None,
        on_admitted: Callable[[int], None] | None = None,
        on_status: Callable[[SourceStatus], None] | None = None,
        on_lease_lost: Callable[[str], None] | None = None,
        clock: Callable[[], datetime] = utc_now,
        retry_policy: RetryPolicy = _RETRY,
        status_interval_s: float = _STATUS_INTERVAL_S,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """Compose; nothing runs yet.

        Args:
            source: Where the images come from.
            service: Who admits them.
            records: Where the cursor and the status of the source are stored.
            lease: The right to feed from the source.
            backpressure: Waited for before each image.
            condition: Where a status that cannot be written is reported.
            on_admitted: Called with the number of images admitted.
            on_status: Called with every status that is written.
            on_lease_lost: Called with the source's name when another instance may feed from it.
            clock: The present time.
            retry_policy: Waits after a session that failed.
            status_interval_s: Seconds between two writes of the status.
            tracing: Begins a trace for each image.
        """
        self._source = source
        self._service = service
        self._records = records
        self._lease = lease
        self._backpressure = backpressure
        self._on_admitted = on_admitted
        self._on_status = on_status
        self._on_lease_lost = on_lease_lost
        self._clock = clock
        self._retry_policy = retry_policy
        self._tracing = tracing
        self._paused: str | None = None
        self._buffered_bytes = 0
        self._has_room = asyncio.Event()
        self._recent: deque[tuple[datetime, int]] = deque()
        self._status_writer = PeriodicTask(
            f"status of source {source.name}",
            self._write_status,
            interval_s=status_interval_s,
            condition=condition or Condition(),
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Feed whenever this instance holds the lease, until the source has no more, or until `stopping`."""
        async with self._lease.maintained():
            while await self._lease.wait_until_held(stopping):
                if await self._lease.run_while_held(self._feed_and_report(stopping)):
                    return
                if self._on_lease_lost is not None:
                    self._on_lease_lost(self._source.name)

    async def _feed_and_report(self, stopping: asyncio.Event) -> None:
        reporting = asyncio.create_task(self._status_writer.run(asyncio.Event()), name=f"status-{self._source.name}")
        finished = False
        try:
            await self._feed(stopping)
            finished = not stopping.is_set()
        finally:
            reporting.cancel()
            await asyncio.wait({reporting})
            # Whoever lost the lease writes no status: it is the next holder's.
            if finished or stopping.is_set():
                await self._write_last_status(finished)

    async def _write_last_status(self, finished: bool) -> None:
        if finished:
            self._source.report.set("finished", "it has no more images")
        else:
            self._source.report.set("off", "the ingestor was stopped")
        with suppress(TransientError):
            await self._write_status()

    async def _feed(self, stopping: asyncio.Event) -> None:
        failures = 0
        while not stopping.is_set():
            started = self._clock()
            state: SourceState = "unreachable"
            try:
                await self._run_session(stopping)
            except ConfigurationError as error:
                state, detail = "misconfigured", str(error)
            except TransientError as error:
                detail = str(error)
            except Exception as error:  # noqa: BLE001 - see below; it is logged and shown
                # A source is the least trusted part: its fault is shown, and everything else continues.
                _log.exception("source failed", source=self._source.name)
                detail = f"{type(error).__name__}: {error}"
            else:
                return
            # After a session without failure for a while the waits begin short again.
            failures = 0 if self._clock() - started > _RATE_WINDOW else failures
            wait_s = self._retry_policy.wait_s(failures)
            failures += 1
            next_try_at = self._clock() + timedelta(seconds=wait_s)
            self._source.report.set(state, detail, next_try_at=next_try_at)
            _log.warning("source waits", source=self._source.name, detail=detail, wait_s=round(wait_s, 1))
            await sleep_unless(stopping, wait_s)

    async def _run_session(self, stopping: asyncio.Event) -> None:
        """Admit what the source yields behind the stored cursor, in batches, until it ends or fails."""
        buffer: asyncio.Queue[SourceImage] = asyncio.Queue(maxsize=_BATCH_SIZE)
        self._add_buffered(-self._buffered_bytes)
        pulling = asyncio.create_task(self._pull(await self._cursor(), buffer), name=f"pull-{self._source.name}")
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                if buffer.empty() and pulling.done():
                    pulling.result()
                    return
                getting = asyncio.create_task(buffer.get())
                await asyncio.wait({getting, pulling, stop}, return_when=asyncio.FIRST_COMPLETED)
                # One turn of the loop: the task that gets may only just have begun.
                await asyncio.sleep(0)
                if not getting.done():
                    getting.cancel()
                    continue
                batch = [getting.result()]
                while len(batch) < _BATCH_SIZE and not buffer.empty():
                    batch.append(buffer.get_nowait())
                self._add_buffered(-sum(image.size_bytes for image in batch))
                await self._admit(batch)
        finally:
            pulling.cancel()
            stop.cancel()
            await asyncio.gather(pulling, stop, return_exceptions=True)

    async def _pull(self, cursor: SourceCursor | None, buffer: "asyncio.Queue[SourceImage]") -> None:
        async with aclosing(self._source.images(cursor)) as images:
            async for image in images:
                await self._backpressure.wait(on_pause=self._on_pause)
                self._paused = None
                self._add_buffered(image.size_bytes)
                await buffer.put(image)
                await self._has_room.wait()

    def _add_buffered(self, more_bytes: int) -> None:
        self._buffered_bytes += more_bytes
        if self._buffered_bytes < _MAX_BUFFERED_BYTES:
            self._has_room.set()
        else:
            self._has_room.clear()

    async def _admit(self, batch: list[SourceImage]) -> None:
        now = self._clock()
        arrivals = [image.arrival(source=self._source.name, batch=self._source.batch, now=now) for image in batch]
        with self._tracing.arriving(f"{FETCH} {self._source.name}", source=self._source.name) as traces:
            for image, arrival in zip(batch, arrivals, strict=True):
                receipt = arrival.receipt.receipt_id
                traces.begin(receipt, began_ns=image.began_ns, receipt_id=receipt)
            await self._service.admit(arrivals)
        # After the receipts: a crash in between yields the same again, and they are the same arrivals.
        last = next((image.cursor for image in reversed(batch) if image.cursor is not None), None)
        if last is not None:
            await self._records.upsert(Collection.META, [{"name": self._cursor_name, _CURSOR_FIELD: dict(last)}])
        if self._on_admitted is not None:
            self._on_admitted(len(batch))
        self._recent.append((now, len(batch)))
        self._source.report.last_success_at = now

    @property
    def _cursor_name(self) -> str:
        return f"source:{self._source.name}:{self._source.batch}"

    async def _cursor(self) -> SourceCursor | None:
        found = await self._records.get(Collection.META, [self._cursor_name])
        cursor: dict[str, Any] | None = found.get(self._cursor_name, {}).get(_CURSOR_FIELD)
        return cursor

    def _on_pause(self, reason: str) -> None:
        self._paused = reason

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


async def show_sources_as_off(records: RecordStore, names: Sequence[str], *, now: datetime) -> None:
    """Show sources as off that ran once and are not among the settings' any more."""
    off = {
        "state": "off",
        "detail": "not among the chosen sources",
        "rate_per_min": 0.0,
        "next_try_at": None,
        "updated_at": utc_text(now),
    }
    # Changes of what is there; no status is read, so one that cannot be validated does no harm.
    await records.apply(
        Collection.SOURCES, [Change(id=name, set=off, when=(Clause("state", "ne", "off"),)) for name in names]
    )
