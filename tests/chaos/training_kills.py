"""Kill -9 of a real retraining process at every step: `python -m tests.chaos.training_kills`.

An undisturbed one takes the same order with the same seed, on the simulated sky. The killed one is started again each
time, as the trainer does, and must go on from what was finished: from its checkpoint in the fine-tuning. Printed is by
how much the trained weights differ, and what the kills cost. Exit code 1 where a tensor differs or nothing was taken
up.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import psutil
import torch
from astrolens.contracts.training_runs import RunStep, TrainingOptions
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.trainer.retraining.orders import LOG, ORDER, PROGRESS, Order, read_outcome, read_progress, write
from safetensors.torch import load_file

from tests.chaos.loop_faults import lift_priority

WEIGHTS: Final = "fine-tuned.safetensors"
CHECKPOINT: Final = "fine-tuning.checkpoint"
LIMIT_S: Final = 7200.0
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
RUN_ID: Final = "00000000000000ce"


def main() -> int:
    """Run both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int, default=1500)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--simulated", type=int, default=300, help="images of the simulated sky to train on")
    parser.add_argument("--lift", action="store_true", help="let the run not wait for what else the machine does")
    options = parser.parse_args()
    wanted = TrainingOptions(
        views=options.views, network=True, epochs=options.epochs, simulated=options.simulated, replay=0
    )
    with tempfile.TemporaryDirectory(prefix="astrolens-training-") as place:
        whole = prepare(Path(place) / "whole", wanted)
        began = monotonic()
        finish(whole, lift=options.lift)
        between = monotonic()
        killed = prepare(Path(place) / "killed", wanted)
        kills = kill_at_every_step(killed, lift=options.lift)
        report: dict[str, Any] = {
            "undisturbed_s": round(between - began),
            "killed_s": round(monotonic() - between),
            "kills": kills,
            "cpu_s": {folder.parents[1].name: cpu_of(folder) for folder in (whole, killed)},
            "went on from step": [int(found) for found in re.findall(r"going on from step (\d+)", log_of(killed))],
            **differences(load_file(whole / WEIGHTS), load_file(killed / WEIGHTS)),
            "state": [str(getattr(read_outcome(folder), "state", None)) for folder in (whole, killed)],
        }
    print(json.dumps(report, indent=2))
    return 0 if report["tensors that differ"] == 0 and report["went on from step"] else 1


def prepare(home: Path, options: TrainingOptions) -> Path:
    """The folder of a run in a home of its own, with its order."""
    folder = home / "training" / RUN_ID
    folder.mkdir(parents=True)
    order = Order(
        run_id=RUN_ID,
        options=options,
        champion=PACKAGED_BUNDLE,
        false_alarms_per_1000=10.0,
        memory_mib=6144,
        cpu_hours=4.0,
    )
    write(folder, ORDER, order)
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    """The process of a run, as the trainer starts it."""
    environment = os.environ | dict.fromkeys(_THREADS, "1") | {"ASTROLENS_HOME": str(folder.parents[1])}
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "astrolens.trainer.retraining", str(folder)],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def finish(folder: Path, *, lift: bool) -> None:
    """Run to the end.

    Raises:
        AssertionError: It failed.
    """
    assert not reaches(start(folder), folder, lambda: False, lift=lift)


def kill_at_every_step(folder: Path, *, lift: bool) -> list[str]:
    """Kill the run once as each step begins, and once more after the first checkpoint; where it was killed."""
    places: list[tuple[str, Callable[[], bool]]] = []
    for step in RunStep:
        places.append((step.value, partial(_is_at, folder, step)))
        if step is RunStep.FINE_TUNING:
            places.append(("after a checkpoint", (folder / CHECKPOINT).is_file))
    done: list[str] = []
    for name, is_there in places:
        (folder / PROGRESS).unlink(missing_ok=True)
        process = start(folder)
        if not reaches(process, folder, is_there, lift=lift):
            return done
        process.kill()
        process.wait(30)
        done.append(name)
        print(f"killed: {name}", flush=True)
    finish(folder, lift=lift)
    return done


def reaches(process: subprocess.Popen[bytes], folder: Path, is_there: Callable[[], bool], *, lift: bool) -> bool:
    """Whether a run gets to a place; False where it has done its work before.

    Raises:
        AssertionError: It failed, or takes too long.
    """
    deadline, looked = monotonic() + LIMIT_S, 0.0
    while not is_there():
        assert monotonic() < deadline, log_of(folder)
        if process.poll() is not None:
            outcome = read_outcome(folder)
            assert outcome is not None, log_of(folder)
            assert outcome.state == "done", outcome
            return False
        if lift and monotonic() - looked > 1.0:
            looked = monotonic()
            lift_priority(psutil.Process(process.pid))
        sleep(0.005)
    return True


def differences(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> dict[str, Any]:
    """How many tensors differ, and by how much at most."""
    assert one.keys() == two.keys()
    different = {
        name: float((one[name] - two[name]).abs().max()) for name in one if not torch.equal(one[name], two[name])
    }
    return {
        "tensors": len(one),
        "tensors that differ": len(different),
        "largest difference": max(different.values(), default=0.0),
    }


def cpu_of(folder: Path) -> float | None:
    """Processor time that the last process said."""
    progress = read_progress(folder)
    return None if progress is None else progress.cpu_s


def log_of(folder: Path) -> str:
    """The log of all processes of a run."""
    return (folder / LOG).read_text(errors="replace")


def _is_at(folder: Path, step: RunStep) -> bool:
    progress = read_progress(folder)
    return progress is not None and progress.step is step


if __name__ == "__main__":
    sys.exit(main())
