"""The gallery: every image, filtered and sorted by the address, answered in batches."""

from collections.abc import Mapping
from functools import partial
from typing import Final

from nicegui import background_tasks, ui

from astrolens.console.components.images import ImageGrid
from astrolens.console.pages.image_lists import (
    FILTERS,
    LIST,
    LIST_VIEW,
    FilterBar,
    api_query,
    context_query,
    list_query,
    wanted_of,
)
from astrolens.console.pages.page import Page, Visit, address, shortcuts
from astrolens.console.pages.parts import add_key_hint, button, empty_state, heading, paragraph
from astrolens.console.pages.ranking_words import ranking_words
from astrolens.contracts.base import utc_now
from astrolens.usecases.image_queries import RANKED_SORTS
from astrolens.usecases.list_totals import Total
from astrolens.usecases.plurals import plural
from astrolens.usecases.status import Status

SIZES: Final = {"s": "small", "m": "medium", "l": "large"}

_SQUARE_PX: Final = {"s": 6, "m": 10, "l": 14}
"""The sign of a size."""


async def build(visit: Visit) -> None:
    """Filters, the grid, and a line that offers what came meanwhile."""
    status = await visit.status()
    wanted = list_query(visit.query, simulated=visit.simulated)
    wanted_of(wanted)
    heading(1, "Gallery").classes("visually-hidden")
    bar = FilterBar(visit, status)
    with bar.form:
        add_key_hint(ui.link("Maps", f"/map?{context_query(visit.query)}").classes("btn"), "This list on maps", "m")
        visit.hint("gallery", "Arrows move, `x` selects, `1` `2` `3` answer, `Enter` opens, `t` triages this list.")
    ranked = wanted_of(wanted)[1] in RANKED_SORTS
    user = await visit.window.user() if ranked else ""
    learned = paragraph("", "muted")
    fresh = Fresh()
    grid = ImageGrid(
        address=visit.address(),
        query=api_query(wanted),
        size=visit.query.get("size", "m"),
        context=context_query(visit.query),
    )
    learned.set_visibility(ranked)
    visit.window.preload(grid.first_request)
    with grid:
        _nothing(visit, wanted)
    sizes = _Sizes(grid, visit.query.get("size", "m"), bar.line)

    async def read_again(_: str = "") -> None:
        grid.reload()
        fresh.begin(await bar.show_total(wanted, anew=True))

    fresh.button.on("click", visit.handler(read_again), [])

    async def show_ranking() -> None:
        ranking = await visit.context.rankings.summary(user)
        if not learned.is_deleted:
            learned.set_text(ranking_words(ranking, utc_now()))

    async def show_total() -> None:
        fresh.show(await bar.show_total(wanted, anew=not fresh.began))

    def show(_: Status) -> None:
        if ranked:
            background_tasks.create(show_ranking(), name="what the ranking has learned", context=learned)
        background_tasks.create(show_total(), name="how many images the list has", context=learned)

    show(status)
    visit.on_status(show)
    visit.keys(
        *shortcuts(
            (("+", "="), "Larger pictures", lambda: sizes.step(1)),
            ("-", "Smaller pictures", lambda: sizes.step(-1)),
            ("n", "Read the list again", visit.handler(read_again)),
            ("m", "Show this list on maps", lambda: visit.go(f"/map?{context_query(visit.query)}")),
            ("t", "Triage this list", lambda: visit.go(f"/triage?{context_query(visit.query)}")),
        ),
        title="List",
    )


def _nothing(visit: Visit, wanted: Mapping[str, str]) -> None:
    if any(visit.query.get(name) for name in FILTERS):
        empty_state("No image fits these filters", "Widen them, or start over.")
        with ui.element("p").classes("choices"):
            button("Clear the filters", lambda: visit.go(address("/gallery", size=visit.query.get("size"))))
    elif "simulated" in wanted:
        empty_state(
            "There are no real images yet",
            "They come from a source (see Tonight) or from you: `astrolens ingest PATH`. "
            "Simulated ones are shown where that is asked for.",
        )
        with ui.element("p").classes("choices"):
            button("Show simulated images", lambda: visit.show_simulated(True))
    else:
        empty_state(
            "There are no images yet", "They come from a source (see Tonight) or from you: `astrolens ingest PATH`."
        )


class Fresh:
    """A list that moves under the eyes is useless: new images are offered, not pushed in."""

    def __init__(self) -> None:
        self._at_reading: Total | None = None
        with ui.element("p").classes("banner quiet").props('role="status"') as self._banner:
            self._text = ui.label()
            self._text.tag = "span"
            self.button = button("Read again", tiny=True)
            add_key_hint(self.button, "Read the list again", "n")
        self._banner.set_visibility(False)

    @property
    def began(self) -> bool:
        """Whether it is known how many images the list had when it was read."""
        return self._at_reading is not None

    def begin(self, total: Total) -> None:
        """The list is read now and has so many images."""
        self._at_reading = total
        self._banner.set_visibility(False)

    def show(self, total: Total) -> None:
        """Offer what the list has more than at its reading; where that is not counted, nothing."""
        if self._at_reading is None:
            self.begin(total)
            return
        more = more_images(self._at_reading, total)
        self._text.set_text(f"{plural(more, 'image')} more than when this list was read. ")
        self._banner.set_visibility(more > 0)


def more_images(before: Total, now: Total) -> int:
    """How many more a list has; 0 where it was not counted one by one."""
    if before.count is None or now.count is None or not (before.exact and now.exact):
        return 0
    return max(0, now.count - before.count)


class _Sizes:
    """The three sizes of cells."""

    def __init__(self, grid: ImageGrid, size: str, place: ui.element) -> None:
        self._grid = grid
        self._size = size if size in SIZES else "m"
        self._buttons = {}
        with place.props('role="group" aria-label="Size of the pictures"'):
            for name, word in SIZES.items():
                one = button("", partial(self._choose, name))
                one.props["aria-label"] = one.props["title"] = f"{word} pictures"
                with one:
                    ui.element("i").style(f"width: {_SQUARE_PX[name]}px").props('aria-hidden="true"')
                self._buttons[name] = one
        self._mark()

    def step(self, by: int) -> None:
        """The next larger or smaller size."""
        names = list(SIZES)
        self._choose(names[max(0, min(len(names) - 1, names.index(self._size) + by))])

    def _choose(self, size: str) -> None:
        self._size = size
        self._grid.resize(size)
        self._mark()

    def _mark(self) -> None:
        for name, one in self._buttons.items():
            one.props["aria-pressed"] = str(name == self._size).lower()


PAGE = Page(path="/gallery", title="Gallery", build=build, key="Shift+G", query=(*LIST, *LIST_VIEW, "at"))
