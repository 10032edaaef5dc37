"""Answers that are given in the strip of the strangest images, and taken back."""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from astrolens.console.components.carousel import KEYS, NEXT, ONWARD, PREVIOUS, Carousel
from astrolens.console.components.keys import Shortcut
from astrolens.console.pages.page import Visit, shortcuts
from astrolens.contracts.records import Answer
from astrolens.usecases.labelling import LabelRequest
from astrolens.usecases.views import ImageCard


class StrangestImages:
    """The strip of the strangest images, and the answers given in it.

    Args:
        visit: The opened page.
        changed: Reads and shows the strip anew, after an answer was taken back.
    """

    def __init__(self, visit: Visit, changed: Callable[[], Awaitable[None]]) -> None:
        self._visit = visit
        self._changed = changed
        self._given: list[tuple[str, str, Answer | None]] = []
        self._strip = Carousel(visit.window.base)
        visit.keys(
            Shortcut(("ArrowRight", "j"), "Next of the strangest images", target=NEXT),
            Shortcut(("ArrowLeft", "k"), "Previous of the strangest images", target=PREVIOUS),
            *(
                Shortcut(
                    (key,),
                    f"Answer {answer} for the image that has the focus",
                    target=ONWARD,
                    press_for=partial(self._press, answer),
                )
                for key, answer in KEYS.items()
            ),
            *shortcuts(("u", "Undo the last answer given here", visit.handler(self._undo))),
            title="Tonight",
        )

    def show(self, cards: Sequence[ImageCard]) -> None:
        """Show images, the strangest first."""
        self._strip.show(cards)

    async def _press(self, answer: Answer, image: str) -> None:
        async def give(user: str) -> None:
            given = secrets.token_hex(16)
            request = LabelRequest(image_id=image, answer=answer, request_id=given)
            (outcome,) = (await self._visit.context.labelling.answer(request, user=user)).labels
            self._given.append((image, given, outcome.previous))
            self._visit.notify(f"{outcome.name or image[:12]}: {answer}. Undo with u.")
            self._strip.leave_out(image)

        await self._visit.handler(give)()

    async def _undo(self, user: str) -> None:
        if not self._given:
            self._visit.notify("Nothing to undo here.")
            return
        image, given, before = self._given.pop()
        request = LabelRequest(image_id=image, answer=before, undoes=[given])
        (outcome,) = (await self._visit.context.labelling.answer(request, user=user)).labels
        stands = f"you have answered anew since, and {outcome.answer or 'no answer'} stands"
        self._visit.notify(f"{outcome.name or image[:12]}: {stands if outcome.newer_stands else 'undone'}.")
        await self._changed()
