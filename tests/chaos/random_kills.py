"""`make chaos`: kill -9 of any process every few seconds while galaxies flow; the records must be an undisturbed run's.

    python -m tests.chaos.random_kills --images 5000

Both runs take the same pictures: real galaxies where they are, simulated ones elsewhere. Victims are the services, the
supervisor alone, and everything at once; after the latter two AstroLens is started again at once, and that start must
succeed. Exit code 1 where anything differs.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from astrolens.platform.runtime.services import SERVICE_NAMES

from tests.chaos.kills import SETTINGS, count_of, feed, final_state
from tests.e2e.conftest import FEED_SURVEY, feed_folder
from tests.e2e.system import System, running, wait_until

SUPERVISOR: Final = "supervisor"
EVERYTHING: Final = "everything"
RESTARTED_BY_HAND: Final = (SUPERVISOR, EVERYTHING)
SHARE_OF_RESTARTS: Final = 0.15
"""Kills after which AstroLens is started again by hand; each takes some ten seconds."""
MAX_PER_MINUTE: Final = 4
"""Kills of one service: after the sixth end within a minute the supervisor gives it up, as it is meant to."""
STALLED_S: Final = 60.0
"""Longest wait for progress before the next kill."""
START_S: Final = 600.0
"""Bound of a start on a machine that does other work, too; whether it is refused shows at once."""
CLIENT_RETRY_S: Final = 900.0
"""How long the client tries again while the console is away."""


@dataclass
class Killings:
    """What was killed, and how long each start afterwards took."""

    seed: int
    every_s: float
    counts: Counter[str] = field(default_factory=Counter)
    starts_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._recent: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=MAX_PER_MINUTE))

    def next_victim(self, now: float) -> str | None:
        """Whom to kill, None where the one drawn was killed too often of late."""
        if self._random.random() < SHARE_OF_RESTARTS:
            return self._random.choice(RESTARTED_BY_HAND)
        service = self._random.choice(SERVICE_NAMES)
        recent = self._recent[service]
        if len(recent) == MAX_PER_MINUTE and now - recent[0] < 60:
            return None
        recent.append(now)
        return service

    def kill(self, system: System, victim: str) -> None:
        """Kill, and start again what nobody else starts.

        Raises:
            AssertionError: The start failed.
        """
        if victim not in RESTARTED_BY_HAND:
            if victim not in system.pids():
                return  # dead already, or not started again yet
            system.kill(victim)
            self.counts[victim] += 1
            return
        if victim == EVERYTHING:
            system.kill_all()
        else:
            system.kill_supervisor()
        self.counts[victim] += 1
        began = time.monotonic()
        system.start(timeout_s=START_S)
        self.starts_s.append(round(time.monotonic() - began, 1))

    def pause_s(self) -> float:
        """Until the next one."""
        return self._random.uniform(0.5, 1.5) * self.every_s


def disturbed_run(system: System, folder: Path, killings: Killings, *, limit_s: float) -> dict[str, Any]:
    """Feed the folder and kill until everything is settled; what came out."""
    command = ["ingest", str(folder), "--survey", FEED_SURVEY, "--patience", str(CLIENT_RETRY_S)]
    deadline = time.monotonic() + limit_s
    with subprocess.Popen(
        [sys.executable, "-m", "astrolens.cli", *command],
        env=system.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as client:
        try:
            before = _progress(system)
            while client.poll() is None or not _settled(system, count_of(folder)):
                assert time.monotonic() < deadline, f"not settled after {limit_s:.0f} s\n{system.logs()}"
                time.sleep(killings.pause_s())
                if _settled(system, count_of(folder)):
                    continue  # only the client has to notice
                before = _wait_for_progress(system, before)
                if (victim := killings.next_victim(time.monotonic())) is not None:
                    killings.kill(system, victim)
            assert client.returncode == 0, f"{client.stdout.read() if client.stdout else ''}\n{system.logs()}"
        finally:
            client.kill()
    wait_until(system.all_ready, timeout_s=START_S, what=lambda: f"everything ready at the end\n{system.logs()}")
    system.wait_settled(count_of(folder), timeout_s=600)
    return final_state(system)


def differences(expected: dict[str, Any], found: dict[str, Any]) -> dict[str, list[str]]:
    """Keys that differ, by kind: images, alerts, books, dead letters."""
    different: dict[str, list[str]] = {}
    for kind, value in expected.items():
        want, have = (each if isinstance(each, dict) else {"": each} for each in (value, found[kind]))
        if keys := sorted(key for key in want.keys() | have.keys() if want.get(key) != have.get(key)):
            different[kind] = keys
    return different


def main() -> int:
    """Run both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds that the disturbed run may take")
    arguments = parser.parse_args()
    killings = Killings(seed=arguments.seed, every_s=arguments.every)
    with tempfile.TemporaryDirectory(prefix="astrolens-chaos-") as name:
        place = Path(name)
        folder = feed_folder(place / "pictures", arguments.images)
        began = time.monotonic()
        with running(place / "undisturbed", **SETTINGS) as system:
            expected = feed(system, folder)
        between = time.monotonic()
        with running(place / "disturbed", **SETTINGS) as system:
            found = disturbed_run(system, folder, killings, limit_s=arguments.limit)
        different = differences(expected, found)
        report = {
            "images": count_of(folder),
            "survey": FEED_SURVEY,
            "undisturbed_s": round(between - began),
            "disturbed_s": round(time.monotonic() - between),
            "kills": dict(sorted(killings.counts.items())),
            "kills_together": killings.counts.total(),
            "starts_after_a_kill_s": killings.starts_s,
            "books": found["books"],
            "alerts": len(found["alerts"]),
            "differences": {kind: len(keys) for kind, keys in different.items()},
            "differ": {kind: keys[:10] for kind, keys in different.items()},
        }
    print(json.dumps(report, indent=2))
    return 1 if different else 0


def _status(system: System) -> dict[str, Any] | None:
    try:
        return system.status()
    except Exception:  # noqa: BLE001 - the console may be dead at this moment, in any way
        return None


def _settled(system: System, received: int) -> bool:
    status = _status(system)
    return status is not None and bool(status["received"] >= received and status["in_flight"] == 0)


def _progress(system: System) -> int | None:
    status = _status(system)
    return None if status is None else int(status["received"] + status["analyzed"])


def _wait_for_progress(system: System, before: int | None) -> int | None:
    """Wait until something was done since the last kill, but not for ever: else a slow machine would only restart."""
    deadline = time.monotonic() + STALLED_S
    now = before
    while time.monotonic() < deadline:
        if (now := _progress(system)) is not None and now != before:
            break
        time.sleep(0.5)
    return now


if __name__ == "__main__":
    sys.exit(main())
