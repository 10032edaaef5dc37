"""The strip of the strangest images, answered by keys: the focus moves on at once, whatever the connection."""

from collections.abc import Sequence
from typing import Any, Final

from nicegui.element import Element

from astrolens.console.format import words
from astrolens.contracts.records import Answer
from astrolens.usecases.views import ImageCard

KEYS: Final = {"1": Answer.INTERESTING, "2": Answer.ARTEFACT, "3": Answer.ORDINARY}
"""The keys of answers, everywhere in the console."""


class Heroes(Element, component="heroes.js"):
    """Large pictures side by side.

    Events: `answer` with an image's id and the key of an answer, once its picture was seen.
    """

    def __init__(self, base: str) -> None:
        """Make an empty strip.

        Args:
            base: Prefix that a proxy puts before every path.
        """
        super().__init__()
        self._base = base
        self._shown: tuple[dict[str, Any], ...] | None = None
        self.show(())

    def show(self, cards: Sequence[ImageCard]) -> None:
        """Show images, the strangest first."""
        self._show(tuple(_row(card, self._base) for card in cards))

    def leave_out(self, image: str) -> None:
        """Take one away."""
        self._show(tuple(row for row in self._shown or () if row["id"] != image))

    def _show(self, rows: tuple[dict[str, Any], ...]) -> None:
        if rows != self._shown:
            self._shown = rows
            self.props["images"] = rows
            self.set_visibility(bool(rows))


def _row(card: ImageCard, base: str) -> dict[str, Any]:
    said = card.p_value_words
    return {
        "id": card.image_id,
        "href": f"{base}/image/{card.image_id}",
        "cutout": base + card.cutout_url,
        "name": card.name or card.image_id[:12],
        "survey": card.survey,
        "kind": words(card.predicted_class) or "–",
        "verdict": card.verdict or "none",
        "verdict_words": words(card.verdict) or "not analysed",
        "figure": said.figure if said else "not scored yet",
        "meaning": said.meaning if said else "",
        "simulated": card.simulated,
    }
