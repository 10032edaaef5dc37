"""The books as one flow: every number leads to its list, and the sum is shown to hold."""

from dataclasses import dataclass
from typing import Final

from nicegui import ui

from astrolens.console.format import count
from astrolens.console.pages.page import Visit, address
from astrolens.console.pages.parts import hint, tagged
from astrolens.usecases.status import Status


@dataclass(frozen=True)
class _Number:
    """One number of the flow."""

    field: str
    word: str
    to: str
    hint: str = ""
    is_error: bool = False


_RECEIVED: Final = _Number("received", "received", address("/system", list="receipts"), "Every arrival")
_ASIDE: Final = (
    _Number(
        "duplicates",
        "duplicate",
        address("/system", list="receipts", outcome="duplicate"),
        "The same bytes as an earlier arrival: counted, not analysed again",
    ),
    _Number(
        "rejected",
        "rejected",
        address("/system", list="receipts", outcome="rejected"),
        "No usable image; each with its reason",
    ),
    _Number(
        "dead_lettered",
        "dead-lettered",
        address("/system", list="dead-letters"),
        "No service could work on it; it waits for a person",
        is_error=True,
    ),
    _Number(
        "in_flight",
        "in flight",
        address("/gallery", state="ingested", sort="newest", simulated="any"),
        "On the way; waiting for a verdict",
    ),
)
_ANALYZED: Final = _Number("analyzed", "analysed", address("/gallery", simulated="any"), "Images with a verdict")
_VERDICTS: Final = tuple(
    _Number(verdict, verdict.replace("_", " "), address("/gallery", verdict=verdict, simulated="any"))
    for verdict in ("anomaly", "near_miss", "ordinary")
)
_ALERTS: Final = _Number("alerts", "alerts", address("/system", list="alerts"), "Alerts raised for anomalies")


class Books:
    """The flow on a page, kept current."""

    @classmethod
    async def build(cls, visit: Visit) -> None:
        """Add the flow."""
        books = cls()
        books.show(await visit.status())
        visit.on_status(books.show)

    def __init__(self) -> None:
        self._numbers: list[tuple[_Number, ui.link, ui.label]] = []
        with ui.element("section").classes("flow").props('aria-label="The books"'):
            self._add(_RECEIVED, "flow-step")
            with ui.element("div").classes("flow-between flow-aside"):
                for number in _ASIDE:
                    self._add(number)
            self._add(_ANALYZED, "flow-step")
            with ui.element("div").classes("flow-between"):
                for number in _VERDICTS:
                    self._add(number, f"mark v-{number.field}")
            self._add(_ALERTS, "flow-step")
            self._sum = ui.label().classes("reason full-width")

    def show(self, status: Status) -> None:
        """Show the numbers of a status."""
        for number, link, label in self._numbers:
            value = status.verdicts[number.field] if number in _VERDICTS else getattr(status, number.field)
            label.text = count(value)
            if number in _ASIDE:
                link.classes(add="zero" if not value else "error" if number.is_error else "", remove="zero error")
        settled = status.analyzed + status.duplicates + status.rejected + status.dead_lettered
        parts = (
            f"{count(status.received)} received = {count(status.analyzed)} analysed + {count(status.duplicates)} "
            f"duplicate + {count(status.rejected)} rejected + {count(status.dead_lettered)} dead-lettered + "
            f"{count(status.in_flight)} in flight"
        )
        balanced = status.received == settled + status.in_flight
        self._sum.text = "The books balance" if balanced else f"The books do not balance: {parts}"
        hint(self._sum, parts)
        self._sum.classes(add="" if balanced else "error", remove="error" if balanced else "")

    def _add(self, number: _Number, classes: str = "") -> None:
        link = ui.link(number.word, number.to).classes(classes)
        if number.hint:
            hint(link, number.hint)
        with link:
            # Set before the word by the styles.
            label = tagged("b", "", "num")
        self._numbers.append((number, link, label))
