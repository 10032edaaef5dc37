"""The discovery list of a night, and the line of the Tonight page that leads to it."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from nicegui import ui

from astrolens.console.components.records import Cell, Records, link, text
from astrolens.console.format import count, words
from astrolens.console.pages.marks import name_of
from astrolens.console.pages.page import Page, Visit, address
from astrolens.console.pages.parts import empty_state, heading, paragraph, tagged
from astrolens.contracts.base import utc_now
from astrolens.usecases.discoveries import DEFAULT_Q, Copies, DiscoveryList
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.plurals import plural
from astrolens.usecases.views import ImageCard

LEVELS: Final = (0.05, DEFAULT_Q, 0.2)
"""Expected shares of ordinary images that the page offers."""
_COPIES_LINKED: Final = 3
_LEFT_OUT: Final = {
    "simulated": "simulated",
    "no-promise": "of surveys without a calibration of their own, or of a burst that is not compared yet",
    "not-analysed": "not analysed yet",
}


async def add_line(visit: Visit) -> None:
    """One line: how many images of the night stand out, and a link to them."""
    found = await visit.context.discoveries.of_night()
    with ui.element("p").classes("muted"):
        tagged("span", f"{summary(found)} ", "num")
        ui.link("Discovery list", address("/discoveries"))


def summary(found: DiscoveryList) -> str:
    """What a list comes to, one sentence."""
    if not found.tested and not any(found.left_out.values()):
        return f"No image arrived in the night of {found.night}."
    if not found.tested:
        return "No image of the night has a p-value that promises something yet."
    many = plural(found.listed, "image stands", "images stand")
    return f"{many} out of the {count(found.tested)} of the night at q = {found.q:g}."


async def build(visit: Visit) -> None:
    """The list of a night, what it promises, and what is not on it."""
    night, q, assume_tail = asked(visit.query)
    found = await visit.context.discoveries.of_night(night, q=q, assume_tail=assume_tail)
    heading(1, f"Discovery list of the night of {found.night}")
    with ui.element("p").classes("choices"):
        for title, other in other_nights(found, utc_now()):
            ui.link(title, address("/discoveries", night=other, q=q))
        for level in LEVELS:
            chosen = ui.link(f"q = {level:g}", address("/discoveries", night=found.night, q=level))
            if level == found.q:
                chosen.props('aria-current="page"')
    paragraph(summary(found))
    # What a list promises is said of one that has something.
    for sentence in (found.promise if found.listed else "", found.limited, _not_tested(found)):
        if sentence:
            paragraph(sentence)
    if found.tail_assumed or found.listed_with_tail > found.listed:
        with ui.element("p").classes("choices"):
            _add_tail_link(found)
    columns = ("Image", ">p-value", "Class", "Survey", "Answer")
    table = Records(visit.window.base, "Images that stand out, the strangest first", columns)
    table.show({card.image_id: row(card, found.copies.get(card.image_id)) for card in found.items})
    if not found.items:
        empty_state("Nothing stands out", "The strangest images are on the Tonight page, whatever they promise.")


def _add_tail_link(found: DiscoveryList) -> None:
    """A link to the list with, or without, the assumption of a tail."""
    if found.tail_assumed:
        ui.link("The list without an assumed tail", address("/discoveries", night=found.night, q=found.q))
        return
    many = plural(found.listed_with_tail, "image")
    to = address("/discoveries", night=found.night, q=found.q, tail="assumed")
    ui.link(f"On the assumption of an exponential tail: {many}", to)


def row(card: ImageCard, copies: Copies | None) -> tuple[Cell, ...]:
    """The cells of an image, with links to its copies."""
    figure = card.p_value_words.figure if card.p_value_words else ""
    image = [link(name_of(card), f"/image/{card.image_id}", picture=card.cutout_url, classes="with-thumb")]
    if copies is not None:
        image.append(text(f"and {plural(copies.count, 'copy', 'copies')}:", "muted"))
        first = copies.image_ids[:_COPIES_LINKED]
        image += [link(str(number), f"/image/{copy}") for number, copy in enumerate(first, start=1)]
    return (
        image,
        [text(figure, "num")],
        [text(words(card.predicted_class))],
        [link(card.survey, address("/gallery", survey=card.survey))],
        [text(card.label or "none", "" if card.label else "muted")],
    )


def _not_tested(found: DiscoveryList) -> str:
    parts = [f"{count(number)} {_LEFT_OUT.get(reason, reason)}" for reason, number in found.left_out.items()]
    if not found.complete:
        parts.append("what came after them in the night")
    return f"Not tested: {'; '.join(parts)}." if parts else ""


def other_nights(found: DiscoveryList, now: datetime) -> list[tuple[str, date]]:
    """The nights beside one, with their names; none that is still to come."""
    before = ("night before", found.night - timedelta(days=1))
    return [before, ("night after", found.night + timedelta(days=1))] if found.until <= now else [before]


def asked(query: Mapping[str, str]) -> tuple[date | None, float, bool]:
    """The night, the level and whether a tail is assumed, of an address.

    Raises:
        InvalidRequest: It names no night or no level.
    """
    given, level = query.get("night", "")[:40], query.get("q", "")[:40]
    try:
        night = date.fromisoformat(given) if given else None
    except ValueError:
        raise InvalidRequest("No such night", f"{given!r} is no night: write its evening as 2026-01-31.") from None
    try:
        q = float(level) if level else DEFAULT_Q
    except ValueError:
        q = 0.0
    if not 0.0 < q <= 0.5:
        raise InvalidRequest("No such level", f"q = {level!r} is no level: give a number above 0 and up to 0.5.")
    return night, q, query.get("tail") == "assumed"


PAGE = Page(path="/discoveries", title="Discovery list", build=build, query=("night", "q", "tail"))
