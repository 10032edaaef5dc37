"""Triage: the candidates that nobody has answered, one by one."""

from urllib.parse import quote

from nicegui import background_tasks, ui

from astrolens.console.components.images import VIEW, TriageDeck
from astrolens.console.pages.image_lists import (
    FILTERS,
    LIST,
    FilterBar,
    api_query,
    context_query,
    list_query,
    total_of,
    wanted_of,
)
from astrolens.console.pages.page import Page, Visit, address
from astrolens.console.pages.parts import button, empty_state, heading, paragraph
from astrolens.console.pages.ranking_words import ranking_words
from astrolens.console.pages.triage_details import TriageDetails
from astrolens.contracts.base import utc_now
from astrolens.usecases.list_totals import Total
from astrolens.usecases.status import Status


async def build(visit: Visit) -> None:
    """Filters and the deck; an empty one fills itself as candidates come."""
    status = await visit.status()
    review = visit.query.get("review", "")
    wanted = list_query(visit.query, triage=True, simulated=visit.simulated)
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
    with ui.element("div").classes("section-head learned"):
        learned = paragraph("")
        visit.hint(
            "triage",
            "`1` `2` `3` answer, `space` puts off, `u` takes back, `v` shows the object's others; `?` lists keys.",
        )
    deck = TriageDeck(
        address=visit.address(),
        path=f"/surveys/{quote(review)}/strangest" if review else f"/images?{api_query(wanted)}",
        context=context_query(visit.query),
        unanswered=bool(review) or wanted.get("label") == "none",
    )
    visit.window.preload(deck.first_request)
    with deck:
        _nothing(visit)
    TriageDetails(visit, deck)
    with deck.add_slot("more"):
        _choices(visit)
    analyzed = status.analyzed
    user = await visit.window.user()

    async def show_ranking() -> None:
        ranking = await visit.context.rankings.summary(user)
        total = Total(None) if review else await total_of(visit, wanted)
        if not learned.is_deleted:
            learned.set_text(ranking_words(ranking, utc_now()))
            deck.show_total(total)

    def show(now: Status) -> None:
        nonlocal analyzed
        background_tasks.create(show_ranking(), name="what the ranking has learned", context=learned)
        deck.count(sum(count for name, count in now.labels.items() if name != "none"))
        if now.analyzed != analyzed:
            analyzed = now.analyzed
            deck.refill()

    show(status)
    visit.on_status(show)


def _nothing(visit: Visit) -> None:
    if any(visit.query.get(name) for name in FILTERS):
        empty_state("Nothing waits behind these filters", "Widen them, or start over.")
    elif not visit.simulated:
        text = "Real candidates appear here by themselves as they come; simulated ones only where that is asked for."
        empty_state("No real candidate waits for an answer", text)
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
        if not visit.simulated:
            button("Show simulated images", lambda: visit.show_simulated(True))
        button("See what was interesting", lambda: visit.go(address("/gallery", label="interesting", sort="labeled")))


PAGE = Page(path="/triage", title="Triage", build=build, key="Shift+R", query=(*LIST, "review", "image", *VIEW))
