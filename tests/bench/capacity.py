"""How many pods a night needs, fitted to the figures of `make bench-scale`.

The model is linear: over a stretch of `wall_s` seconds, `n` processes of a service spend
`idle * n * wall_s + work * images` seconds of CPU. `idle` (cores a process) and `work` (seconds an image) are fitted to
all stretches by least squares that keeps both at zero or more. A pod then carries `(CEILING * cores - idle) / work`
images a second, where `cores` is its limit in production.
"""

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import nnls

from tests.bench.pipeline import SERVERS

CEILING = 0.6
"""Share of its limit that a pod may be busy with on average: queues grow without bound towards 1."""

REPLICATED = ("analyzer", "console", "ingestor", "model-server")
"""Services that may have several pods; the others are one pod each, which must carry the night."""

K8S = Path(__file__).parents[2] / "k8s"
PRODUCTION = (K8S / "base", K8S / "overlays" / "prod")
"""Where the manifests lie; what comes later is a patch of what came before."""


@dataclass(frozen=True)
class Night:
    """A survey's night.

    Attributes:
        name: For people.
        per_s: Pictures a second that must be carried, one an alert.
        source: Where the figures are from.
    """

    name: str
    per_s: float
    source: str


NIGHTS = (
    Night("ZTF", 1_200_000 / (9 * 3600), "1.2 million alerts in nine hours (Patterson et al. 2019, PASP 131, 018001)"),
    Night("Rubin", 10_000 / 39, "10,000 alerts a visit of 39 s, visit after visit"),
    Night("ZTF burst", 80_000 / 60, "80,000 alerts a minute were seen (the same paper)"),
)


@dataclass(frozen=True)
class Cost:
    """What one process of a service spends: cores while idle, seconds of CPU an image."""

    idle_cores: float
    work_s: float


def fit(runs: Iterable[Mapping[str, Any]]) -> dict[str, Cost]:
    """The cost of each service.

    Args:
        runs: Rows of `tests.bench.scale`: `wall_s`, `images` and `cpu_s` by process; `analyzer-2` is an `analyzer`.
    """
    rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for run in runs:
        spent: dict[str, list[float]] = defaultdict(list)
        for process, cpu_s in run["cpu_s"].items():
            service = process.rstrip("0123456789").rstrip("-")
            spent[service].append(cpu_s)
        for service, each in spent.items():
            rows[service].append((run["wall_s"] * len(each), run["images"], sum(each)))
    costs = {}
    for service, measured in rows.items():
        table = np.array(measured)
        # Each column on its own scale, or images (thousands) would drown seconds (tens).
        scale = table[:, :2].max(axis=0)
        answer, _ = nnls(table[:, :2] / scale, table[:, 2])
        costs[service] = Cost(*(float(value) for value in answer / scale))
    return costs


def limits(folders: Sequence[Path] = PRODUCTION) -> dict[str, float]:
    """Cores that a pod of each service may use, from the manifests."""
    found = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.yaml"))):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("kind") == "Deployment":
                (container,) = document["spec"]["template"]["spec"]["containers"]
                if "resources" not in container:  # what all services share is a patch of its own
                    continue
                cpu = str(container["resources"]["limits"]["cpu"])
                found[document["metadata"]["name"]] = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    return found


def images_per_s(cost: Cost, cores: float) -> float:
    """What one pod carries."""
    return max(0.0, CEILING * cores - cost.idle_cores) / cost.work_s if cost.work_s else math.inf


def pods(cost: Cost, cores: float, rate: float) -> int:
    """Pods that carry `rate` images a second."""
    carried = images_per_s(cost, cores)
    return max(1, math.ceil(rate / carried)) if carried else 0


def main() -> None:
    """Print costs and pods as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, help="JSON of `make bench-scale`")
    costs = fit(json.loads(parser.parse_args().figures.read_text())["runs"])
    head = ["", "idle, cores", "CPU-ms an image", "limit, cores", "images/s a pod"]
    print(_row([*head, *(f"{night.name}, {night.per_s:.0f}/s" for night in NIGHTS)]))
    print(_row(["---"] * (len(head) + len(NIGHTS))))
    for service, limit in limits().items():
        cost = costs[service]
        needed = [pods(cost, limit, night.per_s) for night in NIGHTS]
        said = [str(count) if count == 1 or service in REPLICATED else f"{count} (one may run)" for count in needed]
        print(_row([service, *_figures(cost), f"{limit:g}", f"{images_per_s(cost, limit):.0f}", *said]))
    for server in SERVERS:
        if server in costs:
            cost = costs[server]
            busy = [(cost.idle_cores + night.per_s * cost.work_s) / CEILING for night in NIGHTS]
            print(_row([server, *_figures(cost), "", "", *(f"{cores:.1f} cores" for cores in busy)]))


def _figures(cost: Cost) -> list[str]:
    return [f"{cost.idle_cores:.3f}", f"{1e3 * cost.work_s:.2f}"]


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
