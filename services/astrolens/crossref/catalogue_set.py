"""All catalogues of the settings, asked together about some places: one round of questions within a time budget."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import structlog

from astrolens.contracts.base import utc_now
from astrolens.contracts.catalogues import CatalogueAnswer, Counterpart, MatchStatus
from astrolens.contracts.crossmatch import Crossmatch, sum_up
from astrolens.crossref.cache import AnswerCache, CacheEntry, local_name
from astrolens.crossref.catalogues.base import SEARCH_RADIUS_ARCSEC
from astrolens.crossref.client import CatalogueClient, Reply
from astrolens.crossref.counterparts import ambiguity, find_counterparts
from astrolens.crossref.known_objects import KnownObject
from astrolens.crossref.local import LocalAnswers
from astrolens.crossref.metrics import CatalogueMetrics
from astrolens.crossref.places import Place
from astrolens.platform.errors import StoreUnavailable

ROUND_TIMEOUT_S: Final = 10.0
"""One round: no candidate waits longer for its catalogues. While they are known to be away it does not wait at all."""

_log = structlog.get_logger(__name__)


class CatalogueSet:
    """Asks every catalogue about places; the answers of all of them, for every place, come back in bounded time.

    Args:
        clients: The remote catalogues.
        local: The catalogues on this machine. A remote catalogue of the same name is not asked.
        cache: Answers from before.
        metrics: Counts.
        round_timeout_s: Longest round, seconds.
        clock: The present time.
    """

    def __init__(
        self,
        *,
        clients: Sequence[CatalogueClient],
        local: LocalAnswers | None = None,
        cache: AnswerCache,
        metrics: CatalogueMetrics,
        round_timeout_s: float = ROUND_TIMEOUT_S,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.clients = tuple(clients)
        self._local = local
        self._cache = cache
        self._metrics = metrics
        self._round_timeout_s = round_timeout_s
        self._clock = clock

    async def crossmatch(self, places: Sequence[Place], *, use_cache: bool = True) -> dict[str, Crossmatch]:
        """What all catalogues say of each place, by its key.

        Args:
            places: The places; their keys differ.
            use_cache: Whether fresh answers from before serve; where a catalogue fails they serve in any case.

        Raises:
            StoreUnavailable: The record store does not answer.
        """
        if not places:
            return {}
        documents = await self._cache.read(places)
        local: Mapping[str, Sequence[CatalogueAnswer]] = {}
        copies: frozenset[str] = frozenset()
        if self._local is not None:
            local = await asyncio.to_thread(self._local.answers, places)
            copies = await asyncio.to_thread(self._local.names)
        clients = [client for client in self.clients if not {client.name, local_name(client.name)} & copies]
        found = await asyncio.gather(*(self._ask(client, places, documents, use_cache=use_cache) for client in clients))
        for answers in local.values():
            for answer in answers:
                self._metrics.matches.labels(answer.catalogue, answer.status.value).inc()
        return {
            place.key: sum_up([*local.get(place.key, ()), *(answers[place.key] for answers in found)])
            for place in places
        }

    async def _ask(
        self,
        client: CatalogueClient,
        places: Sequence[Place],
        documents: Mapping[str, dict[str, Any]],
        *,
        use_cache: bool,
    ) -> dict[str, CatalogueAnswer]:
        now = self._clock()
        kept: dict[str, CacheEntry] = {}
        for place in places:
            answer = self._cache.answer(documents.get(place.key), client.name, place, now)
            if answer is not None:
                kept[place.key] = answer
        wanted = [place for place in places if not (use_cache and place.key in kept and kept[place.key].fresh)]
        self._metrics.count_answers(client.name, "cached", len(places) - len(wanted))
        replies = await client.ask(wanted, within_s=self._round_timeout_s) if wanted else {}
        try:
            await self._cache.write(client.name, replies, {place.key: place for place in wanted})
        except StoreUnavailable as error:
            _log.warning("answers are not kept", catalogue=client.name, error=str(error))
        answers = {
            place.key: self._answer(client, place, replies.get(place.key), kept.get(place.key)) for place in places
        }
        for answered in answers.values():
            self._metrics.matches.labels(client.name, answered.status.value).inc()
        return answers

    def _answer(
        self, client: CatalogueClient, place: Place, reply: Reply | None, kept: CacheEntry | None
    ) -> CatalogueAnswer:
        base: dict[str, Any] = {
            "catalogue": client.name,
            "required": client.required,
            "radius_arcsec": SEARCH_RADIUS_ARCSEC,
            "release": client.catalogue.release,
            "link": client.catalogue.link(place),
        }
        if reply is not None and reply.not_covered is not None:
            return CatalogueAnswer(**base, status=MatchStatus.NOT_COVERED, detail=reply.not_covered)
        if reply is not None and reply.failure is None:
            status, counterparts = _counterparts(client, place, reply.objects)
            return CatalogueAnswer(
                **base,
                status=status,
                detail=ambiguity(status, counterparts),
                answered_at=reply.answered_at,
                counterparts=counterparts,
            )
        failure = None if reply is None else reply.failure
        if kept is None:
            return CatalogueAnswer(**base, status=MatchStatus.FAILED, detail=failure or "it was not asked")
        status, counterparts = _counterparts(client, place, kept.answer.objects)
        age_s = max((self._clock() - kept.answer.answered_at).total_seconds(), 0.0)
        fresh = failure is None or kept.fresh
        return CatalogueAnswer(
            **base,
            status=status if fresh else MatchStatus.STALE,
            detail=ambiguity(status, counterparts)
            if fresh
            else f"the answer is {age_s / 86400:.1f} days old; now: {failure}",
            answered_at=kept.answer.answered_at,
            cache_age_s=age_s,
            counterparts=counterparts,
        )


def _counterparts(
    client: CatalogueClient, place: Place, objects: Sequence[KnownObject]
) -> tuple[MatchStatus, tuple[Counterpart, ...]]:
    return find_counterparts(place, objects, mean_density_per_deg2=client.catalogue.mean_density_per_deg2)
