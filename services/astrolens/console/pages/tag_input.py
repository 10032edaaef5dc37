"""Free tags of a person's answer, on the page of an image."""

from nicegui import ui

from astrolens.console.pages.page import Visit
from astrolens.usecases.labelling import LabelRequest
from astrolens.usecases.views import ImageCard

_MOST = 100
"""Pieces of a typed text that are looked at; more than ten tags are refused with a sentence."""


class TagInput:
    """A line of tags, separated by commas; Enter gives the present answer again with them.

    Args:
        visit: The opened page.
        card: The image.
    """

    def __init__(self, visit: Visit, card: ImageCard) -> None:
        self._visit = visit
        self._card = card
        self._shown = ""
        self._input = ui.input(placeholder="Tags, such as: tidal tail, pair (Enter keeps them)")
        self._input.props('dense maxlength=500 aria-label="Tags of your answer, separated by commas"')
        self._input.on("keydown.enter", visit.handler(self._save))
        self.show(card)

    def show(self, card: ImageCard) -> None:
        """The image as it is now; what is being typed stays where no other tags came."""
        self._card = card
        text = ", ".join(card.tags)
        if text != self._shown:
            self._shown = text
            self._input.value = text

    async def _save(self, user: str) -> None:
        answer = self._card.answers.get(user)
        if answer is None:
            self._visit.notify("Tags come with an answer: answer first.", trouble=True)
            return
        tags = typed_tags(str(self._input.value or ""))
        request = LabelRequest(image_id=self._card.image_id, answer=answer, tags=tags)
        await self._visit.context.labelling.answer(request, user=user)
        self._visit.notify(f"Tags kept: {', '.join(tags)}." if tags else "No tags any more.")


def typed_tags(text: str) -> list[str]:
    """The tags of a typed line."""
    return [tag for part in text.split(",")[:_MOST] if (tag := part.strip())]
