"""What triage shows of the current image: positions and detectors by itself, more by a key."""

from html import escape

from nicegui import ui
from nicegui.events import GenericEventArguments

from astrolens.console.components.images import TriageDeck
from astrolens.console.pages import image_panels as panels
from astrolens.console.pages.file_panel import same_object
from astrolens.console.pages.marks import DETECTORS
from astrolens.console.pages.page import Visit
from astrolens.platform.errors import TransientError
from astrolens.usecases.errors import InvalidRequest, UseCaseError
from astrolens.usecases.views import ImageDetail

SIMILAR = 8


class TriageDetails:
    """Fills the slots of the deck; an answer waits for none of it.

    Args:
        visit: The opened page.
        deck: The deck.
    """

    def __init__(self, visit: Visit, deck: TriageDeck) -> None:
        self._visit = visit
        self._deck = deck
        self._shown = ("", "")
        with deck.add_slot("details"):
            self._html = ui.html(sanitize=False)
        with deck.add_slot("asked"):
            self._asked = ui.html(sanitize=False).props('role="status"')
        deck.on("look", visit.handler(self._look))
        deck.on("ask", visit.handler(self._ask))

    async def _look(self, _: str, event: GenericEventArguments) -> None:
        image = str(event.args)
        detail = await self._visit.context.archive.image(image)
        self._html.set_content(_details(detail))
        self._deck.show_details(image)

    async def _ask(self, _: str, event: GenericEventArguments) -> None:
        # A browser can send anything.
        match event.args:
            case [str(image), "similar" | "object" | "archives" as what]:
                pass
            case _:
                raise InvalidRequest("Unknown request", "The browser asked for what the console does not know")
        if self._shown == (image, what):
            self._show("", "")
            return
        try:
            content = await self._content(image, what)
        except (TransientError, UseCaseError) as error:
            content = panels.muted(f"{str(error).rstrip('.')}.")
        self._asked.set_content(content)
        self._show(image, what)

    def _show(self, image: str, what: str) -> None:
        self._shown = (image, what)
        self._deck.show_asked(image, what)

    async def _content(self, image: str, what: str) -> str:
        context, base = self._visit.context, self._visit.window.base
        match what:
            case "similar":
                found = (await context.archive.similar(image, SIMILAR, simulated=self._visit.simulated)).items
                return panels.neighbours(found, base) if found else panels.muted("Nothing alike is known yet.")
            case "object":
                return same_object(await context.sky_objects.of_image(image), image, base)
            case _:
                return panels.archives(await context.archive.image(image))


def _details(detail: ImageDetail) -> str:
    budgets = sorted(detail.detector_budgets.items(), key=lambda item: item[1].p_value)
    said = " ".join(
        f"<span>{escape(DETECTORS.get(name, name))} {escape(budget.words.figure)}</span>" for name, budget in budgets
    )
    detectors = [("Detectors", f'<span class="why num">{said}</span>')] if said else []
    return panels.facts([*panels.position_rows(detail), *detectors])
