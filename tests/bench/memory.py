"""Memory of the processes of a running system, sampled by a thread: proportional set size (PSS), so that pages which
processes share are counted once."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psutil

_EVERY_S = 1.0


def pss_mib(pid: int) -> float:
    """PSS of one process, MiB; 0 where it has ended. Where the kernel tells none, its resident size."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
    except (OSError, StopIteration):
        pass
    try:
        return float(psutil.Process(pid).memory_info().rss / 2**20)
    except psutil.Error:
        return 0.0


def family_mib(pid: int) -> float:
    """PSS of a process and everything it started, MiB."""
    try:
        members = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(map(pss_mib, members))


class MemorySampler:
    """Samples until stopped; tells the last sample and the peaks since the last `reset`.

    Args:
        roots: Gives the processes of this moment by name; each is measured with its children.
        alone: Names that are measured without their children, because those have names of their own.
    """

    def __init__(self, roots: Callable[[], Mapping[str, int]], *, alone: frozenset[str] = frozenset()) -> None:
        self._roots = roots
        self._alone = alone
        self._lock = threading.Lock()
        self._last: dict[str, float] = {}
        self._peaks: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def sample(self) -> dict[str, float]:
        """MiB by process now, and `total`."""
        try:
            roots = dict(self._roots())
        except psutil.Error:  # a process ended while it was looked at
            return {}
        found = {name: pss_mib(pid) if name in self._alone else family_mib(pid) for name, pid in roots.items()}
        found["total"] = sum(found.values())
        with self._lock:
            self._last = found
            for name, mib in found.items():
                self._peaks[name] = max(self._peaks.get(name, 0.0), mib)
        return found

    def reset(self) -> None:
        """Forget the peaks."""
        with self._lock:
            self._peaks = {}

    def peaks(self) -> dict[str, float]:
        """Peak MiB by process since the last `reset`; `total` is the largest sum of one moment."""
        with self._lock:
            return dict(self._peaks)

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            self.sample()


def rest(sampler: MemorySampler, *, wait_s: float, samples: int = 5) -> dict[str, float]:
    """The smallest of some samples after a pause, by process, MiB: what stays when the work is done."""
    time.sleep(wait_s)
    found: dict[str, float] = {}
    for _ in range(samples):
        for name, mib in sampler.sample().items():
            found[name] = min(found.get(name, mib), mib)
        time.sleep(_EVERY_S)
    return found
