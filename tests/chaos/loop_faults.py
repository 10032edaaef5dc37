"""Kills and faulty bundles for the loop of the model."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, TypeVar

import psutil
from astrolens.platform.signing import load_signer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import model_file_key
from astrolens.platform.stores.records import Change
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.bundle import CALIBRATION, MANIFEST, Bundle, arrays_to_bytes, write_bundle
from astrolens.trainer.retraining.orders import BUNDLE, PROGRESS, write_bytes
from astrolens.usecases.model_registry import ModelRegistry

from tests.e2e.system import System, wait_until

RUN: Final = "training process"
TRAINER: Final = "trainer"
MODEL_SERVER: Final = "model-server"
WAIT_TIMEOUT_S: Final = 600.0
MIN_KILL_INTERVAL_S: Final = 15.0
"""Between two kills of one service: its supervisor gives it up after the sixth end within a minute."""
SCORE_FACTOR: Final = 0.4
"""Factor on the calibration's scores: far more ordinary images lie above them."""
FAULTS: Final = {
    "damaged": "have another SHA-256",
    "unsigned": "it is not signed",
    "stranger": "which is not trusted here",
}
"""What the model server says of a bundle with this fault."""

T = TypeVar("T")


@dataclass
class Kills:
    """Kill -9, at named places, and when whom was away."""

    system: System
    wanted: bool
    done: Counter[str] = field(default_factory=Counter)
    away: list[tuple[float, float]] = field(default_factory=list)
    """When the model server did not answer."""
    back_s: dict[str, list[float]] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)

    def kill(self, victim: str, place: str) -> None:
        """Kill a service or the process of the run, and wait until all services are back."""
        if not self.wanted:
            return
        pause = self._last.get(victim, 0.0) + MIN_KILL_INTERVAL_S - monotonic()
        if victim != RUN and pause > 0:
            sleep(pause)
        began = monotonic()
        before = self.system.pids().get(victim)
        if victim == RUN:
            process = run_process(self.system)
            if process is None:
                print(f"  {place}: the run has no process to kill", flush=True)
                return
            process.kill()
        else:
            self.system.kill(victim)
        self._last[victim] = began
        self.done[f"{place}: {victim}"] += 1
        # A process that was just killed may still be listed.
        wait_until(
            lambda: (victim == RUN or self.system.pids().get(victim) != before) and self.system.all_ready(),
            timeout_s=WAIT_TIMEOUT_S,
            what=lambda: f"all services after a kill of {victim} ({place})\n{self.system.logs()}",
        )
        now = monotonic()
        self.back_s.setdefault(victim, []).append(round(now - began, 1))
        if victim == MODEL_SERVER:
            self.away.append((began, now))
        print(f"  killed {victim} at {place}, all ready again {now - began:.1f} s later", flush=True)


def run_process(system: System) -> psutil.Process | None:
    """The process of the retraining run that works at the moment."""
    trainer = system.pids().get(TRAINER)
    if trainer is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(trainer).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "astrolens.trainer.retraining" in child.cmdline():
                    return child
    return None


def lift_priority(process: psutil.Process) -> None:
    """Give a run's process its share of a machine that others keep busy: the product would let it wait for hours."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/autogroup").write_text("0")
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(process.pid, os.SCHED_OTHER, os.sched_param(0))


def progress_of(system: System, run_id: str) -> dict[str, Any]:
    """What the process of a run has said of itself last."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((system.home / "training" / run_id / PROGRESS).read_bytes())
        assert isinstance(found, dict)
        return found
    return {}


def worsen_challenger(system: System, run_id: str) -> str:
    """Make the challenger of a run worse between its making and its gates; its digest.

    The trainer is stopped meanwhile and the run's process killed: the next one measures what lies there.
    """
    trainer = system.pids()[TRAINER]
    folder = system.home / "training" / run_id
    wait_until((folder / "challenger.json").is_file, timeout_s=2 * WAIT_TIMEOUT_S, what="a challenger", every_s=0.01)
    os.kill(trainer, signal.SIGSTOP)
    try:
        if (process := run_process(system)) is not None:
            process.kill()
        assert not (folder / "gates.json").is_file(), "the gates were faster"
        bundle = Bundle.load(folder / BUNDLE)
        contents = {path.name: path.read_bytes() for path in bundle.path.iterdir() if path.name != MANIFEST}
        contents[CALIBRATION] = arrays_to_bytes(
            {
                name: values * SCORE_FACTOR if name.endswith("/combined") else values
                for name, values in bundle.calibration.items()
            }
        )
        contents.pop("golden.npz", None)
        digest = write_bundle(bundle.path, bundle.manifest, contents)
        write_bytes(folder / "challenger.json", json.dumps({"digest": digest}).encode())
        return digest
    finally:
        os.kill(trainer, signal.SIGCONT)


def publish_faulty(system: System, folder: Path, digest: str, fault: str) -> None:
    """Publish a good bundle and make it one that must not serve."""
    key = folder.with_suffix(".key") if fault == "stranger" else system.home / "keys" / "model-signing.key"

    async def run(records: SqliteRecordStore, images: FolderImageStore) -> None:
        signer = load_signer(key, create=True)
        await ModelRegistry(records=records, images=images).publish(folder, signer=signer, created_by="test")
        if fault == "unsigned":
            change = Change(id=digest, set={"signature": None, "key_id": None})
            assert await records.apply(Collection.MODELS, [change])

    with_stores(system, run)
    if fault == "damaged":
        stored = system.home / "images" / model_file_key(digest)
        shutil.copyfile(folder / "model_card.md", stored)


def with_stores(system: System, work: Callable[[SqliteRecordStore, FolderImageStore], Awaitable[T]]) -> T:
    """Do something with the stores of a running system."""

    async def run() -> T:
        records, images = SqliteRecordStore(system.home / "records.sqlite"), FolderImageStore(system.home / "images")
        await records.open()
        try:
            await images.open()
            try:
                return await work(records, images)
            finally:
                await images.close()
        finally:
            await records.close()

    return asyncio.run(run())
