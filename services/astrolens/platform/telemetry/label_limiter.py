"""Keeps a label's values few, whatever strangers name their surveys: each value is a series for ever."""

from typing import Final

OTHER: Final = "other"
_MOST: Final = 32


class LabelLimiter:
    """Lets through the first values that it sees and calls all later ones `other`."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value as a label."""
        if value not in self._known:
            if len(self._known) >= self._most:
                return OTHER
            self._known.add(value)
        return value
