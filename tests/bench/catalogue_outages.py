"""Candidates through an outage of each catalogue in turn: `python -m tests.bench.catalogue_outages [CANDIDATES]`.

Three replicas of the crossref service share one record store and one clock, which moves ten minutes an outage in no
time; the catalogues are the fakes of the tests, with their faults. It prints how many possible discoveries were
announced wrongly (none may be), how many candidates are settled, and how often each server was asked.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import process_time
from typing import Any

from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.records import ImageRecord
from astrolens.crossref.catalogues.ned import Ned
from astrolens.crossref.catalogues.simbad import Simbad
from astrolens.crossref.catalogues.skybot import Skybot
from astrolens.crossref.catalogues.vizier import VizierTable
from astrolens.crossref.registry import ChosenCatalogue
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, Order, Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

from tests.catalogues.services import FakeNed, FakeSimbad, FakeSkybot, FakeVizier, Reply, Request, Service
from tests.catalogues.sky import Thing
from tests.unit.crossref.crossref_fakes import EPOCH, Clock, World, image

REPLICAS = 3
OUTAGE_S = 600
STEP_S = 30
FAULTS = ("http-503", "error-in-200", "empty", "reset", "error-param", "html", "cut", "error-info")
LOCAL = "http://127.0.0.1:1"
LIMIT_PER_S = {"/simbad": 4, "/ned": 4, "/vizier": 4, "/skybot": 4}
"""What the servers tolerate; SIMBAD bans above it."""


class Counting:
    """A service that remembers when it was asked."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service, self._clock = service, clock
        self.asked: list[float] = []

    def __call__(self, request: Request) -> Reply:
        self.asked.append(self._clock.monotonic())
        return self._service(request)

    @property
    def most_in_a_second(self) -> int:
        times = sorted(self.asked)
        return max((sum(t <= other < t + 1.0 for other in times[n : n + 50]) for n, t in enumerate(times)), default=0)


async def measure(candidates: int) -> dict[str, Any]:
    """Run it; the figures."""
    clock = Clock()
    fakes = {"/simbad": FakeSimbad(), "/ned": FakeNed(), "/vizier": FakeVizier(), "/skybot": FakeSkybot()}
    services = {path: Counting(fake, clock) for path, fake in fakes.items()}
    services["/xmatch"] = services["/vizier"]
    pictures, known = _sky(candidates, fakes)
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteRecordStore(Path(folder) / "records.sqlite")
        await store.open()
        replicas = [_replica(store, services, clock) for _ in range(REPLICAS)]
        for replica in replicas:
            await replica.http.open()
        begun = process_time()
        share = len(pictures) // len(fakes)
        for number, fake in enumerate(fakes.values()):
            waiting = pictures[number * share : (number + 1) * share] if number < 3 else pictures[3 * share :]
            steps = OUTAGE_S // STEP_S
            for step in range(steps):
                fake.fault = FAULTS[step % len(FAULTS)]
                for place in range(step, len(waiting), steps):
                    await replicas[place % REPLICAS].analysed(waiting[place])
                if step == 2:
                    await replicas[0].worker._claim()  # killed in the middle of a batch
                await _round(replicas, clock)
            fake.fault = None
        rounds = 0
        while await _unsettled(store) and rounds < 200:
            await _round(replicas, clock)
            rounds += 1
        unsettled = await _unsettled(store)
        records = [
            document["status"]
            for start in range(0, len(pictures), 500)
            for document in (
                await store.get(Collection.CROSSMATCHES, [each.image_id for each in pictures[start : start + 500]])
            ).values()
        ]
        for replica in replicas:
            await replica.http.close()
        await store.close()
    events = [event for replica in replicas for event in replica.events()]
    wrong = [event for event in events if event.possible_discovery and event.image_id in known]
    revisions = Counter((event.image_id, event.revision) for event in events)
    return {
        "candidates": len(pictures),
        "known to a catalogue": len(known),
        "events": len(events),
        "possible discoveries announced wrongly": len(wrong),
        "unsettled after recovery": unsettled,
        "settled as": dict(Counter(records)),
        "events published twice": sum(count - 1 for count in revisions.values()),
        "undetermined at first": sum(
            event.revision == 1 and event.status is CrossmatchStatus.UNDETERMINED for event in events
        ),
        "most requests in a second": {path: services[path].most_in_a_second for path in LIMIT_PER_S},
        "requests": {path: len(services[path].asked) for path in LIMIT_PER_S},
        "processor seconds": round(process_time() - begun, 1),
    }


def _sky(candidates: int, fakes: dict[str, Any]) -> tuple[list[ImageRecord], set[str]]:
    """Places a tenth of a degree apart; what is known is known to one catalogue only."""
    pictures, known = [], set()
    for number in range(candidates):
        ra, dec = 20.0 + 0.1 * (number % 1000), 5.0 + 0.1 * (number // 1000)
        picture = image(number, position=(ra, dec), observed_at=EPOCH)
        pictures.append(picture)
        path = (None, "/simbad", "/ned", "/vizier")[number % 4]
        if path is not None:
            known.add(picture.image_id)
            fakes[path].sky.things.append(Thing(f"object {number}", ra + 0.0003, dec))
    return pictures, known


def _replica(store: SqliteRecordStore, services: dict[str, Counting], clock: Clock) -> World:
    table = VizierTable("vizier:B/vsx/vsx", tap_url=f"{LOCAL}/vizier", xmatch_url=f"{LOCAL}/xmatch")
    chosen = [
        ChosenCatalogue(Simbad(f"{LOCAL}/simbad"), required=True),
        ChosenCatalogue(Ned(f"{LOCAL}/ned/tap"), required=True),
        ChosenCatalogue(table, required=True),
        ChosenCatalogue(Skybot(f"{LOCAL}/skybot"), required=False),
    ]
    return World(store, dict(services), clock=clock, catalogues=chosen, hosts_by_name=True)


async def _round(replicas: list[World], clock: Clock) -> None:
    """What the periodic tasks of all replicas do in one step of time."""
    for replica in replicas:
        for client in replica.clients:
            if client.breaker.needs_canaries:
                await _ignoring(lambda client=client: client.check_canaries(within_s=15.0))
    await asyncio.gather(*(replica.worker.run_pass() for replica in replicas))
    clock.now += timedelta(seconds=STEP_S)


async def _ignoring(work: Callable[[], Any]) -> None:
    from astrolens.crossref.failures import CatalogueFailed

    try:
        await work()
    except CatalogueFailed:
        return


async def _unsettled(store: SqliteRecordStore) -> int:
    query = Query(
        where=(Clause("next_try_at", "gt", ""),), order=Order("next_try_at"), limit=5000, fields=("next_try_at",)
    )
    return len((await store.find(Collection.CROSSMATCHES, query)).documents)


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    sys.stdout.write(json.dumps(asyncio.run(measure(wanted)), indent=2) + "\n")
