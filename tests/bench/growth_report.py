"""The table of `make bench-growth`: one column a size, targets beside the figures."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

START_S = 15.0
"""Longest start-up, seconds."""
SHARE = 0.9
"""Images/s of an archive over those of the empty one, at least."""
MEMORY_MIB = 1_536
"""All processes of AstroLens together."""

Run = Mapping[str, Any]


def report(figures: Mapping[str, Any]) -> None:
    """Print a table for each engine."""
    print(f"{figures['cores']} cores")
    for engine in dict.fromkeys(run["engine"] for run in figures["runs"]):
        for line in table([run for run in figures["runs"] if run["engine"] == engine]):
            print(line)


def table(runs: Sequence[Run]) -> list[str]:
    """The lines of one engine's table."""
    empty = next((run.get("images_per_s") for run in runs if not run["archive"]), None)
    rows: list[tuple[str, str, Callable[[Run], object]]] = [
        ("start-up, s", f"<= {START_S:g}", lambda run: _of(run, "start", "seconds")),
        ("first start-up, s", f"<= {START_S:g}", lambda run: _of(run, "first_start", "seconds")),
        ("processor time of a start, s", "", lambda run: _of(run, "start", "cpu_s", "total")),
        ("similarity index complete, s after the first start", "", _index),
        ("images/s, median", "", lambda run: run.get("images_per_s")),
        ("images/s over the empty archive's", f">= {SHARE:g}", lambda run: _ratio(run.get("images_per_s"), empty)),
        ("processor time an image, ms, median", "", lambda run: run.get("cpu_ms")),
        ("memory at rest (PSS), MiB", f"<= {MEMORY_MIB}", lambda run: _of(run, "memory_rest_mib", "total")),
        ("memory, peak of start", f"<= {MEMORY_MIB}", lambda run: _of(run, "memory_peak_start_mib", "total")),
        ("memory, peak of feeds", f"<= {MEMORY_MIB}", lambda run: _of(run, "memory_peak_feed_mib", "total")),
    ]
    processes = dict.fromkeys(name for run in runs for name in run.get("memory_rest_mib", {}) if name != "total")
    rows += [(f"  {name}: rest, peak of feeds", "", _process(name)) for name in processes]
    rows += [("servers of the stack, MiB", "", lambda run: _of(run, "memory_servers_mib", "total"))]
    stored = dict.fromkeys(name for run in runs for name in run.get("bytes_a_record", {}))
    rows += [(f"bytes: {name}", "", _stored(name)) for name in stored]
    kinds = dict.fromkeys(name for run in runs for name in run.get("calls", {}))
    rows += [(f"{name}: p50, max, ms", "", _call(name)) for name in kinds]
    rows += [
        ("alerts announced again", "0", _updates),
        ("images filled a second", "", lambda run: run.get("fill_per_s")),
        ("failed", "", lambda run: run.get("failed")),
    ]
    heads = ["", "target", *(f"{run['engine']} {run['archive']:,}" for run in runs)]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for name, target, of in rows:
        values = [of(run) for run in runs]
        if any(value is not None for value in values):
            lines.append(_line([name, target, *("" if value is None else str(value) for value in values)]))
    return lines


def _of(run: Run, *path: str) -> Any:
    value: Any = run
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _index(run: Run) -> object:
    told = run.get("similarity_index")
    if told is None:
        return None
    return told["after_s"] if told["complete"] else f"only {told['images']:,} images"


def _ratio(rate: float | None, empty: float | None) -> object:
    return round(rate / empty, 2) if rate and empty else None


def _updates(run: Run) -> object:
    after = run.get("documents_after")
    return None if after is None else after.get("alert_updates", 0) - run.get("documents", {}).get("alert_updates", 0)


def _process(name: str) -> Callable[[Run], object]:
    def of(run: Run) -> object:
        at_rest, peak = _of(run, "memory_rest_mib", name), _of(run, "memory_peak_feed_mib", name)
        return None if at_rest is None else f"{at_rest}, {'' if peak is None else peak}"

    return of


def _stored(name: str) -> Callable[[Run], object]:
    return lambda run: _of(run, "bytes_a_record", name)


def _call(name: str) -> Callable[[Run], object]:
    def of(run: Run) -> object:
        told = _of(run, "calls", name)
        if told is None:
            return None
        failed = f" ({told['errors']} errors)" if told.get("errors") else ""
        return f"{told['p50_ms']:g}, {told['max_ms']:g}{failed}"

    return of


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
