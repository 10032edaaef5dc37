"""How a service is: what troubles it now, in sentences, and its last errors."""

from collections import deque
from typing import Literal

State = Literal["starting", "running", "degraded", "stopped"]

_REMEMBERED_ERRORS = 5


class Condition:
    """Troubles by key, so that each part reports and withdraws its own.

    A trouble is something that passes (a store is away); the service is `degraded` as long as there is one.
    """

    def __init__(self) -> None:
        self._troubles: dict[str, str] = {}
        self._errors: deque[str] = deque(maxlen=_REMEMBERED_ERRORS)
        self.phase: Literal["starting", "running", "stopped"] = "starting"

    @property
    def state(self) -> State:
        """One word for the heartbeat."""
        return "degraded" if self.phase == "running" and self._troubles else self.phase

    @property
    def detail(self) -> str | None:
        """One sentence: why the service is not well, or None."""
        return "; ".join(self._troubles.values()) or None

    @property
    def last_errors(self) -> tuple[str, ...]:
        """The last few errors, oldest first."""
        return tuple(self._errors)

    def trouble(self, key: str, sentence: str) -> bool:
        """Report a trouble; return whether it is news, so that it is logged once and not at every attempt."""
        new = key not in self._troubles
        self._troubles[key] = sentence
        if new:
            self.error(sentence)
        return new

    def well(self, key: str) -> bool:
        """Withdraw a trouble; return whether there was one."""
        return self._troubles.pop(key, None) is not None

    def error(self, sentence: str) -> None:
        """Remember an error that people should see without reading logs."""
        self._errors.append(sentence)
