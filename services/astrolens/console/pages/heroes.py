"""Answers that are given in the strip of the strangest images, and taken back."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nicegui.events import GenericEventArguments

from astrolens.console.components.heroes import KEYS, Heroes
from astrolens.console.components.keys import Shortcut
from astrolens.console.pages.page import Visit, shortcuts
from astrolens.contracts.records import Answer
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.labelling import LabelRequest
from astrolens.usecases.views import ImageCard

_FIRST: Final = ".heroes .hero"


class AnsweredHeroes:
    """The strip, and the answers given in it.

    Args:
        visit: The opened page.
        changed: Reads and shows the strip anew, after an answer was taken back.
    """

    def __init__(self, visit: Visit, changed: Callable[[], Awaitable[None]]) -> None:
        self._visit = visit
        self._changed = changed
        self._given: list[tuple[str, Answer | None]] = []
        self._strip = Heroes(visit.window.base)
        self._strip.on("answer", visit.handler(self._answer))
        to_first = (("ArrowRight", "l"), "To the strangest images; on with the arrow keys")
        visit.keys(
            Shortcut(*to_first, target=_FIRST),
            *(
                Shortcut((key,), f"Answer {answer} for the image that has the focus", target=_FIRST)
                for key, answer in KEYS.items()
            ),
            *shortcuts(("u", "Undo the last answer given here", visit.handler(self._undo))),
            title="Tonight",
        )

    def show(self, cards: Sequence[ImageCard]) -> None:
        """Show images, the strangest first."""
        self._strip.show(cards)

    async def _answer(self, user: str, event: GenericEventArguments) -> None:
        # A browser can send anything.
        given = event.args
        if not isinstance(given, list) or len(given) != 2 or str(given[1]) not in KEYS:
            raise InvalidRequest("Unknown answer", "The browser sent an answer that the console does not know")
        image, answer = str(given[0]), KEYS[str(given[1])]
        outcomes = await self._visit.context.labelling.answer(LabelRequest(image_id=image, answer=answer), user=user)
        self._given.append((image, outcomes.labels[0].previous))
        self._visit.notify(f"{image[:12]}: {answer}. Undo with u.")
        self._strip.leave_out(image)

    async def _undo(self, user: str) -> None:
        if not self._given:
            self._visit.notify("Nothing to undo here.")
            return
        image, before = self._given.pop()
        await self._visit.context.labelling.answer(LabelRequest(image_id=image, answer=before), user=user)
        self._visit.notify(f"{image[:12]}: undone.")
        await self._changed()
