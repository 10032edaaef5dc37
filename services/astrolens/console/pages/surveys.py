"""What calibrates each survey, and the images that a person is asked to look at."""

from typing import Final

from nicegui import ui

from astrolens.console.components.records import Cell, Records, link, opener, reason, state, text, time_ago
from astrolens.console.format import count
from astrolens.console.pages.page import Visit, address
from astrolens.console.pages.parts import button, heading, panel, paragraph, prose
from astrolens.contracts.survey_models import SurveyState
from astrolens.usecases.plurals import plural
from astrolens.usecases.survey_models import SurveyModelView

REFRESH_S: Final = 5.0
"""Survey models change seldom; a status comes twice a second."""

_STATES: Final = {
    SurveyState.OWN: ("the bundle’s", "good"),
    SurveyState.LEARNING: ("pooled, learning", "away"),
    SurveyState.DOES_NOT_FIT: ("pooled, does not fit", "bad"),
    SurveyState.READY: ("survey model", "good"),
}
"""What calibrates a survey, in words, and how it is marked."""


class Surveys:
    """The surveys of the archive, kept current: notices, and a table where it is wanted.

    Args:
        visit: The opened page.
        table: Whether to show the table here.
    """

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._known: dict[str, SurveyModelView] = {}
        self._notices: ui.element | None = None
        self._asked: list[tuple[str, int, int]] = []
        self._table: Records | None = None
        self._none: ui.label | None = None
        visit.refresh(self.load, every_s=REFRESH_S, of=lambda status: status.analyzed)

    def add_notices(self) -> None:
        """What asks a person to look at the strangest images that a survey model was fitted on."""
        self._notices = ui.element("div")

    def add_table(self) -> None:
        """What calibrates each survey, since when and why, with a person's decisions."""
        with panel("Surveys"):
            columns = ("Survey", "Calibration", ">Images", "Survey model", "Since", "Decision")
            self._table = Records(self._visit.window.base, "What calibrates each survey", columns)
            self._table.on_open(self._ask)
            self._none = paragraph("No survey has analysed images yet.")
            prose(
                "A survey that the bundle does not know, or whose images look otherwise than the bundle’s, raises no "
                "alert until a survey model was fitted on its own images."
            )

    async def load(self) -> None:
        """Read them and show them."""
        found = await self._visit.context.survey_models.states()
        self._known = {each.survey: each for each in found.items}
        self._show_notices()
        if self._table is not None and self._none is not None:
            self._table.show({name: _row(each) for name, each in self._known.items()})
            self._none.set_visibility(not self._known)

    def _show_notices(self) -> None:
        asked = [
            (name, each.review.images, each.review.answered)
            for name, each in self._known.items()
            if each.review and each.review.answered < each.review.images
        ]
        if self._notices is None or asked == self._asked:
            return
        self._asked = asked
        self._notices.clear()
        with self._notices:
            for name, images, answered in asked:
                with ui.element("p").classes("banner quiet"):
                    ui.label(
                        f"{name} is a new sky, and its survey model was fitted on images that nobody has looked at. "
                        f"Answers to the {images} strangest of them double what it finds:"
                    )
                    ui.link("look at them", address("/triage", review=name))
                    ui.label(f"({answered} of {images} answered)").classes("num")

    def _ask(self, survey: str) -> None:
        """Ask before a survey returns to the bundle's own calibration."""
        known = self._known.get(survey)
        if known is None:
            return

        calibration = "the bundle’s own calibration" if known.known else "its survey model"
        use = "Use the bundle’s" if known.known else "Use its survey model"

        async def clear(user: str) -> None:
            dialog.close()
            await self._visit.context.survey_models.clear(survey, user=user, release=True)
            self._visit.notify(f"{survey} is judged by {calibration} again.")
            await self.load()

        with ui.dialog(value=True) as dialog, ui.card().classes("al dialog"):
            dialog.on("hide", dialog.delete)
            heading(2, f"Judge {survey} by {calibration} again?")
            paragraph("Its earlier images are analysed again.")
            if known.releases:
                paragraph(known.releases)
            with ui.element("p").classes("choices"):
                button(
                    f"{use}, send alerts" if known.releases else use,
                    self._visit.handler(clear),
                    primary=True,
                )
                button("Leave it" if not known.known else "Keep the survey model", dialog.close)


def _images(survey: SurveyModelView) -> Cell:
    """Its analysed images, and how many of them count for a survey model that is waited for."""
    needed = f" of {count(survey.images_needed)}"
    waits = survey.state in {SurveyState.LEARNING, SurveyState.DOES_NOT_FIT}
    if not waits or (survey.revision is not None and survey.learned is None):
        return [text(count(survey.images), "num")]
    if survey.learned is None or survey.learn_from is None:
        return [text(count(survey.images) + needed, "num")]
    since = f"{survey.learn_from:%Y-%m-%d %H:%M} UTC"
    return [text(count(survey.images), "num"), reason(f"{count(survey.learned)}{needed} since {since}")]


def _row(survey: SurveyModelView) -> tuple[Cell, ...]:
    named, tone = _STATES[survey.state]
    model = [text("none", "muted")]
    if survey.revision is not None:
        without = len(survey.revision.excluded)
        left_out = f", without {without} called strange" if without else ""
        model = [
            text(survey.revision.digest[:12], "mono", title=survey.revision.digest),
            text(f"on {plural(survey.revision.images, 'image')}{left_out}", "muted num"),
        ]
    if survey.rejudging:
        model.append(reason(f"earlier images are judged again, {count(survey.rejudged)} so far"))
    decisions = []
    if survey.review:
        look = address("/triage", review=survey.survey, label="any")
        decisions.append(link(f"strangest {survey.review.images}", look, classes="btn"))
    if survey.can_clear:
        back = "use the bundle’s" if survey.known else "use its survey model"
        decisions.append(opener(back, survey.survey, "btn"))
    return (
        [link(survey.survey, address("/gallery", survey=survey.survey))],
        [state(named, tone), reason(survey.failure or survey.reason)],
        _images(survey),
        model,
        [time_ago(survey.since)],
        decisions,
    )
