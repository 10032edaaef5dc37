"""One image: what it looks like, why it was judged so, where it came from; and the way through its list."""

import asyncio
from collections.abc import Sequence
from html import escape
from time import monotonic
from typing import Final

from nicegui import background_tasks, ui

from astrolens.console.components.images import VIEW, AnswerBar, ViewBar, Viewer
from astrolens.console.components.keys import Shortcut
from astrolens.console.pages import image_panels as panels
from astrolens.console.pages.catalogue_panel import catalogues
from astrolens.console.pages.file_panel import same_object, stated_by_file
from astrolens.console.pages.image_lists import LIST, LIST_VIEW, list_query, wanted_of, way_through
from astrolens.console.pages.marks import name_of, p_value, tags, verdict_mark
from astrolens.console.pages.page import Page, Visit, address, shortcuts
from astrolens.console.pages.parts import add_key_hint, button, heading, panel
from astrolens.console.pages.patch_panel import patch_overlay, strange_place
from astrolens.contracts.base import utc_now
from astrolens.contracts.patch_maps import PATCHES_TAP
from astrolens.contracts.records import ImageState
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.errors import TransientError
from astrolens.rpc.messages import Description
from astrolens.usecases.crossmatches import NO_POSITION
from astrolens.usecases.errors import UseCaseError
from astrolens.usecases.image_queries import RANKED_SORTS
from astrolens.usecases.labelling import LabelOutcome
from astrolens.usecases.search_text import with_parsed_text
from astrolens.usecases.status import Status
from astrolens.usecases.views import ImageDetail

NORTH_UP_SOURCES: Final = frozenset({"sdss"})
"""Surveys whose own cutout service turns every picture north up, east left."""

MORPHOLOGY_POLL_S: Final = 5.0
"""Between two looks for a candidate's morphology and map, which may take minutes to come."""

MODEL_TIMEOUT_S: Final = 1.0
"""Longest wait for the model server's distributions; the page comes without them then."""

SIMILAR: Final = 12
NOTHING_SIMILAR: Final = "The similarity index knows no other image yet."
NOTHING_SIMILAR_REAL: Final = (
    "No real image is known that is alike yet; simulated ones are shown only where that is asked for."
)
COMPARED: Final = 4


async def build(visit: Visit) -> None:
    """The picture beside what is known of it."""
    page = _ImagePage(visit)
    await page.read()
    await page.build()


class _ImagePage:
    """The page of one image; what may change under the reader's eyes is rendered again."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._id = visit.parameters["image_id"]
        self._base = visit.window.base
        self._triage = visit.query.get("list") == "triage"
        self._asked_at = 0.0
        self._panels: dict[str, ui.html] = {}
        self._similar: list[str] = []

    async def read(self) -> None:
        """Read the image, and what the model says of its calibration."""
        context = self._visit.context
        self._asked_at = monotonic()
        self._detail: ImageDetail = await context.archive.image(self._id)
        self._crossmatch = await context.crossmatches.of_image(self._id)
        self._model: Description | None = None
        self._model_problem = ""
        try:
            async with asyncio.timeout(MODEL_TIMEOUT_S):
                self._model = await context.model.describe()
        except TimeoutError:
            self._model_problem = "the model server does not answer."
        except (TransientError, UseCaseError) as error:
            self._model_problem = f"{error}."

    async def build(self) -> None:
        """Add the elements."""
        visit, card = self._visit, self._detail.card
        ui.page_title(f"{name_of(card)} · AstroLens")
        await self._way()
        with ui.element("article"):
            with ui.element("div").classes("image-page"):
                with ui.element("section").classes("stage").props('aria-label="The picture"'):
                    self._viewer = Viewer(card, north_deg=self._north_deg)
                    self._view_bar = ViewBar(visit.address())
                    self._panels["map"] = ui.html(sanitize=False)
                with ui.element("div").classes("image-side"):
                    self._head()
                    self._section("Why", "why")
                    self._section("Morphology", "morphology")
                    self._section("Where", "where")
                    with self._section("Catalogues", "catalogues"):
                        button("ask again", visit.handler(self._ask_catalogues), key="q")
            with ui.element("div").classes("image-more"):
                with self._section("Most similar", "similar"):
                    button("compare", self._compare, key="b")
                self._section("Answers and alerts", "history")
                self._section("The file", "file")
                self._section("The same object", "object")
                with self._section("Provenance", "provenance"):
                    button("original file", self._fetch_original, key="f")
                    button("analyse again", visit.handler(self._reanalyze), key="e")
        self._render()
        self._bind()
        ui.timer(0.0, visit.handler(self._read_object), once=True)
        ui.timer(0.0, visit.handler(self._read_similar), once=True)
        visit.on_status(self._on_status)
        self._unsubscribe = visit.context.answers.subscribe(self._on_answers)

    def _head(self) -> None:
        card = self._detail.card
        with ui.element("header").classes("image-head q-mb-md"):
            with ui.element("div").classes("title-line"):
                heading(1, name_of(card)).classes("name")
                ui.html(tags(card), sanitize=False, tag="span")
            self._panels["verdict"] = ui.html(sanitize=False)
            self._bar = AnswerBar(card)

    def _section(self, title: str, name: str) -> ui.element:
        """A panel whose content is rendered later; returns the line of its heading."""
        with panel(title) as head:
            self._panels[name] = ui.html(sanitize=False)
        self._panels[name].props["id"] = name
        return head

    async def _way(self) -> None:
        """Links to the images before and behind in the list, and back to the list; keys click them."""
        wanted, sort = wanted_of(list_query(self._visit.query, triage=self._triage, simulated=self._visit.simulated))
        context = self._visit.context
        wanted = await with_parsed_text(context.records, wanted)
        if sort in RANKED_SORTS:
            beside = await context.rankings.neighbours(
                self._id, wanted, user=await self._visit.window.user(), sort=sort
            )
        else:
            beside = await context.archive.neighbours(self._id, wanted, sort=sort)
        back, kept = way_through(self._id, self._visit.query, triage=self._triage)
        with ui.element("nav").classes("way q-mb-sm").props('aria-label="The list"'):
            add_key_hint(ui.link("Back to the list", back).classes("back"), "Back to the list", "Escape")
            for image, text, way, key in (
                (beside.previous, "Previous", "prev", "k"),
                (beside.next, "Next", "next", "j"),
            ):
                if image is not None:
                    link = ui.link(text, address(f"/image/{image}", **kept))
                    add_key_hint(link.props(f'rel="{way}"'), f"{text} image of the list", key)

    def _render(self) -> None:
        """Show what is known now."""
        detail, card = self._detail, self._detail.card
        lines = [f'<p class="verdict-line">{verdict_mark(card.verdict)} {p_value(card.p_value_words)}</p>']
        if card.state is ImageState.INGESTED:
            lines.append(panels.muted("It waits for its analysis; the verdict appears here by itself."))
        if reason := (detail.model_extra or {}).get("reason"):
            lines.append(f'<p class="reason text-negative">{escape(reason["detail"])}</p>')
        self._set("verdict", "".join(lines))
        self._bar.show(card)
        self._set("why", panels.scores(detail, self._model, self._model_problem))
        waits = "Candidates are measured one after the other; this one waits for its turn."
        nothing = "Only candidates are measured."
        measured = panels.morphology(detail.morphology, card.scale_arcsec) if detail.morphology else ""
        self._set("morphology", measured or panels.muted(waits if self._waits_for_morphology else nothing))
        found = detail.patch_map
        self._viewer.map(patch_overlay(found.cells) if found and found.cells else "")
        self._view_bar.offer_map(offered=found is not None and found.cells is not None)
        self._set("map", strange_place(found, waits=self._waits_for_map))
        self._set("where", panels.position(detail, self._base))
        self._set("catalogues", catalogues(self._crossmatch, utc_now()))
        self._set("history", panels.history(detail))
        self._set("file", stated_by_file(detail, north_up=card.source in NORTH_UP_SOURCES))
        self._set("provenance", panels.provenance(detail))

    def _set(self, name: str, content: str) -> None:
        if self._panels[name].content != content:
            self._panels[name].set_content(content)

    @property
    def _is_candidate(self) -> bool:
        card = self._detail.card
        return card.state is ImageState.ANALYZED and card.verdict in {Verdict.ANOMALY, Verdict.NEAR_MISS}

    @property
    def _waits_for_morphology(self) -> bool:
        return self._is_candidate and self._detail.morphology is None

    @property
    def _waits_for_map(self) -> bool:
        gives_patches = self._model is not None and PATCHES_TAP in self._model.taps
        return self._is_candidate and gives_patches and self._detail.patch_map is None

    async def _on_status(self, _: Status) -> None:
        """An image on its way gets its verdict under the reader's eyes, and a candidate its morphology and map."""
        waits = self._waits_for_morphology or self._waits_for_map or self._crossmatch.state == "waiting"
        later = waits and monotonic() - self._asked_at >= MORPHOLOGY_POLL_S
        if self._detail.card.state is ImageState.INGESTED or later:
            await self._read_again()

    def _on_answers(self, recorded: Sequence[LabelOutcome]) -> None:
        if self._bar.is_deleted:
            self._unsubscribe()
        elif any(each.image_id == self._id for each in recorded):
            background_tasks.create(self._read_again(), name="answers of an image", context=self._bar)

    async def _read_again(self) -> None:
        await self.read()
        self._render()

    async def _read_similar(self, _: str) -> None:
        self._set("similar", panels.muted("Looking."))
        near = panels.near_duplicates(self._detail, self._base)
        try:
            found = (
                await self._visit.context.archive.similar(self._id, SIMILAR, simulated=self._visit.simulated)
            ).items
        except (TransientError, UseCaseError) as error:
            self._set("similar", panels.muted(f"{str(error).rstrip('.')}.") + near)
            return
        self._similar = [each.image.image_id for each in found]
        nothing = panels.muted(NOTHING_SIMILAR if self._visit.simulated else NOTHING_SIMILAR_REAL)
        self._set("similar", (panels.neighbours(found, self._base) if found else nothing) + near)

    async def _read_object(self, _: str) -> None:
        try:
            found = await self._visit.context.sky_objects.of_image(self._id)
        except (TransientError, UseCaseError) as error:
            self._set("object", panels.muted(f"{str(error).rstrip('.')}."))
            return
        self._set("object", same_object(found, self._id, self._base))

    @property
    def _north_deg(self) -> float | None:
        angle = (self._detail.model_extra or {})["cutout"].get("north_angle_deg")
        return 0.0 if angle is None and self._detail.card.source in NORTH_UP_SOURCES else angle

    def _compare(self) -> None:
        if self._similar:
            self._visit.go(address("/compare", ids=",".join([self._id, *self._similar][:COMPARED])))
        else:
            self._visit.notify("Nothing similar is known yet to compare with.")

    def _fetch_original(self) -> None:
        ui.navigate.to(f"/api/images/{self._id}/original", new_tab=True)

    async def _ask_catalogues(self, _: str) -> None:
        self._crossmatch = await self._visit.context.crossmatches.ask_again(self._id)
        self._visit.notify("The catalogues are asked again.")
        self._render()

    async def _reanalyze(self, _: str) -> None:
        await self._visit.context.reanalysis.analyze_again(self._id)
        self._visit.notify("On its way to the model again.")
        await self._read_again()

    def _position_keys(self) -> tuple[Shortcut, ...]:
        copy, archives = "Copy the position; again for another form", "Archives"
        if self._detail.card.ra_deg is None:
            return shortcuts(
                ("c", copy, lambda: self._visit.notify(f"There is nothing to copy: {NO_POSITION}.")),
                ("o", archives, lambda: self._visit.notify(f"The archives are searched by position: {NO_POSITION}.")),
            )
        return (
            Shortcut(("c",), copy, target="#where [data-copy]"),
            Shortcut(("o",), archives, target="#where .links a"),
        )

    def _bind(self) -> None:
        visit = self._visit
        visit.keys(
            Shortcut(("ArrowRight", "j"), "Next image", target='.way [rel="next"]'),
            Shortcut(("ArrowLeft", "k"), "Previous image", target='.way [rel="prev"]'),
            Shortcut(("Escape",), "Back to the list", target=".way .back"),
            *self._position_keys(),
            *shortcuts(
                ("b", "Compare with the most similar", self._compare),
                ("f", "Fetch the original file", self._fetch_original),
                ("e", "Analyse again", visit.handler(self._reanalyze)),
                ("q", "Ask the catalogues again", visit.handler(self._ask_catalogues)),
                (
                    "g",
                    "Similar images",
                    lambda: ui.run_javascript("document.getElementById('similar')?.scrollIntoView({block: 'center'})"),
                ),
            ),
            title="Image",
        )


PAGE = Page(path="/image/{image_id}", title="Image", build=build, query=(*LIST, *LIST_VIEW, "list", *VIEW))
