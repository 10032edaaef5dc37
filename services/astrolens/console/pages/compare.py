"""Two to four images side by side, one zoom and one stretch for all."""

from html import escape
from typing import Final

from nicegui import ui

from astrolens.console.components.images import VIEW, ViewBar, Viewer
from astrolens.console.format import words
from astrolens.console.pages.image_panels import facts
from astrolens.console.pages.marks import DETECTORS, answers_line, name_of, p_value, tags, verdict_mark
from astrolens.console.pages.page import Page, Visit, shortcuts
from astrolens.console.pages.parts import button, empty_state, heading, paragraph
from astrolens.usecases.errors import NotFound
from astrolens.usecases.plurals import plural
from astrolens.usecases.views import ImageDetail

MAX_IMAGES: Final = 4
MIN_IMAGES: Final = 2


async def build(visit: Visit) -> None:
    """The images of the address, with what was said of each."""
    asked = list(dict.fromkeys(each for each in visit.query.get("ids", "").split(",") if each))
    ids = asked[:MAX_IMAGES]
    visit.keys(*shortcuts(("Escape", "Back to where one came from", ui.navigate.back)), title="Compare")
    with ui.element("div").classes("section-head"):
        heading(1, "Compare")
        if len(ids) >= MIN_IMAGES:
            ViewBar(visit.address())
    if len(asked) > len(ids):
        paragraph(f"The address names {plural(len(asked), 'image')}: the first {MAX_IMAGES} are shown.", "banner quiet")
    if len(ids) < MIN_IMAGES:
        text = "Select them in the gallery with `x` and press `b`; or press `b` on an image’s page."
        empty_state("Choose two to four images", text)
        return
    with ui.element("div").classes("compare").style(f"--images: {len(ids)}"):
        for image in ids:
            with ui.element("figure"):
                try:
                    detail = await visit.context.archive.image(image)
                except NotFound as error:
                    empty_state("Not shown", f"{str(error).rstrip('.')}.", is_error=True)
                else:
                    _figure(visit, detail, ids)


def _figure(visit: Visit, detail: ImageDetail, ids: list[str]) -> None:
    card = detail.card
    Viewer(card)
    with ui.element("figcaption").classes("q-pt-sm"):
        with ui.element("div").classes("title-line"):
            ui.link(name_of(card), f"/image/{card.image_id}").classes("name")
            ui.html(tags(card), sanitize=False, tag="span")
            if len(ids) > MIN_IMAGES:
                rest = ",".join(each for each in ids if each != card.image_id)
                away = button("take away", lambda: visit.go(ids=rest), tiny=True)
                away.props["aria-label"] = f"take away {name_of(card)}"
        said = f'<p class="verdict-line">{verdict_mark(card.verdict)} {p_value(card.p_value_words)}</p>'
        about = f"{escape(card.survey)} · {escape(words(card.predicted_class) or '–')} · {answers_line(card.answers)}"
        rows = (
            (
                DETECTORS.get(name, escape(name)),
                f'<span class="num">{budget.words.figure}</span> <span class="muted">{budget.words.meaning}</span>',
            )
            for name, budget in detail.detector_budgets.items()
        )
        ui.html(f'{said}<p class="muted">{about.rstrip(" ·")}</p>{facts(rows, "facts tight")}', sanitize=False)


PAGE = Page(path="/compare", title="Compare", build=build, query=("ids", *VIEW))
