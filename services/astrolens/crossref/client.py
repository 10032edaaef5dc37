"""Asks one remote catalogue: within a time budget, at the pace of its limit, and not while it cannot be believed."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.crossref.breaker import Breaker, BreakerState
from astrolens.crossref.catalogues.base import Canary, ObjectsByPlace, RemoteCatalogue
from astrolens.crossref.failures import CatalogueFailed, TooManyRows
from astrolens.crossref.http import CatalogueHttp
from astrolens.crossref.known_objects import KnownObject
from astrolens.crossref.limiter import SharedLimiter
from astrolens.crossref.metrics import CatalogueMetrics
from astrolens.crossref.places import Place, separation_arcsec
from astrolens.crossref.sharing import SharedRequests
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.retry import RetryPolicy

RETRY: Final = RetryPolicy(initial_wait_s=0.5, max_wait_s=2.0, max_attempts=2)
"""Within one round; what still fails is asked again by a later round."""
_SHIFT_DEG: Final = 1e-6
"""A canary is asked twice, this far apart: a service was seen to answer 18 rows and then 83."""
_MAX_OBJECTS: Final = 50
"""Objects of one place that are kept, the nearest and the largest first."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a catalogue said of one place, and when: objects, or why there is no answer."""

    answered_at: datetime
    objects: tuple[KnownObject, ...] = ()
    failure: str | None = None
    not_covered: str | None = None


class CatalogueClient:
    """One catalogue and all that protects it and us.

    Attributes:
        catalogue: How it is asked and read.
        required: Whether its answer is needed for `unmatched`.
        breaker: Whether it may be asked now.
        canary_at: When its canaries were last asked.
        latency_s: Seconds of the last question.
        on_recovery: Called when it is believed again after an outage.
    """

    def __init__(
        self,
        catalogue: RemoteCatalogue,
        *,
        required: bool,
        http: CatalogueHttp,
        limiter: SharedLimiter,
        breaker: Breaker,
        metrics: CatalogueMetrics,
        fallback: RemoteCatalogue | None = None,
        requests: SharedRequests | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.catalogue = catalogue
        self._ways = (catalogue,) if fallback is None else (catalogue, fallback)
        self.required = required
        self.breaker = breaker
        self.canary_at: datetime | None = None
        self.latency_s: float | None = None
        self.last_answer_at: datetime | None = None
        self.on_recovery: Callable[[], None] = _ignore
        self._http = http
        self._limiter = limiter
        self._requests = requests or SharedRequests()
        self._metrics = metrics
        self._clock = clock
        self._proving = asyncio.Lock()

    @property
    def name(self) -> str:
        """Name of the catalogue."""
        return self.catalogue.name

    async def ask(self, places: Sequence[Place], *, within_s: float) -> dict[str, Reply]:
        """What the catalogue knows around each place, by its key: a reply for every place, whatever happens.

        Args:
            places: The places.
            within_s: Seconds after which every place without an answer is a failure.
        """
        deadline = monotonic() + within_s
        replies: dict[str, Reply] = {}
        wanted: list[Place] = []
        for place in places:
            if (reason := self.catalogue.not_covered_reason(place)) is not None:
                replies[place.key] = Reply(self._clock(), not_covered=reason)
            else:
                wanted.append(place)
        size = self.catalogue.max_places
        for start in range(0, len(wanted), size):
            part = wanted[start : start + size]
            replies |= await self._ask_part(part, deadline)
        return replies

    async def check_canaries(self, *, within_s: float) -> None:
        """Ask the canaries where that is due: at the start, hourly, and after an outage.

        Raises:
            CatalogueFailed: It cannot be believed now.
        """
        deadline = monotonic() + within_s
        try:
            async with asyncio.timeout(within_s), self._proving:
                if self.breaker.needs_canaries:
                    await self._check_canaries(deadline)
        except TimeoutError as error:
            raise CatalogueFailed("timeout", f"{self.name} did not answer within {within_s:.0f} s") from error
        if self.breaker.state is BreakerState.OPEN:
            raise CatalogueFailed(
                "left-alone",
                f"{self.breaker.reason or 'it failed'} (left alone, tested again in {self.breaker.retry_in_s:.0f} s)",
            )

    async def _ask_part(self, places: Sequence[Place], deadline: float) -> dict[str, Reply]:
        try:
            await self.check_canaries(within_s=max(deadline - monotonic(), 0.01))
            found = await self._ask_splitting(places, deadline)
        except (CatalogueFailed, StoreUnavailable) as error:
            self._metrics.count_answers(self.name, "failed", len(places))
            return {place.key: Reply(self._clock(), failure=str(error)) for place in places}
        self.last_answer_at = now = self._clock()
        self._metrics.count_answers(self.name, "answered", len(places))
        return {place.key: Reply(now, objects=_nearest(found[place.key], place)) for place in places}

    async def _ask_splitting(self, places: Sequence[Place], deadline: float) -> ObjectsByPlace:
        """Ask; where there are too many rows, ask about each half."""
        try:
            return await self._ask_retrying(places, deadline)
        except TooManyRows:
            if len(places) == 1:
                raise
            middle = len(places) // 2
            first = await self._ask_splitting(places[:middle], deadline)
            return {**first, **await self._ask_splitting(places[middle:], deadline)}

    async def _ask_retrying(self, places: Sequence[Place], deadline: float) -> ObjectsByPlace:
        attempt = 0
        while True:
            try:
                found = await self._send(places, self.catalogue.embedded_canaries, deadline)
            except TooManyRows:
                raise
            except CatalogueFailed as error:
                await self._record_failure(error)
                wait_s = RETRY.wait_s(attempt)
                attempt += 1
                open_now = self.breaker.state is BreakerState.OPEN
                if open_now or attempt == RETRY.max_attempts or monotonic() + wait_s > deadline:
                    raise
                await asyncio.sleep(wait_s)
            else:
                self.breaker.record_success()
                return found

    async def _send(self, places: Sequence[Place], canaries: Sequence[Canary], deadline: float) -> ObjectsByPlace:
        """One request and its reply, which must hold the canaries.

        Raises:
            CatalogueFailed: There is no answer that can be believed.
        """
        name = self.name
        asked = [*places, *(canary.place for canary in canaries)]
        request = self.catalogue.request_for(asked)
        start = monotonic()

        async def send() -> bytes:
            nonlocal start
            await self._limiter.acquire(within_s=max(deadline - monotonic(), 0.0))
            start = monotonic()
            return await self._http.send(request)

        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(deadline - monotonic(), 0.01)):
                body = await self._requests.reply(request, send, asker=name)
                # Parsing is bounded by the size of a reply, and takes milliseconds of a thread.
                found = await asyncio.to_thread(self.catalogue.read, body, asked)
        except TimeoutError as error:
            self._metrics.count_failure(name, "timeout")
            raise CatalogueFailed("timeout", f"{name} did not answer within its time") from error
        except CatalogueFailed as error:
            if error.code != "no-turn":
                self._metrics.count_failure(name, error.code)
            raise
        finally:
            self.latency_s = monotonic() - start
            self._metrics.seconds.labels(name).observe(self.latency_s)
        for canary in canaries:
            check_canary(canary, found, name)
        return found

    async def _check_canaries(self, deadline: float) -> None:
        """Ask the canaries; where they are wrong by the first way to ask the catalogue, by the second one.

        Raises:
            CatalogueFailed: They are wrong by every way.
        """
        failed: CatalogueFailed | None = None
        for way in self._ways:
            self.catalogue = way
            try:
                await self._ask_canaries(deadline)
                break
            except CatalogueFailed as error:
                failed = failed or error
                if error.unreachable and way.host == self._ways[-1].host:
                    break
        else:
            self.catalogue = self._ways[0]
        self.canary_at = self._clock()
        if failed is not None and (self.catalogue is self._ways[0]):
            self._metrics.count_canary(self.name, right=False)
            await self._record_failure(failed, at_once=True)
            raise failed
        self._metrics.count_canary(self.name, right=True)
        if self.breaker.record_canaries_right():
            self.on_recovery()
        self._metrics.show_breaker(self.name, self.breaker.state)

    async def _ask_canaries(self, deadline: float) -> None:
        shifted = [
            Canary(
                place=Place(f"{canary.place.key}-shifted", canary.place.ra_deg, canary.place.dec_deg + _SHIFT_DEG,
                            canary.place.observed_at),
                name=canary.name,
                within_arcsec=canary.within_arcsec,
                min_count=canary.min_count,
            )
            for canary in self.catalogue.canaries
        ]  # fmt: skip
        canaries = [*self.catalogue.canaries, *shifted]
        found: dict[str, Sequence[KnownObject]] = {}
        for start in range(0, len(canaries), self.catalogue.max_places):
            part = canaries[start : start + self.catalogue.max_places]
            found |= await self._send([], part, deadline)
        _compare_counts(found, self.name)

    async def _record_failure(self, error: CatalogueFailed, *, at_once: bool = False) -> None:
        if error.code == "no-turn":
            return  # It is we who have no turn.
        was_open = self.breaker.state is BreakerState.OPEN
        self.breaker.record_failure(str(error), at_once=at_once or error.unreachable, retry_after_s=error.retry_after_s)
        if error.retry_after_s:
            with suppress(StoreUnavailable):
                await self._limiter.back_off(error.retry_after_s)
        if self.breaker.state is BreakerState.OPEN and not was_open:
            _log.warning("a catalogue is left alone", catalogue=self.name, reason=str(error))
        self._metrics.show_breaker(self.name, self.breaker.state)


def check_canary(canary: Canary, found: ObjectsByPlace, name: str) -> None:
    """Check that a reply holds a canary's known answer.

    Raises:
        CatalogueFailed: It does not, so that nothing else in it can be believed.
    """
    objects = found.get(canary.place.key, ())
    near = [
        item
        for item in objects
        if separation_arcsec(canary.place.ra_deg, canary.place.dec_deg, item.ra_deg, item.dec_deg)
        <= canary.within_arcsec
    ]
    named = [item for item in near if canary.name is None or canary.name.lower() in item.name.lower()]
    if not named:
        wanted = canary.name or "an object"
        raise CatalogueFailed(
            "wrong-canary", f"{name} does not find {wanted} where it is: its answers are not believed"
        )
    if len(objects) < canary.min_count:
        raise CatalogueFailed(
            "wrong-canary",
            f"{name} finds {len(objects)} objects where at least {canary.min_count} are: its answers are not believed",
        )


def _compare_counts(found: ObjectsByPlace, name: str) -> None:
    """The same place, shifted by less than a hundredth of an arcsecond, must have as many objects but one or two."""
    for key, objects in found.items():
        shifted = found.get(f"{key}-shifted")
        if shifted is None:
            continue
        few, many = sorted((len(objects), len(shifted)))
        if many - few > 2 + 0.05 * many:
            raise CatalogueFailed(
                "unstable-canary", f"{name} finds {few} and then {many} objects at one place: its answers are unstable"
            )


def _nearest(objects: Sequence[KnownObject], place: Place) -> tuple[KnownObject, ...]:
    """The objects that matter most: those that reach the place by their size, then the nearest."""

    def rank(item: KnownObject) -> float:
        away = separation_arcsec(place.ra_deg, place.dec_deg, item.ra_deg, item.dec_deg)
        return away - (item.major_axis_arcsec or 0.0) / 2

    return tuple(sorted(objects, key=rank)[:_MAX_OBJECTS])


def _ignore() -> None:
    """Nobody listens."""


def statuses(clients: Sequence[CatalogueClient]) -> Mapping[str, dict[str, object]]:
    """The state of each catalogue as this process sees it, for its heartbeat."""
    return {
        client.name: {
            "required": client.required,
            "host": client.catalogue.host,
            "release": client.catalogue.release,
            "breaker": client.breaker.state.value,
            "reason": client.breaker.reason,
            "retry_in_s": round(client.breaker.retry_in_s, 1),
            "retry_at": _retry_at(client.breaker.retry_in_s),
            "canary_at": None if client.canary_at is None else client.canary_at.isoformat(),
            "last_answer_at": None if client.last_answer_at is None else client.last_answer_at.isoformat(),
            "latency_s": None if client.latency_s is None else round(client.latency_s, 3),
        }
        for client in clients
    }


def _retry_at(in_s: float) -> str | None:
    """When it is tested again: readers of a heartbeat see it some seconds later."""
    return (utc_now() + timedelta(seconds=in_s)).isoformat() if in_s else None
