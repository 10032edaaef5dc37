"""`make bench-scale`: a steady night and a Rubin visit on the real stack, with 1, 2 and 4 analyzers.

A Rubin visit is a burst of 10,000 pictures in 39 s. What comes out, beside each other: backlog, drain time, percentiles
of the latency end to end, CPU by process. `tests.bench.capacity` fits pods to these figures (docs/scaling.md).
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.arrivals import Schedule, visit_folder
from tests.bench.latency import journeys, summary
from tests.bench.measure import Meter
from tests.bench.pipeline import engines_of, servers_of, variables
from tests.bench.replicas import replica
from tests.e2e.system import System, running

_SAMPLE_S = 1.0
_DRAIN_S = 1_800.0


def main() -> None:
    """Run every number of analyzers and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", type=Path, required=True, help="stack.env of the running stack")
    parser.add_argument("--analyzers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--images", type=int, default=10_000, help="pictures of the visit")
    parser.add_argument("--seconds", type=float, default=39.0, help="length of the visit")
    parser.add_argument("--steady-rate", type=float, default=28.0, help="pictures a second of the steady stretch")
    parser.add_argument("--steady-seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    told = parser.parse_args()
    stack = variables(told.stack)
    # Half a second of pictures a packet; a visit comes in larger ones.
    steady = Schedule(
        int(told.steady_rate * told.steady_seconds), told.steady_seconds, packet=max(1, int(told.steady_rate / 2))
    )
    visit = Schedule(told.images, told.seconds)
    runs = []
    with tempfile.TemporaryDirectory(prefix="astrolens-scale-") as scratch:
        folders = {
            "steady": (visit_folder(Path(scratch) / "steady", steady.count), steady),
            "visit": (visit_folder(Path(scratch) / "visit", visit.count), visit),
        }
        for analyzers in told.analyzers:
            with _pipeline(Path(scratch) / f"home-{analyzers}", stack, analyzers) as (system, meter):
                for name, (folder, schedule) in folders.items():
                    row = _stretch(system, meter, folder, schedule)
                    runs.append({"analyzers": analyzers, "stretch": name, **row})
                    _print(runs[-1])
    if told.json:
        told.json.write_text(json.dumps({"cores": len(os.sched_getaffinity(0)), "runs": runs}, indent=2) + "\n")


@contextlib.contextmanager
def _pipeline(home: Path, stack: dict[str, str], analyzers: int) -> Iterator[tuple[System, Meter]]:
    """All services on a database and a bucket of their own, with further analyzers in the same group."""
    # The whole visit may wait inside: what is measured is the backlog, not the back-pressure in front of it.
    with running(home, **engines_of(stack), max_in_flight="100000") as system, contextlib.ExitStack() as others:
        pids = system.pids()
        for number in range(2, analyzers + 1):
            pids[f"analyzer-{number}"] = others.enter_context(replica(system, "analyzer", number))
        yield system, Meter({**pids, **servers_of(stack)})


def _stretch(system: System, meter: Meter, folder: Path, schedule: Schedule) -> dict[str, Any]:
    """Send one schedule, wait until nothing is in flight, and say what it took."""
    before = system.status()
    batch = f"scale-{uuid.uuid4().hex[:8]}"
    told_when = [str(value) for value in (schedule.count, schedule.seconds, schedule.packet)]
    command = [sys.executable, "-m", "tests.bench.arrivals", system.url, str(folder), *told_when, batch]
    backlog = 0
    meter.start()
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as sending:
        began = time.monotonic()
        while True:
            status = system.status()
            backlog = max(backlog, status["in_flight"])
            everything_is_in = sending.poll() is not None and status["received"] >= before["received"] + schedule.count
            if everything_is_in and status["in_flight"] == 0:
                break
            assert sending.poll() in {None, 0}, "the loader failed: its traceback stands above"
            assert time.monotonic() - began < schedule.seconds + _DRAIN_S, f"not drained: {status}\n{system.logs()}"
            time.sleep(_SAMPLE_S)
        assert sending.stdout is not None
        told = json.loads(sending.stdout.read())
    cost = meter.stop(schedule.count)
    travelled = journeys(system.environment["ASTROLENS_RECORDS_URL"], batch, began=told["began"], schedule=schedule)
    # Real pictures may hold some that are rejected, such as an archive's error page; nothing else may be missing.
    settled = {name: status[name] - before[name] for name in ("analyzed", "rejected")}
    assert sum(settled.values()) == schedule.count, f"of {schedule.count}: {settled}"
    assert len(travelled) == settled["analyzed"], f"{len(travelled)} documents of {settled}"
    last = max(each.analyzed for each in travelled)
    return {
        "images": schedule.count,
        "seconds": schedule.seconds,
        "wall_s": round(cost.wall_s, 2),
        "images_per_s": round(schedule.count / (last - told["began"]), 1),
        "backlog": backlog,
        "drain_s": round(last - told["began"] - schedule.seconds, 1),
        "door_late_s": round(told["late_s"], 2),
        "loader_cpu_s": round(told["cpu_s"], 1),
        "alerts": sum(each.alerted is not None for each in travelled),
        "latency_s": summary(travelled),
        "cpu_s": {name: round(spent, 2) for name, spent in cost.cpu_s.items()},
        "peak_mib": {name: round(mib) for name, mib in cost.peak_mib.items()},
    }


def _print(run: dict[str, Any]) -> None:
    print(
        f"{run['analyzers']} analyzers, {run['stretch']}: {run['images']} pictures in {run['seconds']:g} s -> "
        f"{run['images_per_s']} images/s, backlog {run['backlog']}, drained {run['drain_s']} s after the last arrival, "
        f"{run['alerts']} alerts"
    )
    for step, shares in run["latency_s"].items():
        print(f"    {step:16}" + "  ".join(f"{share} {seconds:8.2f} s" for share, seconds in shares.items()))
    spent = {name: round(1e3 * seconds / run["images"], 2) for name, seconds in run["cpu_s"].items()}
    print(f"    CPU-ms an image {sum(spent.values()):.1f}: {spent}", flush=True)


if __name__ == "__main__":
    main()
