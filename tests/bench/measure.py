"""CPU time and peak memory of processes, from the operating system's own books."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Cost:
    """What a stretch of work took."""

    images: int
    wall_s: float
    cpu_s: dict[str, float]
    peak_mib: dict[str, float]

    def as_row(self) -> dict[str, object]:
        """Figures an image."""
        return {
            "images_per_s": self.images / self.wall_s,
            "cpu_ms_per_image": 1e3 * sum(self.cpu_s.values()) / self.images,
            "cpu_ms_by_process": {name: round(1e3 * spent / self.images, 3) for name, spent in self.cpu_s.items()},
            "peak_mib": {name: round(mib) for name, mib in self.peak_mib.items()},
        }


@dataclass
class Meter:
    """Measures named processes, their children included, from `start()` to `stop()`."""

    pids: dict[str, int]
    _before: dict[str, float] = field(default_factory=dict)
    _begun: float = 0.0

    def start(self) -> None:
        """Note the present state."""
        self._before = {name: _cpu_s(pid) for name, pid in self.pids.items()}
        self._begun = time.perf_counter()

    def stop(self, images: int) -> Cost:
        """The cost since `start()`."""
        wall_s = time.perf_counter() - self._begun
        cpu = {name: _cpu_s(pid) - self._before[name] for name, pid in self.pids.items()}
        return Cost(images, wall_s, cpu, {name: _peak_mib(pid) for name, pid in self.pids.items()})


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu_s(pid: int) -> float:
    """CPU of a process, of its children, and of those that have ended: decoding children are replaced now and then."""
    spent = 0.0
    for member in _family(pid):
        times = member.cpu_times()
        spent += times.user + times.system + times.children_user + times.children_system
    return spent


def _peak_mib(pid: int) -> float:
    peak = 0.0
    for member in _family(pid):
        try:
            text = Path(f"/proc/{member.pid}/status").read_text()
            peak += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")) / 1024
        except OSError:  # no /proc here: the present size is the best there is
            peak += member.memory_info().rss / 2**20
    return peak
