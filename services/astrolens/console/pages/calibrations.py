"""Calibrations of surveys: the revision that serves and those before, with date, images, state, budget and drift."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from nicegui import ui

from astrolens.console.components.records import Cell, Part, Records, opener, reason, text, time_ago
from astrolens.console.format import count
from astrolens.console.pages.page import Visit
from astrolens.console.pages.parts import button, heading, panel, paragraph, prose
from astrolens.contracts.survey_models import DriftMeasure, SurveyState
from astrolens.usecases.survey_models import AGGRESSIVE_PER_1000, SurveyModelView

_SERVES: Final = {
    SurveyState.OWN: "the bundle’s",
    SurveyState.LEARNING: "pooled",
    SurveyState.DOES_NOT_FIT: "pooled",
    SurveyState.READY: "survey model",
}
_SHOWN: Final = 5
"""Earlier revisions of a survey that are shown; REST gives all."""


class Calibrations:
    """The panel, with a person's decisions about budgets and new fits.

    Args:
        visit: The opened page.
    """

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._known: dict[str, SurveyModelView] = {}
        with panel("Calibrations"):
            columns = ("Survey", "Revision", ">Images", "State", ">Budget per 1,000", "Drift", "Since", "Decision")
            self._table = Records(visit.window.base, "Revisions of the calibration of each survey", columns)
            self._table.on_open(self._ask)
            prose(
                "Drift is how far the recent images of a survey lie from those of its calibration, in standard "
                "deviations, measured after every 100 images. Verdicts allow for what is named so; a burst of strange "
                "images moves nothing. With another budget all earlier images of the survey are judged again."
            )

    async def load(self) -> None:
        """Read them and show them."""
        found = await self._visit.context.survey_models.states()
        self._known = {each.survey: each for each in found.items}
        self._table.show(rows(self._known))

    def _ask(self, survey: str) -> None:
        known = self._known.get(survey)
        if known is None:
            return
        models = self._visit.context.survey_models
        with ui.dialog(value=True) as dialog, ui.card().classes("al dialog"):
            dialog.on("hide", dialog.delete)
            heading(2, f"Budget and calibration of {survey}")
            number = ui.number("False alarms per 1,000", value=known.false_alarms_per_1000, min=0.1, max=500).props(
                'outlined hint="Of ordinary images; empty: as in the settings"'
            )

            def suggest() -> None:
                number.value = AGGRESSIVE_PER_1000

            async def set_budget(user: str) -> None:
                wanted = None if number.value in {None, ""} else min(max(float(number.value), 0.1), 500.0)
                dialog.close()
                await models.set_budget(survey, wanted, user=user)
                self._visit.notify(f"{survey} has another budget; its earlier images are judged again under it.")
                await self.load()

            async def calibrate(user: str) -> None:
                dialog.close()
                await models.calibrate(survey, user=user)
                self._visit.notify(f"A survey model of {survey} is fitted on its newest images.")
                await self.load()

            with ui.element("p").classes("choices"):
                button("Set the budget", self._visit.handler(set_budget), primary=True)
                button(f"Aggressive: {AGGRESSIVE_PER_1000:g}", suggest)
            paragraph("Or fit a survey model on its newest images; its earlier ones are then analysed again.")
            with ui.element("p").classes("choices"):
                button("Calibrate anew", self._visit.handler(calibrate))
                button("Close", dialog.close)


def rows(surveys: Mapping[str, SurveyModelView]) -> dict[str, tuple[Cell, ...]]:
    """The cells of each survey's present calibration, and of those before."""
    found: dict[str, tuple[Cell, ...]] = {}
    for name, survey in surveys.items():
        found[name] = _present(survey)
        for model in survey.earlier[:_SHOWN]:
            revision = text(model.digest[:12], "mono muted", title=model.digest)
            found[f"{name} {model.digest}"] = _replaced(name, revision, model.images, model.fitted_at)
        for drift in survey.earlier_adjustments[:_SHOWN]:
            adjusted = text("adjusted", "muted")
            moved = figure(drift)
            found[f"{name} {drift.measured_at}"] = _replaced(name, adjusted, drift.images, drift.measured_at, moved)
    return found


def _replaced(survey: str, revision: Part, images: int, at: datetime, drift: str = "") -> tuple[Cell, ...]:
    return (
        [text(survey, "muted")],
        [revision],
        [text(count(images), "num muted")],
        [text("replaced", "muted")],
        [],
        [text(drift, "num muted")],
        [time_ago(at)],
        [],
    )


def _present(survey: SurveyModelView) -> tuple[Cell, ...]:
    revision = survey.revision
    named = [text("bundle")] if revision is None else [text(revision.digest[:12], "mono", title=revision.digest)]
    budget = "settings" if survey.false_alarms_per_1000 is None else f"{survey.false_alarms_per_1000:g}"
    spent = [text(budget, "num")]
    if survey.budget_issue is not None:
        spent.append(reason(survey.budget_issue))
    drift = [text("not measured yet", "muted")] if survey.drift is None else [text(figure(survey.drift), "num")]
    if survey.adjustment is not None:
        drift.append(reason(f"verdicts allow for {figure(survey.adjustment)}"))
    return (
        [text(survey.survey)],
        named,
        [text(count(revision.images if revision else survey.images), "num")],
        [text(_SERVES[survey.state])],
        spent,
        drift,
        [time_ago(survey.since)],
        [opener("decide", survey.survey, "btn")],
    )


def figure(drift: DriftMeasure) -> str:
    """A drift in standard deviations, with its spread."""
    return f"{drift.shift:.2f} × {drift.scale:.2f}"
