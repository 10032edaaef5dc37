"""The health endpoints of a service: liveness (`/livez`), readiness (`/readyz`) and metrics (`/metrics`)."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from astrolens.platform.bus.consumer import Progress
from astrolens.platform.errors import AstroLensError
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.health_access import HealthAccess
from astrolens.platform.time_limits import STUCK_AFTER_S

CACHE_TTL_S: Final = 1.0
"""Greatest age of the cached answer of `/readyz` to a caller without the token."""

_REFUSED: Final = (
    "metrics need a token where others reach this service: send `Authorization: Bearer ...` with "
    "ASTROLENS_METRICS_TOKEN\n"
)

Check = Callable[[], Awaitable[None]]
"""Raises an `AstroLensError` when something does not answer."""


class Liveness:
    """Decides from the progress of the consumers: idle is alive, waiting records without progress are not.

    A consumer that no longer fetches, although the broker answers, sees nothing wait and is not alive either.
    """

    def __init__(
        self,
        consumers: Callable[[], Sequence[tuple[str, Progress]]],
        waiting: Callable[[], Awaitable[Mapping[str, int]]],
        *,
        stuck_after_s: float = STUCK_AFTER_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Compose; nothing is asked.

        Args:
            consumers: The topic and progress of each consumer.
            waiting: Records waiting, by topic.
            stuck_after_s: A consumer with waiting records that did nothing for so long is stuck. Waiting for an
                unreachable store is progress: every retry counts, and a restart would not help.
            clock: Seconds that only grow.
        """
        self._consumers = consumers
        self._waiting = waiting
        self._stuck_after_s = stuck_after_s
        self._clock = clock
        self._last_fetches_ms: Callable[[], Mapping[str, int | None]] = dict
        self._ping_broker: Check | None = None
        self._waiting_since: dict[str, float] = {}
        self._fetches: dict[str, tuple[int | None, float]] = {}

    def watch_fetches(self, last_fetches_ms: Callable[[], Mapping[str, int | None]], *, ping_broker: Check) -> None:
        """Also notice a consumer that no longer fetches.

        Args:
            last_fetches_ms: When the broker last answered a fetch, by topic; None where there is nothing to fetch.
            ping_broker: Raises an `AstroLensError` when the broker does not answer: fetching nothing is right then.
        """
        self._last_fetches_ms = last_fetches_ms
        self._ping_broker = ping_broker

    async def reason(self) -> str | None:
        """One sentence when a consumer is stuck, else None. Call it regularly: it remembers since when records wait."""
        now = self._clock()
        lag = await self._waiting()
        fetches = self._last_fetches_ms()
        stuck: list[str] = []
        for topic, progress in self._consumers():
            waiting = progress.in_progress or lag.get(topic, 0)
            if not waiting:
                self._waiting_since.pop(topic, None)
                if silence_s := await self._silence_s(topic, fetches.get(topic), progress, now):
                    stuck.append(f"{topic}: nothing has been fetched for {silence_s:.0f} s although the broker answers")
                continue
            since = progress.last_s
            if not progress.in_progress:
                since = max(since, self._waiting_since.setdefault(topic, now))
            if now - since > self._stuck_after_s:
                stuck.append(f"{topic}: {waiting} records wait and nothing has happened for {now - since:.0f} s")
        return "; ".join(stuck) or None

    async def _silence_s(self, topic: str, fetch_ms: int | None, progress: Progress, now: float) -> float | None:
        """Seconds without an answered fetch where they are too many."""
        # Times of fetches are compared for equality only: the system's clock may step.
        seen_ms, since = self._fetches.get(topic, (None, now))
        if fetch_ms is None or fetch_ms != seen_ms:
            self._fetches[topic] = (fetch_ms, now)
            return None
        silence_s = now - max(since, progress.last_s)
        if silence_s <= self._stuck_after_s:
            return None
        if self._ping_broker is not None and await _problem(self._ping_broker) is not None:
            # The client has its time again once the broker answers.
            self._fetches[topic] = (fetch_ms, now)
            return None
        return silence_s


class Readiness:
    """Runs the checks of a service. Strangers get an answer at most `CACHE_TTL_S` old, so that they cause no work.

    Args:
        condition: State and open issues.
        checks: What must answer for the service to be ready, by name.
        clock: Seconds that only grow.
    """

    def __init__(
        self, condition: Condition, checks: Mapping[str, Check], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._condition = condition
        self._checks = checks
        self._clock = clock
        self._running = asyncio.Lock()
        self._found: tuple[float, dict[str, str]] | None = None

    async def problems(self) -> dict[str, str]:
        """What does not answer, by name, at this moment."""
        found = {name: problem for name, check in self._checks.items() if (problem := await _problem(check))}
        self._found = (self._clock(), found)
        return found

    async def is_ready(self) -> bool:
        """Whether everything answered when it was last asked."""
        async with self._running:
            if self._found is None or self._clock() - self._found[0] > CACHE_TTL_S:
                await self.problems()
        return self.ready(self._found[1] if self._found else {})

    def ready(self, problems: Mapping[str, str]) -> bool:
        """Whether the service is ready, given what does not answer."""
        return not problems and self._condition.state == "running"


def health_app(
    *,
    registry: CollectorRegistry,
    condition: Condition,
    liveness: Liveness,
    checks: Mapping[str, Check],
    access: HealthAccess,
) -> Starlette:
    """The ASGI application of the health endpoints of one service.

    Args:
        registry: What `/metrics` shows.
        condition: State and open issues, shown by `/readyz`.
        liveness: Decides what `/livez` answers.
        checks: What must answer for the service to be ready, by name.
        access: Who may read more than yes or no.
    """
    readiness = Readiness(condition, checks)

    async def livez(request: Request) -> Response:
        reason = await liveness.reason()
        body = {"alive": reason is None} | ({"reason": reason} if access.is_authorized(request) else {})
        return JSONResponse(body, status_code=503 if reason else 200)

    async def readyz(request: Request) -> Response:
        if not access.is_authorized(request):
            ready = await readiness.is_ready()
            return JSONResponse({"ready": ready}, status_code=200 if ready else 503)
        problems = await readiness.problems()
        ready = readiness.ready(problems)
        body = {"ready": ready, "state": condition.state, "detail": condition.detail, "problems": problems}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def metrics(request: Request) -> Response:
        if not access.is_authorized(request):
            return PlainTextResponse(_REFUSED, status_code=401, headers={"www-authenticate": "Bearer"})
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])


async def _problem(check: Check) -> str | None:
    try:
        await check()
    except AstroLensError as error:
        return str(error)
    return None
