"""Arrivals that are only a URL: fetch their bytes, several at once, within a bounded time."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from astrolens.contracts.records import Outcome, Reason
from astrolens.ingestor.arrivals import Arrival, Settlement
from astrolens.ingestor.ports import Fetched, Fetcher
from astrolens.platform.errors import PermanentError, TransientError
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.telemetry.tracing import FETCH, child_span
from astrolens.platform.time_limits import DOWNLOADS_S

_log = structlog.get_logger(__name__)

MAX_CONCURRENT_DOWNLOADS: Final = 8
"""Polite to one host, and at most 8 x `max_image_bytes` in memory."""

_RETRY: Final = RetryPolicy(initial_wait_s=2.0, max_wait_s=4.0, max_attempts=3)


class Downloader:
    """Fetches the bytes of arrivals that name a URL: in their observation, else in their `ref`."""

    def __init__(
        self, fetcher: Fetcher, *, retry_policy: RetryPolicy = _RETRY, deadline_s: float = DOWNLOADS_S
    ) -> None:
        self._fetcher = fetcher
        self._retry_policy = retry_policy
        self.deadline_s = deadline_s
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_DOWNLOADS)
        # Never set: at the end of the service the download is cancelled, and its arrival stays unsettled.
        self._stopping = asyncio.Event()

    async def fetch(
        self, arrivals: Sequence[Arrival], *, within_s: float | None = None
    ) -> tuple[list[Arrival], list[Settlement]]:
        """Fetch what can be had, `MAX_CONCURRENT_DOWNLOADS` at a time.

        Args:
            arrivals: Arrivals without bytes.
            within_s: Bound for all of them together, seconds; by default the deadline.

        Returns:
            The arrivals with their bytes, and the settlements of those that will never have any. An arrival that is in
            neither did not make the deadline and stays unsettled.
        """
        fetched: list[Arrival] = []
        refused: list[Settlement] = []

        async def download(arrival: Arrival) -> None:
            async with self._slots:
                result = await self._download(arrival)
            if isinstance(result, Settlement):
                refused.append(result)
            else:
                fetched.append(result)

        bound_s = self.deadline_s if within_s is None else within_s
        try:
            async with asyncio.timeout(bound_s), asyncio.TaskGroup() as group:
                for arrival in arrivals:
                    group.create_task(download(arrival))
        except TimeoutError:
            late = len(arrivals) - len(fetched) - len(refused)
            _log.warning("downloads did not end in time", late=late, bound_s=round(bound_s, 1))
        order = {arrival.receipt.receipt_id: place for place, arrival in enumerate(arrivals)}
        return sorted(fetched, key=lambda arrival: order[arrival.receipt.receipt_id]), refused

    async def _download(self, arrival: Arrival) -> Arrival | Settlement:
        receipt = arrival.receipt
        url = receipt.observation.url or receipt.ref
        attempts = 0

        async def get() -> Fetched:
            nonlocal attempts
            attempts += 1
            with child_span(receipt.receipt_id, FETCH):
                return await self._fetcher.get(url)

        try:
            reply = await retry(get, retry_policy=self._retry_policy, stopping=self._stopping)
        except PermanentError as refusal:
            return Settlement(arrival, Outcome.REJECTED, reason=refusal.reason)
        except TransientError as error:
            reason = Reason(code="unreachable", detail=f"After {attempts} attempts: {error}"[:500])
            return Settlement(arrival, Outcome.DEAD_LETTERED, reason=reason)
        return arrival.with_data(reply.data)
