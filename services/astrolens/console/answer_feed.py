"""Publishes recorded answers to every open window, because colleagues look at the same images."""

from collections.abc import Callable, Sequence

import structlog

from astrolens.usecases.labelling import LabelOutcome

log = structlog.get_logger(__name__)

AnswerListener = Callable[[Sequence[LabelOutcome]], None]


class AnswerFeed:
    """Calls listeners with each recorded answer of this process; those of others are seen when a list is read."""

    def __init__(self) -> None:
        self._listeners: list[AnswerListener] = []

    def subscribe(self, listener: AnswerListener) -> Callable[[], None]:
        """Call `listener` with every answer from now on, until the returned function is called."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def publish(self, recorded: Sequence[LabelOutcome]) -> None:
        """Call every listener."""
        for listener in tuple(self._listeners):
            try:
                listener(recorded)
            except Exception:
                # One window must not keep an answer from the others, nor from being recorded.
                log.exception("a listener failed on recorded answers")
