"""How much a retraining run slows the stream down, and how much processor time it gets beside it.

The run is the product's own process, started as the trainer starts it, with its own priority and bounds; it is stopped
and continued by turns, so that what else the machine does falls on both sides. The stream is the model's graph on
batches that are due at a steady rate: half of what the machine can do alone, and all of it. Latency is counted from
when a batch was due. Run `python -m tests.bench.training_slowdown` on a quiet machine; it takes some four minutes.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import Final

import numpy as np
from astrolens.contracts.training_runs import TrainingOptions
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import MODEL, Bundle
from astrolens.trainer.retraining.orders import ORDER, PROGRESS, Order, write
from onnxruntime import InferenceSession, SessionOptions

BATCH: Final = 8
SHARES: Final = (0.5, 1.0)
"""Of the rate that the machine can do alone; 1: as fast as it goes."""
ALONE: Final = "alone"
BESIDE: Final = "beside the run"


@dataclass(frozen=True)
class Window:
    """A stretch of the stream.

    Attributes:
        images_per_s: That were analysed.
        latencies_s: From when each batch was due to its end.
        cpu_ms: Processor time of an image.
        run_cores: Processor time of the run, in cores.
    """

    images_per_s: float
    latencies_s: list[float]
    cpu_ms: float
    run_cores: float


def main() -> None:
    """Measure, and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="pairs of windows for each rate")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a window")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        job = _start(Path(home))
        try:
            report = _measure(job, rounds=options.rounds, seconds=options.seconds, threads=options.threads)
        finally:
            job.send_signal(signal.SIGCONT)
            job.kill()
            job.wait()
    print(json.dumps(report, indent=2))


def _start(home: Path) -> subprocess.Popen[bytes]:
    """A run on the simulated sky that lasts longer than the measurement; returns once it works."""
    folder = home / "training" / secrets.token_hex(8)
    folder.mkdir(parents=True)
    order = Order(
        run_id=folder.name,
        options=TrainingOptions(simulated=5000),
        champion=PACKAGED_BUNDLE,
        false_alarms_per_1000=10.0,
        memory_mib=6144,
        cpu_hours=1.0,
    )
    write(folder, ORDER, order)
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    program = [sys.executable, "-P", "-m", "astrolens.trainer.retraining", str(folder)]
    # In a session of its own, as the trainer starts it: Linux may share processors among sessions.
    job = subprocess.Popen(program, env=os.environ | single | {"ASTROLENS_HOME": str(home)}, start_new_session=True)
    deadline = monotonic() + 600
    while not (folder / PROGRESS).is_file():
        if job.poll() is not None or monotonic() > deadline:
            raise RuntimeError("the run did not begin")
        sleep(0.5)
    return job


def _measure(job: subprocess.Popen[bytes], *, rounds: int, seconds: float, threads: int) -> dict[str, object]:
    analyze = _graph(threads)
    job.send_signal(signal.SIGSTOP)
    capacity = float(np.median([_window(job, analyze, None, seconds).images_per_s for _ in range(3)]))
    report: dict[str, object] = {
        "cores": os.cpu_count(),
        "threads": threads,
        "capacity_images_per_s": round(capacity, 1),
    }
    for share in SHARES:
        windows: dict[str, list[Window]] = {ALONE: [], BESIDE: []}
        for turn in range(2 * rounds):
            # The order changes from round to round: drift of the machine falls on both.
            name = ALONE if (turn + turn // 2) % 2 == 0 else BESIDE
            job.send_signal(signal.SIGSTOP if name == ALONE else signal.SIGCONT)
            windows[name].append(_window(job, analyze, share * capacity if share < 1.0 else None, seconds))
        if job.poll() is not None:
            raise RuntimeError("the run ended before the measurement: take fewer rounds")
        report[f"at {share:.0%} of the capacity"] = _compared(windows)
    report["load"] = os.getloadavg()[0]
    return report


def _graph(threads: int) -> Callable[[], None]:
    """Analyses one batch."""
    bundle = Bundle.load(PACKAGED_BUNDLE)
    settings = SessionOptions()
    settings.intra_op_num_threads = threads
    session = InferenceSession((bundle.path / MODEL).read_bytes(), settings, providers=["CPUExecutionProvider"])
    spec = bundle.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, spec.channels, spec.size, spec.size), dtype=np.uint8)
    return lambda: session.run(None, {"pixels": pixels}) and None


def _window(job: subprocess.Popen[bytes], analyze: Callable[[], None], per_s: float | None, seconds: float) -> Window:
    """The stream at a rate, or as fast as it goes, for so long."""
    run_before, began, spent = _cpu_of(job.pid), monotonic(), process_time()
    latencies: list[float] = []
    while monotonic() - began < seconds:
        due = began + len(latencies) * BATCH / per_s if per_s else monotonic()
        sleep(max(0.0, due - monotonic()))
        analyze()
        latencies.append(monotonic() - due)
    lasted, images = monotonic() - began, len(latencies) * BATCH
    return Window(
        images_per_s=images / lasted,
        latencies_s=latencies,
        cpu_ms=(process_time() - spent) / images * 1000.0,
        run_cores=(_cpu_of(job.pid) - run_before) / lasted,
    )


def _compared(windows: dict[str, list[Window]]) -> dict[str, object]:
    """Medians over the windows, and ratios of the pairs with their 95 % bootstrap interval."""

    def latency(window: Window, quantile: float) -> float:
        return float(np.quantile(window.latencies_s, quantile)) * 1000.0

    figures: dict[str, Callable[[Window], float]] = {
        "images_per_s": lambda each: each.images_per_s,
        "latency_ms_median": lambda each: latency(each, 0.5),
        "latency_ms_p95": lambda each: latency(each, 0.95),
        "cpu_ms_an_image": lambda each: each.cpu_ms,
    }
    found: dict[str, object] = {}
    for name, figure in figures.items():
        alone, beside = ([figure(each) for each in windows[side]] for side in (ALONE, BESIDE))
        ratios = np.array(beside) / np.array(alone)
        draws = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
        low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
        found[name] = {
            ALONE: round(float(np.median(alone)), 2),
            BESIDE: round(float(np.median(beside)), 2),
            "ratio": round(float(np.median(ratios)), 3),
            "ratio_interval": [round(float(low), 3), round(float(high), 3)],
        }
    found["cores_of_the_run"] = {
        side: round(float(np.median([each.run_cores for each in windows[side]])), 3) for side in (ALONE, BESIDE)
    }
    return found


def _cpu_of(pid: int) -> float:
    """Processor time of a process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
