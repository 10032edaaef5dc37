"""Limits the values of a metric's label, such as survey names that users choose: each value is a time series."""

from typing import Final

OTHER: Final = "other"
_MAX_VALUES: Final = 32


class LabelLimiter:
    """Returns the first values that it sees unchanged, and `other` for all later ones."""

    def __init__(self, max_values: int = _MAX_VALUES) -> None:
        self._max_values = max_values
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The label of a value."""
        if value not in self._known:
            if len(self._known) >= self._max_values:
                return OTHER
            self._known.add(value)
        return value
