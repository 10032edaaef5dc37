"""Lists of images as addresses name them: filters and sort, for gallery, triage and the way through a list."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import urlencode

from nicegui import ui
from pydantic import BaseModel, Field, ValidationError

from astrolens.console.api.parameters import Simulated, image_filter
from astrolens.console.format import words
from astrolens.console.pages.page import Visit, address
from astrolens.console.pages.parts import button, select, tagged
from astrolens.console.pages.window import LoggedOut
from astrolens.console.problems import Problem
from astrolens.contracts.base import utc_now
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.records import ImageState
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.errors import TransientError
from astrolens.usecases.errors import InvalidRequest, UseCaseError
from astrolens.usecases.image_queries import RANKED_SORTS, SEARCH_RADIUS_ARCSEC, ImageFilter, Sort
from astrolens.usecases.list_totals import Total
from astrolens.usecases.plurals import plural
from astrolens.usecases.search_text import with_parsed_text
from astrolens.usecases.sky_positions import degrees_text
from astrolens.usecases.status import Status

SEVERAL: Final = frozenset({"survey", "verdict", "class", "label", "state", "source", "crossmatch"})
"""Filters that take several values, with commas between them in the address."""

FILTERS: Final = (
    *("survey", "verdict", "class", "label", "crossmatch", "state", "source", "batch", "since", "until"),
    *("ra_deg", "dec_deg", "radius_arcsec", "q", "simulated", "object_id", "late_by", "per"),
    "max_artefact",
)
"""What an address may filter images by; anything else in it is the page's own."""

LIST: Final = (*FILTERS, "sort")
"""What names a list in an address."""

LIST_VIEW: Final = ("sel", "size")
"""How a person has a list before them: what is selected, and how large its pictures are. The way back keeps it."""

CANDIDATES: Final = "anomaly,near_miss"

SORTS: Final = {
    "strangeness": "strangest",
    "interest": "most interesting",
    "useful": "most useful",
    "newest": "newest",
    "labeled": "last answered",
    "asymmetry": "most asymmetric",
    "concentration": "most concentrated",
    "gini": "largest Gini",
    "ring": "most ring-like",
}

CATALOGUES: Final = {
    "": "any",
    "unmatched": "possible discovery",
    "known": "known",
    "undetermined": "undetermined",
}

ARTEFACT_SCORES: Final = {"": "any", "0.5": "score up to 0.5", "0.1": "score up to 0.1"}
"""How much images may look like what people called artefacts, in lists that the interest ranking sorts."""

HOURS: Final = {"1h": 1, "24h": 24, "7d": 168, "30d": 720}

_PLACE: Final = {"at": None, "sel": None, "image": None}
"""A new filter is a new list: where the old one stood means nothing in it."""

_UNSCORED: Final = frozenset({"ingested", "dead_lettered"})
"""States of images that have no strangeness to sort by."""


class _Conditions(BaseModel):
    """The filters that are no plain text."""

    since: datetime | None = None
    until: datetime | None = None
    simulated: Simulated = "any"
    ra_deg: float | None = Field(default=None, ge=0, lt=360)
    dec_deg: float | None = Field(default=None, ge=-90, le=90)
    radius_arcsec: float | None = Field(default=None, gt=0, le=648_000)
    verdict: list[Verdict] = []
    state: list[ImageState] = []
    crossmatch: list[CrossmatchStatus] = []
    object_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    late_by: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    max_artefact: float | None = Field(default=None, ge=0, le=1)
    per: Literal["image", "object"] | None = None
    sort: Sort = Sort.STRANGENESS


def list_query(query: Mapping[str, str], *, simulated: bool, triage: bool = False) -> dict[str, str]:
    """Filters and sort of an address, with what a page takes where it names none.

    Args:
        query: The address's query.
        simulated: Whether simulated images are shown where the address does not ask for them: the switch of all pages.
        triage: Only candidates without an answer, one image of each object, unless the address says otherwise.
    """
    wanted = {name: value for name in FILTERS if (value := query.get(name, ""))}
    if wanted.get("simulated") == "any":
        del wanted["simulated"]
    elif not simulated and not _asks_for_simulated(query):
        wanted["simulated"] = "false"
    if triage:
        wanted = {"verdict": CANDIDATES, "label": "none", "per": "object", **wanted}
        wanted = {
            name: value for name, value in wanted.items() if (name, value) not in {("verdict", "any"), ("label", "any")}
        }
    default = Sort.NEWEST if wanted.get("state") in _UNSCORED else Sort.STRANGENESS
    return {**wanted, "sort": query.get("sort") or default.value}


def _asks_for_simulated(query: Mapping[str, str]) -> bool:
    """Whether an address names images themselves, or where they come from: then all of these are shown."""
    if any(query.get(name) for name in ("simulated", "q", "batch", "ra_deg", "object_id", "late_by")):
        return True
    return any("simulated" in query.get(name, "") for name in ("survey", "source"))


def api_query(wanted: Mapping[str, str]) -> str:
    """The query of `GET /api/images` for `list_query`."""
    return urlencode(
        {name: value.split(",") if name in SEVERAL else value for name, value in wanted.items()}, doseq=True
    )


def context_query(query: Mapping[str, str]) -> str:
    """The part of an address that names the list."""
    return urlencode({name: query[name] for name in LIST if query.get(name)})


def way_through(image_id: str, query: Mapping[str, str], *, triage: bool) -> tuple[str, dict[str, str]]:
    """The address that leads back from an image to its list, and the query that its neighbours' pages are given.

    Args:
        image_id: The image.
        query: The query of the image's page.
        triage: Whether triage shows the list, not the gallery.
    """
    listed = {name: query[name] for name in LIST if query.get(name)}
    if triage:
        return address("/triage", **listed, image=image_id), listed | {"list": "triage"}
    listed |= {name: query[name] for name in LIST_VIEW if query.get(name)}
    return address("/gallery", **listed, at=image_id), listed


def wanted_of(wanted: Mapping[str, str]) -> tuple[ImageFilter, Sort]:
    """The filter and order of `list_query`.

    Raises:
        InvalidRequest: A value means nothing.
    """

    def several(name: str) -> list[str]:
        return [each for each in wanted.get(name, "").split(",") if each]

    try:
        typed = _Conditions.model_validate(
            {**wanted, "verdict": several("verdict"), "state": several("state"), "crossmatch": several("crossmatch")}
        )
        found = image_filter(
            survey=several("survey"),
            predicted_class=several("class"),
            source=several("source"),
            label=wanted.get("label"),
            batch=wanted.get("batch"),
            q=wanted.get("q"),
            **typed.model_dump(exclude={"sort"}),
        )
    except Problem as problem:
        raise InvalidRequest("Unusable filter", problem.detail) from None
    except ValidationError as error:
        first = error.errors()[0]
        given, why = str(first["input"])[:80], first["msg"].lower()
        detail = f"The address filters by {first['loc'][0]} {given!r}, which cannot be: {why}. Choose another filter."
        raise InvalidRequest("Unusable filter", detail) from None
    if found.max_artefact is not None and typed.sort not in RANKED_SORTS:
        detail = "Artefact scores are the interest ranking's: sort by most interesting or most useful with them."
        raise InvalidRequest("Unusable filter", detail)
    return found, typed.sort


def sort_changes(query: Mapping[str, str], **changes: str) -> dict[str, str]:
    """A new order or limit of artefact scores with what it changes of the other: only ranked lists have such scores.

    Args:
        query: The address's query.
        **changes: `sort` or `max_artefact`; an empty text is the default.
    """
    if changes.get("max_artefact") and query.get("sort") not in RANKED_SORTS:
        return {**changes, "sort": Sort.INTEREST.value}
    if "sort" in changes and changes["sort"] not in RANKED_SORTS:
        return {**changes, "max_artefact": ""}
    return changes


class FilterBar:
    """The filters of a list, each a part of the address; on a phone they are behind one button.

    Args:
        visit: The opening of the page.
        status: Names the surveys, classes and sources there are.
        triage: Whether unanswered candidates are what the page shows of itself.
    """

    def __init__(self, visit: Visit, status: Status, *, triage: bool = False) -> None:
        self._visit = visit
        self._triage = triage
        query = visit.query
        active = sum(1 for name in FILTERS if query.get(name))
        with ui.element("form").classes("filters") as form:
            form.props('aria-label="Filters"').on("submit", js_handler="(event) => event.preventDefault()")
            toggle = button(f"Filters {active}" if active else "Filters")
            toggle.classes("filters-toggle").props('aria-expanded="false"')
            with ui.element("div").classes("filters-body") as self._body:
                self._choices(status)
                simulated_switch(visit)
            self.line = ui.element("div").classes("sizes")
            if not triage:
                self._total = tagged("p", "", "muted num total").props('role="status"')
            with ui.element("div").classes("chips"):
                self._chips()

        def unfold() -> None:
            opened = "open" not in form.classes
            form.classes(toggle="open")
            toggle.props(f'aria-expanded="{str(opened).lower()}"')

        toggle.on("click", unfold, [])
        self.form = form

    async def show_total(self, wanted: Mapping[str, str], *, anew: bool = False) -> Total:
        """Say how many images the list of `list_query` has; without one where that is not known. Returns it."""
        total = await total_of(self._visit, wanted, anew=anew)
        if total.count is not None and not self._total.is_deleted:
            self._total.text = ("" if total.exact else "about ") + plural(total.count, "image")
        return total

    def _open(self, changes: Mapping[str, object]) -> None:
        self._visit.go(self._visit.address(**_PLACE, **changes))

    def _choices(self, status: Status) -> None:
        anything = "any" if self._triage else ""
        verdicts = {anything: "any", CANDIDATES: "candidates", "anomaly": "anomaly", "near_miss": "near miss"}
        self._choose("Verdict", "verdict", verdicts | {"ordinary": "ordinary"}, CANDIDATES if self._triage else "")
        self._choose("Survey", "survey", _any_of(status.surveys))
        self._choose("Class", "class", _any_of(status.model.get("classes") or ()))
        answers = {anything: "any", "none": "unanswered"} | ({} if self._triage else {"any": "answered"})
        answers |= {"interesting": "interesting", "artefact": "artefact", "ordinary": "ordinary"}
        self._choose("Catalogues", "crossmatch", CATALOGUES)
        per = {"image": "every image", "object": "one image each"}
        self._choose("Objects", "per", per, "object" if self._triage else "image")
        self._choose("Answer", "label", answers, "none" if self._triage else "")
        if not self._triage:
            states = {"": "any", "analyzed": "analysed", "ingested": "waiting", "dead_lettered": "dead-lettered"}
            self._choose("State", "state", states)
        if status.sources:
            self._choose("Source", "source", _any_of(status.sources))
        arrived = {"": "any time"} | {name: f"last {name}" for name in HOURS}
        select(
            self._visit.window, "Arrived", arrived | self._since(), self._visit.query.get("since", ""), self._arrived
        )
        self._choose("Sort", "sort", SORTS, "strangeness")
        self._choose("Artefacts", "max_artefact", ARTEFACT_SCORES)

    def _choose(self, label: str, name: str, options: Mapping[str, str], default: str = "") -> None:
        def changed(value: str) -> None:
            self._open(sort_changes(self._visit.query, **{name: "" if value == default else value}))

        select(self._visit.window, label, options, self._visit.query.get(name, default), changed)

    def _since(self) -> dict[str, str]:
        since = self._visit.query.get("since", "")
        return {since: f"since {since[:16].replace('T', ' ')}"} if since else {}

    def _arrived(self, value: str) -> None:
        if value in HOURS:
            # A whole minute, so that the address (and the answer from the cache) stays equal for a while.
            since = (utc_now() - timedelta(hours=HOURS[value])).replace(second=0, microsecond=0)
            value = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        self._open({"since": value})

    def _chips(self) -> None:
        query = self._visit.query
        if text := query.get("q"):
            self._chip(f"name “{text}”", "q")
        if query.get("ra_deg") and query.get("dec_deg"):
            self._cone(query)
        if query.get("object_id"):
            self._chip("one object", "object_id")
        if query.get("late_by"):
            self._chip("found by a second pass", "late_by")
        if batch := query.get("batch"):
            self._chip(f"batch {batch[:24]}", "batch")
        if until := query.get("until"):
            self._chip(f"until {until[:16].replace('T', ' ')} UTC", "until")
        if simulated := query.get("simulated"):
            shown = {"true": "simulated only", "any": "simulated too"}
            self._chip(shown.get(simulated, "no simulated"), "simulated")

    def _chip(self, content: str, *names: str) -> None:
        chip = button(f"{content} ×", lambda: self._open(dict.fromkeys(names)))
        chip.classes(replace="btn tiny").props["aria-label"] = f"{content} ×: remove this filter"

    def _cone(self, query: Mapping[str, str]) -> None:
        wanted, _ = wanted_of(list_query(query, simulated=True))
        if wanted.cone is None:
            return
        self._chip(degrees_text(wanted.cone.ra_deg, wanted.cone.dec_deg), "ra_deg", "dec_deg", "radius_arcsec")
        radius = ui.number("within, ″", value=wanted.cone.radius_arcsec, min=0.1, max=648_000)
        radius.props("dense outlined hide-bottom-space").classes("radius")
        radius.on("change", lambda: self._open({"radius_arcsec": f"{radius.value or SEARCH_RADIUS_ARCSEC:g}"}))


def simulated_switch(visit: Visit) -> None:
    """The switch for simulated images, one for all pages of a browser."""
    switch = ui.switch(value=visit.simulated).props('dense label="simulated images too"').classes("simulated")
    switch.on_value_change(lambda event: visit.show_simulated(bool(event.value)))


async def total_of(visit: Visit, wanted: Mapping[str, str], *, anew: bool = False) -> Total:
    """How many images the list of `list_query` has: counted `anew`, or as it was seconds ago."""
    chosen, sort = wanted_of(wanted)
    try:
        chosen = await with_parsed_text(visit.context.records, chosen)
        if sort in RANKED_SORTS:
            return await visit.context.rankings.total(chosen, user=await visit.window.user(), sort=sort)
        return await visit.context.archive.total(chosen, sort=sort, anew=anew)
    except (TransientError, UseCaseError, LoggedOut):
        return Total(None, exact=False)  # the list says what is wrong


def _any_of(names: Iterable[str]) -> dict[str, str]:
    return {"": "any"} | {name: words(name) for name in sorted(names)}
