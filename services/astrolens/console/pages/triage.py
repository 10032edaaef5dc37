"""Triage: the candidates that nobody has answered, one by one."""

from nicegui import ui

from astrolens.console.components.images import TriageDeck
from astrolens.console.pages.image_lists import FILTERS, FilterBar, api_query, context_query, list_query, wanted_of
from astrolens.console.pages.marks import DETECTORS
from astrolens.console.pages.page import Page, Visit, address
from astrolens.console.pages.parts import button, empty_state, heading, paragraph
from astrolens.usecases.status import Status


async def build(visit: Visit) -> None:
    """Filters and the deck; an empty one fills itself as candidates come."""
    status = await visit.status()
    review = visit.query.get("review", "")
    wanted = list_query(visit.query, triage=True)
    wanted_of(wanted)
    heading(1, "Triage").classes("visually-hidden")
    if review:
        paragraph(
            f"The strangest images that the survey model of {review} was fitted on. What you call interesting or an "
            "artefact is left out when it is fitted again, two minutes after your last answer.",
            "banner quiet",
        )
        ui.link("To the candidates", "/triage")
    else:
        FilterBar(visit, status, triage=True)
    deck = TriageDeck(
        address=visit.address(),
        query=api_query(wanted),
        context=context_query(visit.query),
        detectors=DETECTORS,
        review=review,
    )
    with deck:
        _nothing(visit)
    with deck.add_slot("more"):
        _choices(visit)
    analyzed = status.analyzed

    def show(now: Status) -> None:
        nonlocal analyzed
        deck.count(sum(count for name, count in now.labels.items() if name != "none"))
        if now.analyzed != analyzed:
            analyzed = now.analyzed
            deck.refill()

    show(status)
    visit.on_status(show)


def _nothing(visit: Visit) -> None:
    if any(visit.query.get(name) for name in FILTERS):
        empty_state("Nothing waits behind these filters", "Widen them, or start over.")
    else:
        text = (
            "Candidates are images whose verdict is anomaly or near miss. They appear here by themselves as they come."
        )
        empty_state("No candidate waits for an answer", text)
    _choices(visit)


def _choices(visit: Visit) -> None:
    with ui.element("p").classes("choices"):
        button("Triage every verdict", lambda: visit.go(address("/triage", verdict="any")))
        if any(visit.query.get(name) for name in FILTERS):
            button("Clear the filters", lambda: visit.go("/triage"))
        button("See what was interesting", lambda: visit.go(address("/gallery", label="interesting", sort="labeled")))


PAGE = Page(path="/triage", title="Triage", build=build, key="Shift+R")
