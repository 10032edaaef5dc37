"""The system: services and sources, catalogues, and the list behind every number of the books."""

from typing import Final

from nicegui import ui

from astrolens.console.format import count
from astrolens.console.pages.books import Books
from astrolens.console.pages.catalogues import build_catalogues
from astrolens.console.pages.dead_letters import build_dead_letters
from astrolens.console.pages.page import Page, Visit, address, shortcuts
from astrolens.console.pages.parts import heading, tagged
from astrolens.console.pages.record_lists import build_alerts, build_receipts
from astrolens.console.pages.services import build_services
from astrolens.usecases.status import Status

LISTS = {
    "services": ("Services", build_services),
    "receipts": ("Arrivals", build_receipts),
    "alerts": ("Alerts", build_alerts),
    "catalogues": ("Catalogues", build_catalogues),
    "dead-letters": ("Dead letters", build_dead_letters),
}
"""Title and builder of each list, by its name in the address; the count of dead letters stands at the last."""
_WITHOUT_BOOKS: Final = frozenset({"services", "catalogues"})


async def build(visit: Visit) -> None:
    """One list, and tabs to the others."""
    chosen = visit.query.get("list", "services")
    chosen = chosen if chosen in LISTS else "services"
    names = list(LISTS)
    heading(1, "System").classes("visually-hidden")
    with ui.element("nav").classes("tabs").props('aria-label="Lists of the system"'):
        for name, (title, _) in LISTS.items():
            tab = ui.link(title, address_of_list(name))
            if name == chosen:
                tab.props('aria-current="page"')
        with tab:
            badge = tagged("b", "", "num badge")

    def show(status: Status) -> None:
        badge.text = count(status.dead_letters_open)
        badge.set_visibility(status.dead_letters_open > 0)

    def step(by: int) -> None:
        visit.go(address_of_list(names[(names.index(chosen) + by) % len(names)]))

    show(await visit.status())
    visit.on_status(show)
    visit.keys(
        *shortcuts(("ArrowRight", "Next list", lambda: step(1)), ("ArrowLeft", "Previous list", lambda: step(-1))),
        title="System",
    )
    if chosen not in _WITHOUT_BOOKS:
        await Books.build(visit)
    await LISTS[chosen][1](visit)


def address_of_list(name: str, **query: object) -> str:
    """The address of a list."""
    return address("/system", list="" if name == "services" else name, **query)


PAGE = Page(
    path="/system",
    title="System",
    build=build,
    key="Shift+S",
    query=("list", "after", "open", "outcome", "reason", "source", "batch", "state", "survey"),
)
