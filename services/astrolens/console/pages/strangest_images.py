"""Answers that are given in the strip of the strangest images, and taken back."""

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
        self._given: list[tuple[str, Answer | None]] = []
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
            request = LabelRequest(image_id=image, answer=answer)
            outcomes = await self._visit.context.labelling.answer(request, user=user)
            self._given.append((image, outcomes.labels[0].previous))
            self._visit.notify(f"{image[:12]}: {answer}. Undo with u.")
            self._strip.leave_out(image)

        await self._visit.handler(give)()

    async def _undo(self, user: str) -> None:
        if not self._given:
            self._visit.notify("Nothing to undo here.")
            return
        image, before = self._given.pop()
        await self._visit.context.labelling.answer(LabelRequest(image_id=image, answer=before), user=user)
        self._visit.notify(f"{image[:12]}: undone.")
        await self._changed()
