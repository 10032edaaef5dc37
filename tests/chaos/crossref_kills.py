"""Kill -9 of crossref services in the middle of a question: `python -m tests.chaos.crossref_kills`.

Candidates come meanwhile. Two replicas and a notifier run as processes on one record store; SIMBAD and NED are served
here, and count. SIMBAD holds one reply back; the replica that waits for it is killed, and another is started. What must
hold: every candidate is settled with the right answer, a place is asked again only where its answer was not in the
cache at a kill, each candidate has one alert, and the limits of the catalogues were kept.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Final

import psutil
from astrolens.contracts import topics
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.events import ImageAnalyzed
from astrolens.contracts.ids import alert_id, event_id
from astrolens.contracts.records import ImageRecord
from astrolens.crossref.cache import cell_of, local_name
from astrolens.crossref.places import Place
from astrolens.notifier.packets import decode_packet
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Order, Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from confluent_kafka import Consumer, Producer

from tests.catalogues.server import serving
from tests.catalogues.services import FakeNed, FakeSimbad, Reply, Request, Service
from tests.catalogues.sky import Thing
from tests.e2e.system import free_port_block
from tests.integration.embedded_broker import running_broker
from tests.unit.crossref.crossref_fakes import image

CATALOGUES: Final = ("simbad", "ned")
MAX_PER_S: Final = 4
"""Requests a second that SIMBAD tolerates."""
HOLD_S: Final = 4.0
"""A reply is held back so long at most: less than the service waits for one."""
PATIENCE_S: Final = 120.0


@dataclass
class Counting:
    """A catalogue that remembers who was asked about when, and holds a reply back on demand.

    Attributes:
        service: The catalogue.
        wanted: Which places are candidates; the others are canaries.
        asked: How often each was asked.
        times: When requests came.
        holding: Set while the next question about candidates shall be held back.
        held: Set when one is.
    """

    service: Service
    wanted: set[tuple[float, float]] = field(default_factory=set)
    asked: Counter[tuple[float, float]] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    holding: asyncio.Event = field(default_factory=asyncio.Event)
    held: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, request: Request) -> Reply:
        self.times.append(monotonic())
        text = request.body.decode() + request.target
        places = {place for place in self.wanted if repr(place[0]) in text and repr(place[1]) in text}
        self.asked.update(places)
        reply = self.service(request)
        if places and self.holding.is_set():
            self.holding.clear()
            self.release = asyncio.Event()
            self.held.set()
            return replace(reply, after=self.release)
        return reply

    @property
    def most_in_a_second(self) -> int:
        return max((sum(t <= other < t + 1.0 for other in self.times) for t in self.times), default=0)


@dataclass
class Rig:
    """The processes, the store and the catalogues of one run."""

    home: Path
    store: SqliteRecordStore
    catalogues: dict[str, Counting]
    port: int
    brokers: tuple[str, str]
    environment: dict[str, str]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    pictures: list[ImageRecord] = field(default_factory=list)
    may_repeat: dict[str, Counter[tuple[float, float]]] = field(
        default_factory=lambda: {name: Counter() for name in CATALOGUES}
    )
    _first_port: int = field(default_factory=lambda: free_port_block(40))
    _starts: int = 0

    def start(self, name: str, service: str, broker: str) -> None:
        """Start a service as a process of its own."""
        self._starts = (self._starts + 1) % 40
        ports = {f"ASTROLENS_{service.upper()}_PORT": str(self._first_port + self._starts)}
        with (self.home.parent / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "astrolens.cli", "serve", service],
                env={**self.environment, **ports, "ASTROLENS_EVENTS_URL": f"kafka://{broker}"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def ready(self) -> None:
        """Wait until every process says that it is ready."""

        async def all_ready() -> bool:
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended: {(self.home.parent / f'{name}.log').read_text()[-3000:]}"
            found = (await self.store.find(Collection.SERVICES, Query(limit=100))).documents
            ready = {each["pid"] for each in found if each["ready"]}
            return all(process.pid in ready for process in self.processes.values())

        await until(all_ready, "every process ready")

    async def feed(self, pictures: Sequence[ImageRecord], producer: Producer) -> None:
        """Images are analysed: their records, then their events."""
        self.pictures += pictures
        for counting in self.catalogues.values():
            counting.wanted |= {_position(picture) for picture in pictures}
        await self.store.insert(Collection.IMAGES, list(pictures))
        for picture in pictures:
            producer.produce(topics.IMAGES_ANALYZED, key=picture.image_id, value=_event(picture).model_dump_json())
        await asyncio.to_thread(producer.flush, 30)

    async def kill_whoever_waits(self) -> str:
        """Hold the next reply of SIMBAD back, kill the replica that waits for it, and let its claims run out."""
        simbad = self.catalogues["simbad"]
        simbad.held.clear()
        simbad.holding.set()
        await asyncio.wait_for(simbad.held.wait(), PATIENCE_S)
        held_at = monotonic()
        while monotonic() - held_at < HOLD_S and not await self._ned_is_kept():
            await asyncio.sleep(0.2)
        name = next(name for name in ("one", "two") if self._waits(self.processes[name].pid))
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(30)
        simbad.release.set()
        for catalogue in CATALOGUES:
            self.may_repeat[catalogue].update(await self._not_kept(catalogue))
        await self._expire_claims()
        return name

    def _waits(self, pid: int) -> bool:
        connections = psutil.Process(pid).net_connections(kind="tcp")
        return any(each.raddr and each.raddr.port == self.port and each.status == "ESTABLISHED" for each in connections)

    async def _ned_is_kept(self) -> bool:
        return not await self._not_kept("ned")

    async def _not_kept(self, catalogue: str) -> set[tuple[float, float]]:
        """Places that were asked and whose answer is in no cache."""
        asked = self.catalogues[catalogue].asked
        cells = {place: cell_of(Place("", *place)) for place in asked}
        documents = await self.store.get(Collection.CATALOGUE_ANSWERS, list(set(cells.values())))
        return {
            place
            for place, cell in cells.items()
            if local_name(catalogue) not in (documents.get(cell, {}).get("answers") or {})
        }

    async def _expire_claims(self) -> None:
        """What a minute does: candidates that a dead replica had claimed are due again.

        Those of the live one are not: it writes its answers within seconds, and they are not claimed then.
        """
        await asyncio.sleep(2.0)
        query = Query(where=(Clause("next_try_at", "gt", utc_text(utc_now())),), order=Order("next_try_at"), limit=5000)
        found = (await self.store.find(Collection.CROSSMATCHES, query)).documents
        waiting = [each for each in found if each["revision"] == 0]
        await self.store.apply(
            Collection.CROSSMATCHES,
            [
                Change(
                    id=each["image_id"],
                    set={"next_try_at": utc_text(utc_now())},
                    when=(Clause("next_try_at", "eq", each["next_try_at"]), Clause("revision", "eq", 0)),
                )
                for each in waiting
            ],
        )

    async def settled(self) -> bool:
        """Whether every candidate is answered and has its alert."""
        ids = [picture.image_id for picture in self.pictures]
        matches = await self.store.get(Collection.CROSSMATCHES, ids, fields=("next_try_at", "revision"))
        alerts = await self.store.get(Collection.ALERTS, [alert_id(each) for each in ids], fields=("image_id",))
        answered = [each for each in matches.values() if each["revision"] and each["next_try_at"] is None]
        return len(answered) == len(alerts) == len(ids)


async def run(images: int, kills: int, folder: Path) -> dict[str, Any]:
    """Run it; the figures, of which `problems` must be empty."""
    services = {"simbad": Counting(FakeSimbad()), "ned": Counting(FakeNed())}

    def router(request: Request) -> Reply:
        return services["ned" if request.path.startswith("/ned") else "simbad"](request)

    pictures, known = _sky(images, services)
    with running_broker() as first, running_broker() as second:
        async with serving(router) as url, _rig(folder, url, services, (first, second)) as rig:
            rig.start("one", "crossref", first)
            rig.start("two", "crossref", second)
            rig.start("notifier", "notifier", first)
            await rig.ready()
            producer = Producer({"bootstrap.servers": first, "log_level": 0})
            share = -(-len(pictures) // (kills + 1))
            killed = []
            for number in range(kills + 1):
                part = pictures[number * share : (number + 1) * share]
                if number == kills:
                    await rig.feed(part, producer)
                    break
                killing = asyncio.create_task(rig.kill_whoever_waits())
                await rig.feed(part, producer)
                name = await killing
                killed.append(name)
                rig.start(name, "crossref", first if name == "one" else second)
            await until(rig.settled, "every candidate settled, with an alert")
            return await _figures(rig, known, killed)


@contextlib.asynccontextmanager
async def _rig(folder: Path, url: str, services: dict[str, Counting], brokers: tuple[str, str]) -> AsyncIterator[Rig]:
    home = folder / "home"
    home.mkdir(parents=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("ASTROLENS_")},
        "ASTROLENS_HOME": str(home),
        "ASTROLENS_SOURCES": "none",
        "ASTROLENS_CATALOGUES_REQUIRED": ",".join(CATALOGUES),
        "ASTROLENS_CATALOGUES_INFORMATIVE": "none",
        "ASTROLENS_SIMBAD_URL": f"{url}/simbad/sync",
        "ASTROLENS_NED_URL": f"{url}/ned/tap",
        "ASTROLENS_NED_CONE_URL": f"{url}/ned/cone",
        "ASTROLENS_REDELIVER_AFTER_S": "3",
    }
    store = SqliteRecordStore(home / "records.sqlite")
    await store.open()
    port = int(url.rpartition(":")[2])
    rig = Rig(home, store, services, port, brokers, environment)
    try:
        yield rig
    finally:
        for process in rig.processes.values():
            process.kill()
            process.wait(30)
        await store.close()


def _sky(images: int, services: dict[str, Counting]) -> tuple[list[ImageRecord], set[str]]:
    """Places a tenth of a degree apart; a third is known to each catalogue, a third to none."""
    pictures, known = [], set()
    now = utc_now()
    for number in range(images):
        ra, dec = round(20.0 + 0.1 * (number % 1000), 6), round(5.0 + 0.1 * (number // 1000), 6)
        made = image(number, position=(ra, dec), analyzed_at=now)
        pictures.append(made.model_copy(update={"ingested_at": now, "received_at": now}))
        name = (None, *CATALOGUES)[number % 3]
        if name is not None:
            known.add(made.image_id)
            service: Any = services[name].service
            service.sky.things.append(Thing(f"object {number}", ra + 0.0002, dec))
    return pictures, known


async def _figures(rig: Rig, known: set[str], killed: list[str]) -> dict[str, Any]:
    ids = [picture.image_id for picture in rig.pictures]
    matches = await rig.store.get(Collection.CROSSMATCHES, ids, fields=("status", "revision"))
    wrong = [
        image_id for image_id in ids if matches[image_id]["status"] != ("known" if image_id in known else "unmatched")
    ]
    repeated = {
        name: {place: count for place, count in counting.asked.items() if count > 1 + rig.may_repeat[name][place]}
        for name, counting in rig.catalogues.items()
    }
    initial = await asyncio.to_thread(_initial_alerts, rig.brokers)
    busiest = {name: counting.most_in_a_second for name, counting in rig.catalogues.items()}
    problems = [f"{len(wrong)} candidates have another answer than they must"] if wrong else []
    problems += [f"{name} was asked again about {len(places)} places" for name, places in repeated.items() if places]
    problems += [f"{name} had {most} requests in a second" for name, most in busiest.items() if most > MAX_PER_S]
    if set(initial) != set(ids):
        problems.append(f"{len(set(ids) - set(initial))} alerts were never published")
    if any(len(events) > 1 for events in initial.values()):
        problems.append("an image has two initial alerts")
    return {
        "candidates": len(ids),
        "known": len(known),
        "killed": killed,
        "asked": {name: sum(counting.asked.values()) for name, counting in rig.catalogues.items()},
        "asked again, not in the cache at a kill": {
            name: sum(count - 1 for count in counting.asked.values()) for name, counting in rig.catalogues.items()
        },
        "requests": {name: len(counting.times) for name, counting in rig.catalogues.items()},
        "most requests in a second": busiest,
        "initial alerts": len(initial),
        "problems": problems,
    }


def _initial_alerts(brokers: Sequence[str]) -> dict[str, set[str]]:
    """The ids of the initial messages of each image on the public topics; a repeated message has the same id."""
    found: dict[str, set[str]] = {}
    for broker in brokers:
        reader = Consumer(
            {"bootstrap.servers": broker, "group.id": "test", "auto.offset.reset": "earliest", "log_level": 0}
        )
        names = [name for name in reader.list_topics(timeout=30).topics if name.startswith("astrolens.alerts.")]
        if names:
            reader.subscribe(names)
            quiet = monotonic()
            while monotonic() - quiet < 5.0:
                message = reader.poll(0.5)
                if message is None or message.error():
                    continue
                quiet = monotonic()
                alert = decode_packet(message.value() or b"")
                if alert.alert_type == "initial":
                    found.setdefault(alert.image_id, set()).add(alert.event_id)
        reader.close()
    return found


def _position(picture: ImageRecord) -> tuple[float, float]:
    position = picture.observation.position
    assert position is not None
    return position.ra_deg, position.dec_deg


def _event(picture: ImageRecord) -> ImageAnalyzed:
    analysis = picture.analysis
    assert analysis is not None
    return ImageAnalyzed(
        event_id=event_id("images.analyzed", picture.image_id, analysis.model_digest),
        producer="analyzer",
        occurred_at=analysis.analyzed_at,
        image_id=picture.image_id,
        survey=picture.observation.survey,
        model_digest=analysis.model_digest,
        calibration_id=analysis.calibration_id,
        predicted_class=analysis.predicted_class,
        p_value=analysis.p_value,
        verdict=analysis.verdict,
    )


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition, bounded."""
    deadline = monotonic() + PATIENCE_S
    while not await condition():
        assert monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain: {what}"
        await asyncio.sleep(0.3)


def main() -> int:
    """Run it as the arguments say and print the figures."""
    parser = argparse.ArgumentParser(description="kill crossref services in the middle of a question")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(run(arguments.images, arguments.kills, Path(folder)))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
