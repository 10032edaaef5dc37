"""Figures as text."""

from collections.abc import Iterable
from typing import Any


def table(head: Iterable[Any], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    titles = tuple(head)
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def with_interval(value: float, interval: list[float]) -> str:
    """A figure and its interval."""
    return f"{value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def with_spread(figure: dict[str, Any]) -> str:
    """The mean over splits or seeds, and its spread."""
    return f"{figure['mean']:.3f} ± {figure['spread']:.3f}"


def percent(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.1f} %"
