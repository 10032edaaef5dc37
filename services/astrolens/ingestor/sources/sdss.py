"""The Sloan Digital Sky Survey as a source: galaxies chosen by SQL, their colour cutouts one by one.

After a failure the source waits, longer each time, and is shown as unreachable. The cursor moves only behind a galaxy
that was yielded, so an outage skips nothing.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from datetime import datetime, timedelta
from time import time_ns
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Reason
from astrolens.ingestor.fetching import FetchFailed, FetchRefused
from astrolens.ingestor.ports import Fetched, Fetcher
from astrolens.ingestor.sources.base import SourceCursor, SourceImage, SourceReport
from astrolens.ingestor.sources.skyserver import BadAnswer, Galaxy, SkyServer, read_galaxies
from astrolens.ingestor.sources.throttling import Backoff, Sleep, TokenBucket

_log = structlog.get_logger(__name__)

MIN_PICTURE_BYTES: Final = 3000
"""Fields that SDSS never observed come as black JPEGs below this size; no cutout of a galaxy is as small."""

MAX_PICTURE_BYTES: Final = 8 * 2**20
"""A 1024-pixel JPEG has at most about 2 MB; more is something else."""

_ATTEMPTS: Final = 3
_INITIAL_WAIT_S: Final = 1.0
_MAX_RETRY_AFTER_S: Final = 10.0
"""A server that asks for a longer wait than this counts as unreachable."""

_MAX_BACKOFFS: Final = 3
"""Outages at the same galaxy before its receipt is settled as rejected: one object must not block a survey."""

_MAX_CONSECUTIVE_UNUSABLE: Final = 10
"""Unusable pictures in a row that are an outage: without its image disks SkyServer would send blanks for everything."""


class SdssSource:
    """Yields SDSS galaxies in the order of their objID."""

    name = "sdss"

    def __init__(
        self,
        *,
        fetcher: Fetcher,
        server: SkyServer,
        rate_per_min: float,
        query_limit: int,
        bucket: TokenBucket | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], datetime] = utc_now,
        sleep: Sleep = asyncio.sleep,
        initial_wait_s: float = _INITIAL_WAIT_S,
    ) -> None:
        """Make the source.

        Args:
            fetcher: May speak to SkyServer.
            server: Which release.
            rate_per_min: Requests a minute.
            query_limit: Galaxies a query.
            bucket: Limits the rate, for tests.
            backoff: How long to wait after a failure.
            clock: The present time.
            sleep: How to wait.
            initial_wait_s: Pause after the first failed attempt, seconds.
        """
        self.report = SourceReport()
        self._fetcher = fetcher
        self._server = server
        self._query_limit = query_limit
        self._bucket = bucket or TokenBucket(rate_per_min)
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._sleep = sleep
        self._initial_wait_s = initial_wait_s
        self._consecutive_unusable = 0
        self._requested_ns = time_ns()

    @property
    def batch(self) -> str:
        """One batch a data release."""
        return self._server.release

    def check(self) -> None:
        """Nothing to check: whether SkyServer answers shows while running; without it everything else continues."""

    async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
        """Galaxies behind an objID, until the survey has no more."""
        objid = int((cursor or {}).get("after_objid", 0))
        while True:
            galaxies = await self._galaxies(objid)
            if not galaxies:
                return
            for galaxy in galaxies:
                yield await self._image(galaxy)
                objid = galaxy.objid

    async def _galaxies(self, after_objid: int) -> list[Galaxy]:
        url = self._server.galaxies_url(after_objid=after_objid, limit=self._query_limit)
        while True:
            try:
                galaxies = read_galaxies((await self._get(url)).data)
            except (FetchFailed, FetchRefused, BadAnswer) as error:
                await self._back_off(error)
                continue
            if any(galaxy.objid <= after_objid for galaxy in galaxies):
                await self._back_off(BadAnswer("SkyServer's answer repeats galaxies that were asked for before"))
                continue
            self._report_running()
            return sorted(galaxies, key=lambda galaxy: galaxy.objid)

    async def _image(self, galaxy: Galaxy) -> SourceImage:
        backoffs = 0
        while True:
            try:
                picture = await self._get(self._server.cutout_url(galaxy))
            except (FetchFailed, FetchRefused) as error:
                backoffs += 1
                if backoffs >= _MAX_BACKOFFS or (isinstance(error, FetchRefused) and error.reason.code == "too-large"):
                    code = error.code if isinstance(error, FetchFailed) else error.reason.code
                    return self._refused(galaxy, code, str(error))
                await self._back_off(error)
                continue
            problem = _unusable(picture)
            if problem is None:
                self._consecutive_unusable = 0
                self._report_running()
                return self._source_image(galaxy, data=picture.data)
            self._consecutive_unusable += 1
            if self._consecutive_unusable >= _MAX_CONSECUTIVE_UNUSABLE and backoffs < _MAX_BACKOFFS:
                backoffs += 1
                await self._back_off(
                    BadAnswer(f"the last {self._consecutive_unusable} pictures were unusable: {problem.detail}")
                )
                continue
            return self._source_image(galaxy, refusal=problem)

    def _source_image(self, galaxy: Galaxy, *, data: bytes | None = None, refusal: Reason | None = None) -> SourceImage:
        return SourceImage(
            ref=str(galaxy.objid),
            observation=self._server.observation(galaxy),
            data=data,
            refusal=refusal,
            cursor={"after_objid": str(galaxy.objid)},
            began_ns=self._requested_ns,
        )

    def _refused(self, galaxy: Galaxy, code: str, detail: str) -> SourceImage:
        _log.warning("gives up on a galaxy", objid=str(galaxy.objid), code=code, detail=detail)
        return self._source_image(galaxy, refusal=Reason(code=code, detail=detail[:500]))

    async def _get(self, url: str) -> Fetched:
        """Get with a few attempts; a wait that the server asks for is kept.

        Raises:
            FetchRefused: It can never be fetched.
            FetchFailed: The last attempt failed too, or the server asked for a long wait.
        """
        attempt = 0
        while True:
            await self._bucket.acquire()
            self._requested_ns = time_ns()
            try:
                return await self._fetcher.get(url)
            except FetchFailed as error:
                attempt += 1
                asked = error.retry_after_s or 0.0
                if attempt >= _ATTEMPTS or asked > _MAX_RETRY_AFTER_S:
                    raise
                ceiling = self._initial_wait_s * 2.0 ** (attempt - 1)
                await self._sleep(max(asked, random.uniform(ceiling / 2, ceiling)))  # noqa: S311 - jitter

    async def _back_off(self, error: FetchFailed | FetchRefused | BadAnswer) -> None:
        retry_after_s = error.retry_after_s if isinstance(error, FetchFailed) else None
        wait_s = self._backoff.record_failure(retry_after_s=retry_after_s)
        next_try_at = self._clock() + timedelta(seconds=wait_s)
        if self.report.state != "unreachable":
            _log.warning("survey is unreachable", source=self.name, detail=str(error), wait_s=round(wait_s, 1))
        self.report.set("unreachable", str(error), next_try_at=next_try_at)
        await self._sleep(wait_s)

    def _report_running(self) -> None:
        self._backoff.record_success()
        if self.report.state != "running":
            self.report.set("running")


def _unusable(picture: Fetched) -> Reason | None:
    """Why a picture is not worth decoding; None where the sandbox should look at its pixels."""
    if not picture.data.startswith(b"\xff\xd8"):
        start = picture.data[:80].decode(errors="replace").strip()
        return Reason(code="error-page", detail=f"SkyServer sent {picture.media_type}, no JPEG: {start!r}")
    if len(picture.data) < MIN_PICTURE_BYTES:
        detail = f"SkyServer sent a JPEG of {len(picture.data)} bytes: a field that was never observed."
        return Reason(code="no-coverage", detail=detail)
    return None
