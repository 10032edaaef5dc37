"""The condition of a service: its state, its open issues in sentences, and its last errors."""

from collections import deque
from typing import Literal

State = Literal["starting", "running", "degraded", "stopped"]

_REMEMBERED_ERRORS = 5


class Condition:
    """State, open issues and last errors. Issues have keys, so that each part sets and clears its own.

    An issue passes, such as a store that does not answer; the service is `degraded` as long as there is one.
    """

    def __init__(self) -> None:
        self._issues: dict[str, str] = {}
        self._errors: deque[str] = deque(maxlen=_REMEMBERED_ERRORS)
        self.phase: Literal["starting", "running", "stopped"] = "starting"

    @property
    def state(self) -> State:
        """One word for the heartbeat."""
        return "degraded" if self.phase == "running" and self._issues else self.phase

    @property
    def detail(self) -> str | None:
        """One sentence: what is wrong now, or None."""
        return "; ".join(self._issues.values()) or None

    @property
    def last_errors(self) -> tuple[str, ...]:
        """The last five errors, oldest first."""
        return tuple(self._errors)

    def set_issue(self, key: str, sentence: str) -> bool:
        """Open an issue, or change its sentence; return whether it is new, so that it is logged once an outage."""
        new = key not in self._issues
        self._issues[key] = sentence
        if new:
            self.record_error(sentence)
        return new

    def clear_issue(self, key: str) -> bool:
        """Close an issue; return whether it was open."""
        return self._issues.pop(key, None) is not None

    def record_error(self, sentence: str) -> None:
        """Remember an error that people should see without reading logs."""
        self._errors.append(sentence)
