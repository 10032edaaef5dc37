"""The strip of the strangest images, answered by keys: the focus moves on at once, whatever the connection."""

from collections.abc import Sequence
from html import escape
from typing import Final

from nicegui import ui
from nicegui.element import Element

from astrolens.console.format import words
from astrolens.contracts.records import Answer
from astrolens.usecases.views import ImageCard

KEYS: Final = {"1": Answer.INTERESTING, "2": Answer.ARTEFACT, "3": Answer.ORDINARY}
"""The keys of answers, everywhere in the console."""

NEXT: Final = ".slide:focus + .slide, .carousel:not(:focus-within) > .slide"
PREVIOUS: Final = ".slide:has(+ .slide:focus)"
ONWARD: Final = f"{NEXT}, .slide:has(+ .slide:focus:last-child)"
"""Selectors of what has the focus after a key; `ONWARD` turns back at the end."""


class Carousel(Element):
    """Large pictures side by side, one element each: who stands on one keeps the focus while others come and go."""

    def __init__(self, base: str) -> None:
        """Make an empty strip.

        Args:
            base: Prefix that a proxy puts before every path.
        """
        super().__init__("div")
        self.classes("carousel")
        self._base = base
        self._shown: dict[str, ui.html] = {}
        self.show(())

    def show(self, cards: Sequence[ImageCard]) -> None:
        """Show images, the strangest first."""
        for image in self._shown.keys() - {card.image_id for card in cards}:
            self.leave_out(image)
        for place, card in enumerate(cards):
            shown = self._shown.get(card.image_id)
            if shown is None:
                with self:
                    shown = self._shown[card.image_id] = self._card(card)
            if (content := _content(card, self._base)) != shown.content:
                shown.set_content(content)
            if self.default_slot.children[place] is not shown:
                shown.move(self, place)
        self.set_visibility(bool(cards))

    def leave_out(self, image: str) -> None:
        """Take one away."""
        if image in self._shown:
            self._shown.pop(image).delete()
        self.set_visibility(bool(self._shown))

    def _card(self, card: ImageCard) -> ui.html:
        shown = ui.html(sanitize=False, tag="a").classes(f"slide ring-{card.verdict or 'none'}")
        shown.props("data-focus")
        shown.props["href"] = f"{self._base}/image/{card.image_id}"
        shown.props["data-image"] = card.image_id
        return shown


def _content(card: ImageCard, base: str) -> str:
    name, verdict, said = escape(card.name or card.image_id[:12]), card.verdict or "none", card.p_value_words
    simulated = '<span class="tag sim">simulated</span>' if card.simulated else ""
    figure, meaning = (said.figure, said.meaning) if said else ("not scored yet", "")
    return (
        f'<img src="{base}{card.cutout_url}" alt="{name}" width="256" height="256">{simulated}'
        f'<span class="column no-wrap q-pa-sm"><span class="slide-line"><b class="name">{name}</b>'
        f'<span class="mark v-{verdict}">{words(card.verdict) or "not analysed"}</span></span>'
        f'<span class="num">{escape(figure)} <span class="muted">{escape(meaning)}</span></span>'
        f'<span class="muted">{escape(card.survey)} · {escape(words(card.predicted_class) or "–")}</span></span>'
    )
