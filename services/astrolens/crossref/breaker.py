"""Leaves a failing catalogue alone for a while, and believes it again only when its canaries are right."""

import random
from collections.abc import Callable
from enum import StrEnum
from time import monotonic
from typing import Final

MAX_FAILURES: Final = 2
"""Failures in a row after which a catalogue is left alone; one suffices where nothing can be reached."""
INITIAL_PAUSE_S: Final = 15.0
MAX_PAUSE_S: Final = 600.0
"""Pauses between two looks at a failing catalogue; doubled each time."""
CANARY_INTERVAL_S: Final = 3600.0
"""How often a catalogue that works is tested."""


class BreakerState(StrEnum):
    """The states: `unproven` before the first canaries, `half_open` when it may be tested again."""

    UNPROVEN = "unproven"
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Decides whether a catalogue may be asked.

    Attributes:
        reason: What went wrong last, a sentence; None while it works.
        failures: Failures in a row.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic, time_scale: float = 1.0) -> None:
        """Nothing is known yet.

        Args:
            clock: Seconds that only grow.
            time_scale: Factor of all pauses, for tests.
        """
        self._clock = clock
        self._scale = time_scale
        self._proven_at: float | None = None
        self._retry_at = 0.0
        self._pause_s = INITIAL_PAUSE_S
        self.failures = 0
        self.reason: str | None = None
        self._open = False

    @property
    def state(self) -> BreakerState:
        """The state now."""
        if self._open:
            return BreakerState.OPEN if self._clock() < self._retry_at else BreakerState.HALF_OPEN
        return BreakerState.UNPROVEN if self._proven_at is None else BreakerState.CLOSED

    @property
    def retry_in_s(self) -> float:
        """Seconds until it is tested again; 0 where it may be asked."""
        return max(0.0, self._retry_at - self._clock()) if self._open else 0.0

    @property
    def needs_canaries(self) -> bool:
        """Whether its canaries must be asked before anything else."""
        state = self.state
        if state is BreakerState.CLOSED:
            return self._clock() - (self._proven_at or 0.0) > CANARY_INTERVAL_S * self._scale
        return state is not BreakerState.OPEN

    def record_canaries_right(self) -> bool:
        """Its canaries were right; return whether it was left alone until now."""
        was_open = self._open
        self._proven_at = self._clock()
        self._open = False
        self._pause_s = INITIAL_PAUSE_S
        self.failures = 0
        self.reason = None
        return was_open

    def record_success(self) -> None:
        """It gave a good answer."""
        self.failures = 0

    def record_failure(self, reason: str, *, at_once: bool = False, retry_after_s: float | None = None) -> None:
        """It failed.

        Args:
            reason: A sentence.
            at_once: Whether to leave it alone after this one failure.
            retry_after_s: How long it asks to wait.
        """
        self.failures += 1
        self.reason = reason
        half_open = self.state is BreakerState.HALF_OPEN
        if not (at_once or half_open or retry_after_s is not None or self.failures >= MAX_FAILURES):
            return
        pause_s = random.uniform(self._pause_s * 0.75, self._pause_s) * self._scale  # noqa: S311 - jitter is no secret
        self._retry_at = self._clock() + max(pause_s, retry_after_s or 0.0)
        self._pause_s = min(self._pause_s * 2, MAX_PAUSE_S)
        self._open = True
