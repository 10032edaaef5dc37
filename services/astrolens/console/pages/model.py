"""The model in use: what it is, how good it was found, how it behaves on the live stream."""

from html import escape
from math import sqrt
from typing import Any, Final

from nicegui import ui

from astrolens.console.components.records import Records, link, text
from astrolens.console.format import NO_VALUE, count, figure, words
from astrolens.console.pages.bundles import Bundles
from astrolens.console.pages.calibrations import Calibrations
from astrolens.console.pages.charts import ACCENT, ANOMALY, NEAR_MISS, TEXT, axis, chart
from astrolens.console.pages.marks import DETECTORS
from astrolens.console.pages.model_figures import facts, recall_options, tables
from astrolens.console.pages.page import Page, Visit, address, shortcuts
from astrolens.console.pages.parts import (
    ARROW_DOWN,
    copyable,
    empty_state,
    fact_list,
    heading,
    panel,
    paragraph,
    prose,
    select,
)
from astrolens.console.pages.strips import Distribution
from astrolens.console.pages.surveys import Surveys
from astrolens.console.pages.training_runs import TrainingRunsPanel
from astrolens.console.training import training_status
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.errors import ModelUnavailable
from astrolens.usecases.plurals import plural
from astrolens.usecases.status import Status

_DIGESTS: Final = {"Digest": "digest", "Calibration": "calibration_id", "Preprocessing": "preprocessing_digest"}

_BUDGETS_S: Final = 5.0
"""Between two looks at the budgets of surveys, which a person may change on this page."""
_Z95: Final = 1.96

_TAIL: Final = 0.99
"""The last per cent of a heavy tail would squeeze everything else of a distribution."""


async def build(visit: Visit) -> None:
    """The bundle, what it flags, the surveys, calibration, figures, and its card."""
    heading(1, "Model")
    surveys = Surveys(visit)
    surveys.add_notices()
    try:
        model = (await visit.context.model.describe()).whole
    except ModelUnavailable as error:
        await surveys.load()
        empty_state(
            "No model answers",
            f"{error}. The model server loads a bundle when it starts; System shows how it is, and `astrolens doctor` "
            "checks the bundle. This page is shown once it answers.",
            is_error=True,
        )
        _reload_on_change(visit, digest="")
        return
    _reload_on_change(visit, digest=model["digest"])
    with ui.element("div").classes("columns"):
        _bundle(model)
        await _flagged(visit, alpha=model["alpha"])
    bundles = Bundles(visit)
    await bundles.load()
    await bundles.show_opened()
    surveys.add_table()
    await surveys.load()
    await Calibrations(visit).load()
    await TrainingRunsPanel(visit).add()
    _calibration(visit, model)
    _figures(visit, model.get("figures") or {})
    if card := model.get("model_card"):
        _card(card)


def _reload_on_change(visit: Visit, *, digest: str) -> None:
    def reload(status: Status) -> None:
        if status.model.get("state") == "ready" and status.model.get("digest") != digest:
            visit.rebuild()

    visit.on_status(reload)


def _bundle(model: dict[str, Any]) -> None:
    alpha = model["alpha"]
    training = training_status()
    with panel(f"{model['name']} {model['version']}"):
        known = {
            "Budget": f"{per_thousand(alpha)} false alarms per 1,000 ordinary images: anomaly at p ≤ {figure(alpha)}, "
            f"near miss at p ≤ {figure(3 * alpha)}",
            "Too few": "; ".join((model.get("limits") or {}).values()),
            "Classes": ", ".join(words(each) for each in model["classes"]),
            "Detectors": ", ".join(DETECTORS.get(each, each) for each in model["detectors"]),
            "Runs on": model["execution_provider"],
            "Embedding": f"{count(model['embedding_dim'])} numbers an image, "
            f"{plural(model['indexed_images'], 'image')} in the similarity index",
            "Training": training.detail,
        }
        fact_list({name: value for name, value in known.items() if value})
        with ui.element("dl").classes("facts wide"):
            for name, key in _DIGESTS.items():
                copyable(name, model[key])


async def _flagged(visit: Visit, *, alpha: float) -> None:
    """What it flags on the live stream, beside the budget."""
    with panel("Flagged on the live stream"):
        none = paragraph("Nothing is analysed yet.")
        plot = chart("Share of images flagged, by survey, beside the budget", 200, {})
        table = Records(
            visit.window.base,
            "Flagged by survey",
            ("Survey", ">Analysed", ">Anomalies", ">per 1,000", ">95 % interval", ">Budget"),
        )
        prose(
            "The budget counts false alarms among ordinary images. A survey far above it holds more strange images, or "
            "drifts away from its calibration."
        )

    shown: tuple[dict[str, dict[str, int]], dict[str, float]] | None = None
    budgets: dict[str, float] = {}

    def show(status: Status) -> None:
        nonlocal shown
        allowed = {name: budgets.get(name, 1000.0 * alpha) for name in status.surveys}
        none.set_visibility(not status.surveys)
        plot.set_visibility(bool(status.surveys))
        if (status.surveys, allowed) == shown:
            return
        shown = status.surveys, allowed
        verdicts = status.surveys
        totals = {name: sum(own.values()) for name, own in verdicts.items()}
        order = sorted(totals, key=lambda name: -totals[name])
        hits = {name: verdicts[name].get(Verdict.ANOMALY, 0) for name in order}
        misses = {name: verdicts[name].get(Verdict.NEAR_MISS, 0) for name in order}
        rows = {}
        for name in order:
            interval = wilson_interval(hits[name], totals[name])
            ends = " – ".join(per_thousand(each) for each in interval) if interval else NO_VALUE
            budget = per_thousand(allowed[name] / 1000.0)
            cells = (count(totals[name]), count(hits[name]), per_thousand(hits[name] / totals[name]), ends, budget)
            rows[name] = ([link(name, address("/gallery", survey=name))], *([text(each, "num")] for each in cells))
        table.show(rows)
        plot.style(f"height: {70 + 30 * len(order)}px")
        plot.options.update(
            {
                "legend": {"top": 0, "left": 0, "textStyle": {"color": TEXT}, "itemWidth": 14, "itemHeight": 8},
                "xAxis": axis(name="flagged per 1,000 images", nameLocation="middle", nameGap=26),
                "yAxis": axis("category", inverse=True, data=tuple(order), splitLine={"show": False}),
                "series": [
                    _bars("anomalies", ANOMALY, [1000 * hits[name] / totals[name] for name in order]),
                    _bars("near misses", NEAR_MISS, [1000 * misses[name] / totals[name] for name in order]),
                    {
                        "name": "budget",
                        "type": "scatter",
                        "symbol": "rect",
                        "symbolSize": (3, 22),
                        "data": tuple((round(allowed[name], 2), name) for name in order),
                        "itemStyle": {"color": TEXT},
                    },
                ],
            }
        )
        plot.update()

    async def load_budgets() -> None:
        nonlocal budgets
        surveys = (await visit.context.survey_models.states()).items
        own = {each.survey: each.false_alarms_per_1000 for each in surveys}
        budgets = {name: number for name, number in own.items() if number is not None}
        show(await visit.status())

    await load_budgets()
    visit.on_status(show)
    visit.refresh(load_budgets, every_s=_BUDGETS_S)


def _bars(name: str, colour: str, values: list[float]) -> dict[str, Any]:
    data = tuple(round(each, 2) for each in values)
    return {
        "name": name,
        "type": "bar",
        "stack": "flagged",
        "barMaxWidth": 16,
        "data": data,
        "itemStyle": {"color": colour},
    }


def _calibration(visit: Visit, model: dict[str, Any]) -> None:
    """Scores of ordinary images, by detector, of the survey that the address names."""
    known = (model.get("calibration") or {}).get("surveys") or {}
    names = sorted(known)
    with panel("Calibration") as head:
        if not names:
            paragraph("The model server tells no calibration.")
            return
        survey = visit.query.get("survey", names[0])
        survey = survey if survey in known else names[0]
        with head:
            select(visit.window, "Survey", {name: name for name in names}, survey, lambda name: visit.go(survey=name))
            ui.label(f"{count(known[survey]['images'])} ordinary images").classes("muted num")
        with ui.element("div").classes("chart-grid"):
            for name, strip in known[survey]["strips"].items():
                _strip_chart(survey, name, strip)

    def step(by: int) -> None:
        visit.go(survey=names[(names.index(survey) + by) % len(names)])

    visit.keys(
        *shortcuts(
            (("ArrowRight", "j"), "Next survey of the calibrations", lambda: step(1)),
            (("ArrowLeft", "k"), "Previous survey of the calibrations", lambda: step(-1)),
        ),
        title="Model",
    )


def _strip_chart(survey: str, detector: str, strip: dict[str, Any]) -> None:
    known = Distribution(strip["probabilities"], strip["scores"])
    steps = known.density(known.scores[0], known.quantile(_TAIL))
    points = tuple((round(edge, 4), round(height, 5)) for low, high, height in steps for edge in (low, high))
    title = DETECTORS.get(detector, detector)
    chart(
        f"Scores of ordinary images of {survey} by {title}",
        170,
        {
            "title": {"text": title, "left": 0, "top": 0, "textStyle": {"color": "#e3eaf1", "fontSize": 13}},
            "grid": {"left": 16, "right": 16, "top": 28, "bottom": 24, "containLabel": True},
            "xAxis": axis(scale=True, name="score", nameLocation="middle", nameGap=24, splitNumber=4),
            "yAxis": axis(show=False),
            "series": [
                {
                    "type": "line",
                    "name": "density",
                    "data": points,
                    "symbol": "none",
                    "lineStyle": {"color": ACCENT, "width": 1.5},
                    "areaStyle": {"color": ACCENT, "opacity": 0.18},
                }
            ],
        },
    )


def _figures(visit: Visit, figures: dict[str, Any]) -> None:
    """How good it was found, in words."""
    with panel("Figures on the test split"):
        fact_list(facts(figures))
        if (options := recall_options(figures)) is not None:
            chart("Share of odd objects found against false alarms allowed, by survey", 300, options)
        for title, columns, rows in tables(figures):
            heading(3, title)
            table = Records(visit.window.base, title, ("Survey", *(f">{each}" for each in columns)))
            table.show({name: ([text(name)], *([text(each, "num")] for each in cells)) for name, cells in rows.items()})


def _card(card: str) -> None:
    """The model card, rendered once somebody opens it: it is long."""
    with ui.element("section").classes("panel").props('aria-label="Model card"'):
        expansion = ui.expansion("Model card").classes("card")
        expansion.props["expand-icon"] = ARROW_DOWN
        shown = False

        def show() -> None:
            nonlocal shown
            if not shown:
                shown = True
                with expansion:
                    # Markup in the card stays text; the browser sanitises what is left besides.
                    ui.markdown(escape(card, quote=False)).classes("card-text")

        expansion.on_value_change(lambda event: show() if event.value else None)


def wilson_interval(hits: int, total: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share (Wilson 1927): honest for small counts, where the usual one is not."""
    if not total:
        return None
    share, squared = hits / total, _Z95 * _Z95
    scale = 1 + squared / total
    middle = (share + squared / (2 * total)) / scale
    half = _Z95 * sqrt(share * (1 - share) / total + squared / (4 * total * total)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def per_thousand(share: float) -> str:
    """A share as so many of a thousand."""
    return f"{share * 1000:.1f}" if share * 1000 < 10 else f"{share * 1000:.0f}"


PAGE = Page(path="/model", title="Model", build=build, key="Shift+M", query=("survey", "bundle"))
