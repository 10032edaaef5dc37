"""The elements that show and answer images.

They fetch pages of images from `/api` and send answers there themselves, so that a key waits for no round trip, and
what was answered survives a lost connection.

Each is a Vue component beside this file, written in plain JavaScript; what several need is in `lib/`.
"""

from collections.abc import Sequence
from typing import Any, Final

from nicegui import ui
from nicegui.element import Element

from astrolens.usecases.labelling import LabelOutcome
from astrolens.usecases.list_totals import Total
from astrolens.usecases.views import ImageCard

VIEW: Final = ("stretch", "pct", "invert", "map", "zoom", "cx", "cy")
"""What the view of pictures is called in addresses; see `lib/astrolens-view.js`."""


def _first_page(path: str, limit: int) -> str:
    """The first request that `lib/astrolens-list.js` makes for a list."""
    return f"{path}&limit={limit}&total=false" if "?" in path else path


class ImageGrid(Element, component="image_grid.js"):
    """A list of images of any length, of which only the visible cells are on the page.

    The cursor (`at`), the selection (`sel`) and the size are written into the address in place; the first two are read
    from there when the element appears. An image's page is given selection and size too, and gives them back. Its
    children are shown where no image matches. Keys 1 to 3, u, x, a and b are bound; `?` shows them all. All that
    match are selected as a filter, however many, and answered in batches.
    """

    def __init__(self, *, address: str, query: str, size: str, context: str) -> None:
        """Show a list.

        Args:
            address: The page's address.
            query: Filters and sort, as `GET /api/images` takes them.
            size: `s`, `m` or `l`.
            context: The list as pages' addresses name it; an image's page goes on through this list.
        """
        super().__init__()
        self.props["address"], self.props["query"] = address, query
        self.props["size"], self.props["context"] = size, context

    @property
    def first_request(self) -> str:
        """What it asks the API for at first."""
        return _first_page(f"/images?{self.props['query']}", 120)

    def resize(self, size: str) -> None:
        """Show larger or smaller cells."""
        self.props["size"] = size

    def reload(self) -> None:
        """Read the list again, from its start."""
        self.run_method("reload")


class TriageDeck(Element, component="triage_deck.js"):
    """One large image, the next three waiting, one key an answer.

    No answer is taken before the picture is on the screen. Its children are shown where nothing waits for an answer,
    those of its slot `more` where everything was answered here. The slot `details` is shown with the image of
    `show_details`, `asked` with the one of `show_asked`.

    Events: `look` with the id of an image that somebody looks at; `ask` with such an id and what of it is asked for:
    `similar`, `object` or `archives`.
    """

    def __init__(self, *, address: str, path: str, context: str, unanswered: bool) -> None:
        """Show a list one by one.

        Args:
            address: The page's address.
            path: The list, below `/api`, with filters and sort.
            context: The list as pages' addresses name it; an image's page goes on through this list.
            unanswered: Leave out images that have an answer.
        """
        super().__init__()
        self.props["address"], self.props["path"] = address, path
        self.props["context"], self.props["unanswered"] = f"{context}&list=triage".lstrip("&"), unanswered

    @property
    def first_request(self) -> str:
        """What it asks the API for at first."""
        return _first_page(self.props["path"], 40)

    def count(self, answered: int) -> None:
        """Say how many images are answered in all."""
        if self.props.get("answered") != answered:
            self.props["answered"] = answered

    def show_total(self, total: Total) -> None:
        """Say how many images the list has, which counts while the deck has not read all of it."""
        number = "" if total.count is None else f"{'' if total.exact else 'about '}{total.count:,}"
        if self.props.get("total", "") != number:
            self.props["total"] = number

    def show_details(self, image: str) -> None:
        """Show the slot `details` with an image."""
        self.props["details"] = image

    def show_asked(self, image: str, what: str) -> None:
        """Show the slot `asked` with an image; an empty `image` hides it."""
        self.props["asked"] = f"{image} {what}".strip()

    def refill(self) -> None:
        """Read the list again where it came to its end: new candidates may wait."""
        self.run_method("refill")


class Viewer(Element, component="viewer.js"):
    """A picture with zoom, pan, stretch, scale bar, north and east, and the map of its strange patches.

    All viewers of a page share one view.
    """

    def __init__(self, card: ImageCard, *, north_deg: float | None = None) -> None:
        """Show an image.

        Args:
            card: The image.
            north_deg: From up to north, counterclockwise, with east to the left of north; None where it is not known.
        """
        super().__init__()
        self.props["src"] = card.cutout_url
        self.props["label"] = f"Cutout of {card.name or card.image_id[:12]}"
        if north_deg is not None:
            with self:
                ui.html(_compass(north_deg), sanitize=False)
        if card.scale_arcsec is not None:
            self.props["arcsec"] = card.scale_arcsec

    def map(self, overlay: str) -> None:
        """Lay a map of strange patches over the picture while the view asks for it.

        Args:
            overlay: SVG over the smallest centred square around the picture; empty: there is none.
        """
        if self.props.get("map", "") != overlay:
            self.props["map"] = overlay


def _compass(north_deg: float) -> str:
    """North and east as SVG; see `Viewer`."""
    side = "left" if north_deg > 0 else "right"
    turned = f"North is {abs(north_deg):.1f}° {side} of up, east is to its left"
    says = turned if north_deg else "North is up, east is left"
    return (
        f'<svg class="compass absolute-bottom-right q-ma-sm" viewBox="0 0 44 44" role="img" '
        f'aria-label="{says}" style="transform: rotate({-north_deg:g}deg)">'
        '<path d="M32 36V12M32 12l-3 5M32 12l3 5M32 36H10M10 36l5-3M10 36l5 3" fill="none" stroke="currentColor" '
        'stroke-width="1.5"/><text x="32" y="9" text-anchor="middle">N</text>'
        '<text x="4" y="39.5" text-anchor="middle">E</text></svg>'
    )


class ViewBar(Element, component="view_bar.js"):
    """Buttons and keys for the view of all viewers of the page; the view is in the address."""

    def __init__(self, address: str) -> None:
        """Show the view that an address names.

        Args:
            address: The page's address.
        """
        super().__init__()
        self.props["address"] = address

    def offer_map(self, *, offered: bool) -> None:
        """Offer the map of strange patches, where the picture has one."""
        if self.props.get("mapped", False) != offered:
            self.props["mapped"] = offered


class AnswerBar(Element, component="answer_bar.js"):
    """The answers to one image with free tags: keys 1 to 3, u and #; shown at once, everybody's by person."""

    def __init__(self, card: ImageCard) -> None:
        """Answer for an image."""
        super().__init__()
        self.show(card)

    def show(self, card: ImageCard) -> None:
        """The image as it is now."""
        self.props["card"] = card_props(card)


class Answers(Element, component="answers.js"):
    """How many answers of this browser are on their way; takes in what others answer. One is in the header.

    Once they go again after a failure, the page is loaded again where the console was started meanwhile: the new one
    does not know it, and NiceGUI would try to connect for up to 7.5 s more before it does so.
    """

    def __init__(self, user: str, *, instance: str) -> None:
        """Follow answers.

        Args:
            user: Whose answers are mine.
            instance: Names this start of the console, as `GET /api/health` does.
        """
        super().__init__()
        self.props["user"], self.props["instance"] = user, instance

    def show_recorded(self, recorded: Sequence[LabelOutcome]) -> None:
        """Show what somebody, here or elsewhere, answered."""
        answers = [each.model_dump(mode="json", include={"image_id", "label", "answers"}) for each in recorded]
        self.run_method("applyRecorded", answers)


def card_props(card: ImageCard) -> dict[str, Any]:
    """A card as components take it: as the API gives it."""
    return card.model_dump(mode="json", by_alias=True)
