"""How much a retraining run slows the stream down: images a second of the model's graph with the run stopped and going.

The run is the product's own process, with its own priority and bounds; it is stopped and continued by turns, so that
what else the machine does falls on both sides. Run `python -m tests.bench.training_slowdown --cache FOLDER`.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import Final

import numpy as np
from astrolens.contracts.training_runs import TrainingOptions
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import MODEL, Bundle
from astrolens.trainer.retraining.orders import ORDER, PROGRESS, Order, write
from onnxruntime import InferenceSession, SessionOptions

WINDOW_S: Final = 4.0
BATCH: Final = 32


def main() -> None:
    """Measure, and print the ratio of the two rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        job = _start(Path(home))
        try:
            print(json.dumps(_measure(job, rounds=options.rounds, threads=options.threads), indent=2))
        finally:
            job.send_signal(signal.SIGCONT)
            job.kill()
            job.wait()


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
    job = subprocess.Popen(program, env=os.environ | single | {"ASTROLENS_HOME": str(home)})
    deadline = monotonic() + 600
    while not (folder / PROGRESS).is_file():
        if job.poll() is not None or monotonic() > deadline:
            raise RuntimeError("the run did not begin")
        sleep(0.5)
    return job


def _measure(job: subprocess.Popen[bytes], *, rounds: int, threads: int) -> dict[str, object]:
    bundle = Bundle.load(PACKAGED_BUNDLE)
    settings = SessionOptions()
    settings.intra_op_num_threads = threads
    session = InferenceSession((bundle.path / MODEL).read_bytes(), settings, providers=["CPUExecutionProvider"])
    spec = bundle.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, spec.channels, spec.size, spec.size), dtype=np.uint8)
    rates: dict[str, list[float]] = {"alone": [], "beside the run": []}
    costs: dict[str, list[float]] = {name: [] for name in rates}
    job_cpu = 0.0
    for turn in range(2 * rounds):
        # The order changes from round to round: drift of the machine falls on both.
        name = "alone" if (turn + turn // 2) % 2 == 0 else "beside the run"
        job.send_signal(signal.SIGSTOP if name == "alone" else signal.SIGCONT)
        before = _cpu_of(job.pid)
        began, spent, images = monotonic(), process_time(), 0
        while monotonic() - began < WINDOW_S:
            session.run(None, {"pixels": pixels})
            images += BATCH
        rates[name].append(images / (monotonic() - began))
        costs[name].append((process_time() - spent) / images * 1000.0)
        job_cpu += _cpu_of(job.pid) - before
    alone, beside = (float(np.median(rates[name])) for name in rates)
    pairs = np.array(rates["beside the run"]) / np.array(rates["alone"])
    draws = np.random.default_rng(0).choice(pairs, (2000, len(pairs)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return {
        "images_a_second": {"alone": round(alone, 1), "beside the run": round(beside, 1)},
        "ratio": round(float(np.median(pairs)), 3),
        "ratio_interval": [round(float(low), 3), round(float(high), 3)],
        "cpu_ms_an_image": {name: round(float(np.median(own)), 2) for name, own in costs.items()},
        "cpu_s_of_the_run": round(job_cpu, 1),
        "load": os.getloadavg()[0],
    }


def _cpu_of(pid: int) -> float:
    """Processor time of a process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
