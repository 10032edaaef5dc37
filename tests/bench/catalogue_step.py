"""What asking the catalogues adds to the pipeline's latency: `python -m tests.bench.catalogue_step`.

One system takes pictures at a steady rate. Every other one has a position, and is asked about at local servers that
keep the services' contracts; the others go through the same services, and no catalogue is asked. So both are measured
in one run, under the same load. The servers answer at once: what a real one takes comes on top, up to the ten seconds
of a round.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import record_store
from astrolens.platform.stores.records import Document, Order, Query

from tests.bench.latency import PERCENTILES
from tests.bench.measure import Meter
from tests.catalogues.server import serving
from tests.catalogues.services import FakeNed, FakeSimbad, FakeSkybot, FakeVizier, Reply, Request
from tests.catalogues.sky import Thing
from tests.e2e.conftest import feed_folder
from tests.e2e.system import System, running, wait_until

BUDGET = "300"
"""False alarms per 1,000: the largest, so that many pictures are candidates."""


def measured(folder: Path, *, images: int, per_s: float) -> dict[str, Any]:
    """The figures of one run.

    Args:
        folder: For the pictures and the services.
        images: How many pictures.
        per_s: How many a second.
    """
    pictures = sorted(feed_folder(folder / "pictures", images).iterdir())
    with _catalogues(len(pictures)) as (url, requests), running(folder / "home", **_settings(url)) as system:
        meter = Meter({"crossref": system.pids()["crossref"]})
        meter.start()
        _feed(system, pictures, per_s)
        system.wait_settled(len(pictures))
        url_of_records = f"sqlite:///{system.home / 'records.sqlite'}"
        wait_until(lambda: _all_asked(url_of_records), timeout_s=120, what="every candidate answered", every_s=1.0)
        cost = meter.stop(len(pictures))
        found, crossmatches = asyncio.run(_documents(url_of_records))
    with_position, without = _waits(found, crossmatches, placed=True), _waits(found, crossmatches, placed=False)
    return {
        "images": len(pictures),
        "images_per_s": per_s,
        "candidates": {"asked about": len(with_position), "not asked about": len(without)},
        "analysed_to_answered_s": _both(with_position, without, 0),
        "received_to_answered_s": _both(with_position, without, 1),
        "crossref_cpu_ms_per_image": round(1e3 * cost.cpu_s["crossref"] / len(pictures), 2),
        "crossref_peak_mib": round(cost.peak_mib["crossref"]),
        "requests": len(requests),
    }


def report(figures: dict[str, Any]) -> None:
    """Print the figures and what the step adds."""
    candidates = figures["candidates"]
    sys.stdout.write(
        f"\nThe catalogues' step, {figures['images']} images at {figures['images_per_s']:g} a second, "
        f"{candidates['asked about']} candidates asked about and {candidates['not asked about']} not\n"
    )
    for name in ("analysed_to_answered_s", "received_to_answered_s"):
        both = figures[name]
        for share in both["asked about"]:
            asked, not_asked = both["asked about"][share], both["not asked about"][share]
            line = f"{name[:-2].replace('_', ' ')} {share}: {asked:.2f} s asked, {not_asked:.2f} s not asked"
            sys.stdout.write(f"{line}, the step adds {asked - not_asked:+.2f} s\n")
    sys.stdout.write(
        f"crossref: {figures['crossref_cpu_ms_per_image']} ms of processor time an image, "
        f"{figures['requests']} requests, {figures['crossref_peak_mib']} MiB\n"
    )


@contextlib.contextmanager
def _catalogues(places: int) -> Iterator[tuple[str, list[str]]]:
    """All catalogues in a thread of their own; their address, and the paths that were asked."""
    fakes: dict[str, Any] = {
        "/simbad": FakeSimbad(),
        "/ned": FakeNed(),
        "/vizier": FakeVizier(),
        "/asu": FakeVizier(),
        "/xmatch": FakeVizier(),
        "/skybot": FakeSkybot(),
    }
    for number in range(0, places, 4):
        ra, dec = _place(number)
        fakes["/simbad"].sky.things.append(Thing(f"object {number}", ra + 0.0002, dec))
    requests: list[str] = []
    address: list[str] = []
    started, stopping = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    def answer(request: Request) -> Reply:
        requests.append(request.path)
        name = next(name for name in fakes if request.path.startswith(name))
        reply: Reply = fakes[name](request)
        return reply

    async def serve() -> None:
        async with serving(answer) as url:
            address.append(url)
            started.set()
            await stopping.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    started.wait(30)
    try:
        yield address[0], requests
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(30)
        loop.close()


def _settings(url: str) -> dict[str, str]:
    return {
        "false_alarms_per_1000": BUDGET,
        "simbad_url": f"{url}/simbad/sync",
        "ned_url": f"{url}/ned/tap",
        "ned_cone_url": f"{url}/ned/cone",
        "vizier_url": f"{url}/vizier",
        "vizier_asu_url": f"{url}/asu",
        "xmatch_url": f"{url}/xmatch",
        "skybot_url": f"{url}/skybot",
    }


def _place(number: int) -> tuple[float, float]:
    return round(20.0 + 0.1 * (number % 1000), 6), round(5.0 + 0.1 * (number // 1000), 6)


def _feed(system: System, pictures: Sequence[Path], per_s: float) -> None:
    """Upload pictures one by one at a steady rate; every other one has a position."""
    begun = time.monotonic()
    for number, path in enumerate(pictures):
        observation: dict[str, Any] = {"ref": path.name, "survey": "sdss"}
        if number % 2 == 0:
            observation["ra_deg"], observation["dec_deg"] = _place(number)
        time.sleep(max(begun + number / per_s - time.monotonic(), 0.0))
        form = {"batch": "step", "observations": json.dumps([observation])}
        system.http.post("/api/images", data=form, files={"file": (path.name, path.read_bytes())}).raise_for_status()


def _all_asked(url: str) -> bool:
    _, crossmatches = asyncio.run(_documents(url))
    return bool(crossmatches) and all(each["revision"] for each in crossmatches.values())


async def _documents(url: str) -> tuple[dict[str, Document], dict[str, Document]]:
    store = record_store(url)
    await store.open()
    try:
        found: list[Document] = []
        query = Query(order=Order("analyzed_at"), limit=1000, fields=("analyzed_at", "verdict", "observation.position"))
        while True:
            page = await store.find(Collection.IMAGES, query)
            found += page.documents
            if page.next is None:
                break
            query = Query(order=query.order, limit=query.limit, after=page.next, fields=query.fields)
        candidates = [each for each in found if each["verdict"] != "ordinary"]
        full = await store.get(Collection.IMAGES, [each["image_id"] for each in candidates])
        return full, await store.get(Collection.CROSSMATCHES, [each["image_id"] for each in candidates])
    finally:
        await store.close()


def _waits(
    images: dict[str, Document], crossmatches: dict[str, Document], *, placed: bool
) -> list[tuple[float, float]]:
    """Seconds from the analysis, and from the arrival, until the answers, of each candidate."""
    waits = []
    for image_id, match in crossmatches.items():
        image = images[image_id]
        if (image["observation"].get("position") is not None) is placed:
            answered = _seconds(match["matched_at"])
            waits.append((answered - _seconds(image["analyzed_at"]), answered - _seconds(image["received_at"])))
    return waits


def _both(one: list[tuple[float, float]], other: list[tuple[float, float]], at: int) -> dict[str, dict[str, float]]:
    return {
        name: {
            f"p{share}": round(float(np.percentile([each[at] for each in waits], share)), 3) for share in PERCENTILES
        }
        for name, waits in (("asked about", one), ("not asked about", other))
    }


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what asking the catalogues adds to the pipeline's latency")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--per-s", type=float, default=5.0)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="astrolens-bench-") as folder:
        figures = measured(Path(folder), images=arguments.images, per_s=arguments.per_s)
    report(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
