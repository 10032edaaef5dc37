"""The composition root of the crossref service."""

import asyncio
from collections.abc import Sequence
from typing import Final

from astrolens.contracts import topics
from astrolens.contracts.events import ImageAnalyzed, ImageEnriched
from astrolens.crossref import handlers, position_queries, worker
from astrolens.crossref.breaker import Breaker
from astrolens.crossref.cache import AnswerCache
from astrolens.crossref.candidates import SERVICE, Candidates
from astrolens.crossref.catalogue_set import CatalogueSet
from astrolens.crossref.client import CatalogueClient
from astrolens.crossref.http import CatalogueHttp
from astrolens.crossref.limiter import SharedLimiter
from astrolens.crossref.local import LocalAnswers
from astrolens.crossref.metrics import CatalogueMetrics
from astrolens.crossref.position_queries import PositionQueries
from astrolens.crossref.registry import addresses, chosen_catalogues
from astrolens.crossref.sharing import SharedRequests
from astrolens.crossref.sky_objects import ObjectLinker
from astrolens.crossref.supervision import CatalogueSupervision
from astrolens.crossref.sweep import Sweep
from astrolens.crossref.watchlists import Watchlists
from astrolens.crossref.worker import CrossmatchWorker
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection

_BATCH: Final = 256
"""Events of one handler call, which only reads and writes records."""
_CANARIES_EVERY_S: Final = 5.0
"""How soon a catalogue whose pause is over is tested, and its state shown."""
_PURGE_EVERY_S: Final = 3600.0
_WATCHLISTS_EVERY_S: Final = 30.0
"""How soon a new list is looked through."""


def create_app(settings: Settings) -> ServiceApp:
    """The crossref service, not yet running; nothing is opened.

    Raises:
        ConfigurationError: The settings name a catalogue that there is not.
    """
    app = ServiceApp(settings, service=SERVICE, port=settings.crossref_port, outbox=(Collection.CROSSMATCHES,))
    metrics = CatalogueMetrics(app.metrics)
    due = asyncio.Event()
    objects = ObjectLinker(app.records)
    candidates = Candidates(records=app.records, outbox=app.outbox, objects=objects, metrics=metrics, on_due=due.set)
    http = CatalogueHttp(addresses(settings), on_request=metrics.archives.observe)
    library = LocalCatalogues(settings.catalogues_folder)
    unlooked = asyncio.Event()
    watchlists = Watchlists(
        records=app.records,
        catalogues=library,
        publish_unreleased=settings.publish_unreleased,
        stopping=app.stopping,
        unfinished=unlooked,
    )
    local = LocalAnswers(library, required=settings.catalogues_required)
    requests = SharedRequests()
    clients = _clients(app, http, metrics, requests, local_names=library.names())
    cache = AnswerCache(app.records)
    catalogues = CatalogueSet(clients=clients, local=local, cache=cache, metrics=metrics)
    crossmatches = CrossmatchWorker(
        records=app.records,
        candidates=candidates,
        catalogues=catalogues,
        metrics=metrics,
        stopping=app.stopping,
        unfinished=due,
    )
    for client in clients:
        client.on_recovery = crossmatches.note_recovery
    supervision = CatalogueSupervision(clients=clients, local=local, info=app.info)
    app.on_start("catalogue connections", http.open)
    app.on_stop("catalogue connections", http.close)
    app.on_stop("catalogue requests", requests.close)
    app.bus.consume(
        topics.IMAGES_ANALYZED,
        ImageAnalyzed,
        handlers.image_analyzed(candidates, objects, watchlists),
        max_batch=_BATCH,
    )
    app.bus.consume(
        topics.IMAGES_ENRICHED,
        ImageEnriched,
        handlers.image_enriched(candidates, objects, watchlists),
        group="astrolens-crossref-enriched",
        max_batch=_BATCH,
    )
    app.every("catalogue tests", supervision.run_pass, interval_s=_CANARIES_EVERY_S, graceful=False)
    app.every(
        "cross-matches",
        crossmatches.run_pass,
        interval_s=worker.POLL_INTERVAL_S,
        issue="candidates cannot be cross-matched",
        wake=due,
    )
    app.every(
        "position queries",
        PositionQueries(records=app.records, catalogues=catalogues).run_pass,
        interval_s=position_queries.POLL_INTERVAL_S,
        issue="questions about positions cannot be answered",
        lease=app.lease("crossref:position-queries"),
        graceful=False,
    )
    _sweep_periodically(app, candidates, objects)
    app.every(
        "watchlists",
        watchlists.run_pass,
        interval_s=_WATCHLISTS_EVERY_S,
        issue="images at the places of watchlists cannot be looked for",
        lease=app.lease("crossref:watchlists"),
        wake=unlooked,
    )

    async def purge() -> None:
        await cache.purge(candidates.now())

    app.every(
        "old catalogue answers", purge, interval_s=_PURGE_EVERY_S, lease=app.lease("crossref:purge"), graceful=False
    )
    return app


def _clients(
    app: ServiceApp,
    http: CatalogueHttp,
    metrics: CatalogueMetrics,
    requests: SharedRequests,
    *,
    local_names: Sequence[str],
) -> list[CatalogueClient]:
    limiters: dict[str, SharedLimiter] = {}
    clients = []
    for chosen in chosen_catalogues(app.settings, local_names=local_names):
        catalogue = chosen.catalogue
        metrics.register(catalogue.name)
        host = chosen.limit_host or catalogue.host
        if host not in limiters:
            waited = metrics.archives.wait_seconds.labels(host)
            limiters[host] = SharedLimiter(app.records, host, per_second=catalogue.per_second, on_wait=waited.inc)
        clients.append(
            CatalogueClient(
                catalogue,
                required=chosen.required,
                fallback=chosen.fallback,
                requests=requests,
                http=http,
                limiter=limiters[host],
                breaker=Breaker(),
                metrics=metrics,
            )
        )
    return clients


def _sweep_periodically(app: ServiceApp, candidates: Candidates, objects: ObjectLinker) -> None:
    unfinished = asyncio.Event()
    sweep = Sweep(
        records=app.records, candidates=candidates, objects=objects, stopping=app.stopping, unfinished=unfinished
    )
    app.every(
        "sweep for candidates",
        sweep.run_pass,
        interval_s=app.settings.redeliver_after_s,
        issue="lost candidates cannot be looked for",
        lease=app.lease("crossref:sweep"),
        wake=unfinished,
    )
