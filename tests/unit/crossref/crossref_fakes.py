"""A crossref service without sockets: real records in a folder, fake catalogues, a clock that tests move."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from astrolens.contracts import examples
from astrolens.contracts.crossmatch import CrossmatchRecord
from astrolens.contracts.events import CandidateMatched
from astrolens.contracts.ids import content_digest, image_id
from astrolens.contracts.records import ImageRecord, Position
from astrolens.contracts.verdicts import Verdict
from astrolens.crossref.breaker import Breaker
from astrolens.crossref.cache import AnswerCache
from astrolens.crossref.candidates import Candidates
from astrolens.crossref.catalogue_set import CatalogueSet
from astrolens.crossref.catalogues.simbad import Simbad
from astrolens.crossref.client import CatalogueClient
from astrolens.crossref.http import CatalogueHttp
from astrolens.crossref.limiter import SharedLimiter
from astrolens.crossref.metrics import CatalogueMetrics
from astrolens.crossref.registry import ChosenCatalogue
from astrolens.crossref.sharing import SharedRequests
from astrolens.crossref.sky_objects import ObjectLinker
from astrolens.crossref.watchlists import Watchlists
from astrolens.crossref.worker import CrossmatchWorker
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.platform.telemetry.metrics import Metrics

from tests.catalogues.services import FakeSimbad, Service
from tests.catalogues.transport import transport
from tests.unit.notifier.notifier_fakes import FakeOutbox

EPOCH = datetime(2026, 3, 1, 20, tzinfo=UTC)
SIMBAD_URL = "http://127.0.0.1:1/simbad/sync"


@dataclass
class Clock:
    """The time, which moves when a test or a wait moves it."""

    now: datetime = EPOCH
    waited: list[float] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def monotonic(self) -> float:
        return (self.now - EPOCH).total_seconds()

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.move(seconds)


def image(
    number: int,
    *,
    verdict: Verdict = Verdict.ANOMALY,
    position: tuple[float, float] | None = (150.0, 2.0),
    model: str = "a",
    simulated: bool = False,
    analyzed_at: datetime = EPOCH,
    observed_at: datetime | None = None,
) -> ImageRecord:
    """An analysed image."""
    digest = content_digest(f"image {number}".encode())
    base = examples.image()
    analysis = examples.analysis().model_copy(
        update={"verdict": verdict, "model_digest": model * 64, "analyzed_at": analyzed_at}
    )
    place = None if position is None else Position.model_validate({"ra_deg": position[0], "dec_deg": position[1]})
    observation = base.observation.model_copy(
        update={"position": place, "simulated": simulated, "observed_at": observed_at}
    )
    return base.model_copy(
        update={
            "image_id": image_id(digest),
            "observation": observation,
            "analysis": analysis,
            "verdict": verdict,
            "analyzed_at": analyzed_at,
        }
    )


class World:
    """One replica of the service. Several may share the records and the clock."""

    def __init__(
        self,
        records: SqliteRecordStore,
        services: Mapping[str, Service],
        *,
        clock: Clock,
        catalogues: Sequence[ChosenCatalogue],
        hosts_by_name: bool = False,
    ) -> None:
        self.records = records
        self.clock = clock
        self.outbox = FakeOutbox(records)
        self.metrics = CatalogueMetrics(Metrics("crossref"))
        self.http = CatalogueHttp(
            ["http://127.0.0.1:1/"], transport=transport(dict(services)), on_request=self.metrics.archives.observe
        )
        requests = SharedRequests()
        self.clients = [
            CatalogueClient(
                chosen.catalogue,
                required=chosen.required,
                fallback=chosen.fallback,
                requests=requests,
                http=self.http,
                limiter=SharedLimiter(
                    records,
                    # The fakes share a host; in a measurement each has a limit of its own, as the real ones have.
                    chosen.catalogue.name if hosts_by_name else chosen.limit_host or chosen.catalogue.host,
                    per_second=chosen.catalogue.per_second,
                    clock=clock,
                    sleep=clock.sleep,
                ),
                breaker=Breaker(clock=clock.monotonic),
                metrics=self.metrics,
                clock=clock,
            )
            for chosen in catalogues
        ]
        self.cache = AnswerCache(records)
        self.catalogues = CatalogueSet(clients=self.clients, cache=self.cache, metrics=self.metrics, clock=clock)
        self.objects = ObjectLinker(records)
        self.watchlists = Watchlists(
            records=records,
            catalogues=LocalCatalogues(Path("no-catalogues-here")),
            stopping=asyncio.Event(),
            unfinished=asyncio.Event(),
            clock=clock,
        )
        self.candidates = Candidates(
            records=records, outbox=self.outbox, objects=self.objects, metrics=self.metrics, clock=clock
        )
        self.worker = CrossmatchWorker(
            records=records,
            candidates=self.candidates,
            catalogues=self.catalogues,
            metrics=self.metrics,
            stopping=asyncio.Event(),
            unfinished=asyncio.Event(),
            clock=clock,
        )
        for client in self.clients:
            client.on_recovery = self.worker.note_recovery

    async def analysed(self, *images: ImageRecord) -> None:
        """Images are stored and their events handled."""
        await self.records.upsert(Collection.IMAGES, images)
        assert await self.candidates.reconcile([each.image_id for each in images]) == {}

    async def record(self, picture: ImageRecord) -> CrossmatchRecord:
        found = await self.records.get(Collection.CROSSMATCHES, [picture.image_id])
        return CrossmatchRecord.model_validate(found[picture.image_id])

    def events(self) -> list[CandidateMatched]:
        return [CandidateMatched.model_validate_json(event.payload) for event in self.outbox.published]


@asynccontextmanager
async def opened(
    folder: Path,
    simbad: FakeSimbad,
    *,
    services: Mapping[str, Service] | None = None,
    catalogues: Sequence[ChosenCatalogue] | None = None,
) -> AsyncIterator[World]:
    records = SqliteRecordStore(folder / "records.sqlite")
    await records.open()
    world = World(
        records,
        {"/simbad": simbad, **(services or {})},
        clock=Clock(),
        catalogues=catalogues or [ChosenCatalogue(Simbad(SIMBAD_URL), required=True)],
    )
    await world.http.open()
    try:
        yield world
    finally:
        await world.http.close()
        await records.close()
