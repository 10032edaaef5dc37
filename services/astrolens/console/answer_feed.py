"""Who answered what, told to every open window within a moment: colleagues look at the same images."""

from collections.abc import Callable, Sequence

import structlog

from astrolens.usecases.labelling import LabelOutcome

log = structlog.get_logger(__name__)

Hear = Callable[[Sequence[LabelOutcome]], None]


class AnswerFeed:
    """Gives each recorded answer to every listener; what other console processes record is seen when a list is read."""

    def __init__(self) -> None:
        self._listeners: list[Hear] = []

    def listen(self, hear: Hear) -> Callable[[], None]:
        """Call `hear` with every answer from now on, until the returned function is called."""
        self._listeners.append(hear)

        def stop() -> None:
            if hear in self._listeners:
                self._listeners.remove(hear)

        return stop

    def tell(self, recorded: Sequence[LabelOutcome]) -> None:
        """Tell all listeners."""
        for hear in tuple(self._listeners):
            try:
                hear(recorded)
            except Exception:
                # One window must not keep an answer from the others, nor from being recorded.
                log.exception("a window was not told of an answer")
