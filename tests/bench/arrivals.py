"""An open loop of arrivals: pictures come on a schedule, whether the pipeline keeps up or not.

A loader that waits for its last answer before it sends the next picture would hide every delay it has caused
(coordinated omission), so latency is counted from the moment a picture was due, not from when it could be sent.
Run as a process of its own: `python -m tests.bench.arrivals URL FOLDER COUNT SECONDS PACKET BATCH`; it prints JSON.
"""

import argparse
import asyncio
import itertools
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.conftest import feed_folder

_CONCURRENT = 8
_JPEG_START = b"\xff\xd8"
_DISTINCT = 5_000
"""Different pictures at most; more are the same ones under another comment: other bytes, so none is a duplicate."""


@dataclass(frozen=True)
class Schedule:
    """When each of `count` pictures is due.

    Attributes:
        count: Pictures.
        seconds: Length of the visit, seconds; packets are spread evenly over it.
        packet: Pictures in one request.
    """

    count: int
    seconds: float
    packet: int = 64

    def due_s(self, index: int) -> float:
        """Seconds after the beginning at which picture `index` is due: with its packet, when the packet is complete."""
        last_of_packet = min((index // self.packet + 1) * self.packet, self.count)
        return self.seconds * last_of_packet / self.count


def visit_folder(folder: Path, count: int) -> Path:
    """A folder of `count` pictures with different bytes, named by their number."""
    scratch = feed_folder(folder.with_name(f"{folder.name}-originals"), min(count, _DISTINCT))
    originals = sorted(scratch.iterdir())
    folder.mkdir()
    for index, original in zip(range(count), itertools.cycle(originals), strict=False):
        (folder / f"{index:06}.jpg").write_bytes(
            _commented(original.read_bytes(), f"{folder.name} {index:06}".encode())
        )
    shutil.rmtree(scratch)
    return folder


def _commented(jpeg: bytes, comment: bytes) -> bytes:
    """The same picture with a comment segment (ITU-T T.81, marker COM) behind its start marker."""
    if not jpeg.startswith(_JPEG_START):
        return jpeg
    return _JPEG_START + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


async def send(url: str, folder: Path, schedule: Schedule, batch: str) -> dict[str, float]:
    """Send every picture when it is due, or as soon after as a place is free.

    Returns:
        `began` (seconds since the epoch), `sent_s` (seconds until the last answer), `late_s`, the longest that a
        packet had to wait for its turn, and `cpu_s`, what sending cost this process.

    Raises:
        httpx.HTTPError: The console refused a packet: the figures would be of something else.
    """
    paths = sorted(folder.iterdir())
    places = asyncio.Semaphore(_CONCURRENT)
    late_s = 0.0
    began, clock = time.time(), time.perf_counter()
    async with httpx.AsyncClient(base_url=url, timeout=300) as client, asyncio.TaskGroup() as tasks:

        async def packet(start: int) -> None:
            nonlocal late_s
            await asyncio.sleep(max(0.0, schedule.due_s(start) - (time.perf_counter() - clock)))
            group = paths[start : start + schedule.packet]
            async with places:
                late_s = max(late_s, time.perf_counter() - clock - schedule.due_s(start))
                files = [("file", (path.name, path.read_bytes(), "image/jpeg")) for path in group]
                known = json.dumps([{"ref": path.name} for path in group])
                fields = {"batch": batch, "survey": "sdss", "observations": known}
                (await client.post("/api/images", data=fields, files=files)).raise_for_status()

        for start in range(0, schedule.count, schedule.packet):
            tasks.create_task(packet(start))
    return {"began": began, "sent_s": time.perf_counter() - clock, "late_s": late_s, "cpu_s": time.process_time()}


def main() -> None:
    """Send one visit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("packet", type=int)
    parser.add_argument("batch")
    told = parser.parse_args()
    schedule = Schedule(told.count, told.seconds, told.packet)
    json.dump(asyncio.run(send(told.url, told.folder, schedule, told.batch)), sys.stdout)


if __name__ == "__main__":
    main()
