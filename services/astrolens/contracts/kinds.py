"""The kinds of strangeness as pages and alerts name them: what the bundle cannot tell apart is one kind."""

from collections.abc import Mapping
from typing import Final

_ONE_KIND: Final[Mapping[str, str]] = {"trail": "trail-or-bad-column", "bad-column": "trail-or-bad-column"}
"""A bright line with hard edges is `bad-column` at any angle, in nine of ten SDSS and six of ten EFIGI pictures:
columns were drawn with hard edges, trails with those of the seeing. See `tests/bench/science/frames.py`."""


def distinguishable_kinds(kinds: Mapping[str, float]) -> dict[str, float]:
    """The probability of each kind that can be told apart.

    Args:
        kinds: Of an analysis, by the bundle's kinds.
    """
    merged: dict[str, float] = {}
    for kind, probability in kinds.items():
        name = _ONE_KIND.get(kind, kind)
        merged[name] = merged.get(name, 0.0) + probability
    return merged
