"""Retraining runs on the Model page: what each learned from and changed, its gates, its figures beside those before."""

import re
from typing import Final

from nicegui import ui

from astrolens.console.components.records import Cell, Part, Records, opener, reason, state, text, time_ago
from astrolens.console.format import count
from astrolens.console.pages.charts import ACCENT, ANOMALY, NEAR_MISS, TEXT, axis, chart
from astrolens.console.pages.page import Visit
from astrolens.console.pages.parts import button, heading, panel, paragraph, prose
from astrolens.contracts.training_runs import BACKBONE_NAME, OPEN_STATES, RunReason, RunState
from astrolens.usecases.plurals import plural
from astrolens.usecases.training_runs import (
    LearningCurve,
    RequestedOptions,
    TrainingRequest,
    TrainingRunPage,
    TrainingRunView,
)

REFRESH_S: Final = 2.0
"""Between looks at the runs while this page is open."""
_SHOWN: Final = 12
_TONES: Final = {
    RunState.QUEUED: "wait",
    RunState.RUNNING: "wait",
    RunState.DONE: "good",
    RunState.CANCELLED: "away",
    RunState.FAILED: "bad",
}


class TrainingRunsPanel:
    """The runs, kept current, with a button that starts one.

    Args:
        visit: The opened page.
    """

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._views: dict[str, TrainingRunView] = {}

    async def add(self) -> None:
        """Add the panel and show the runs."""
        with panel("Retraining") as head:
            with head:
                self._backbone = ui.input(
                    "Backbone", placeholder="the promoted bundle", validation=_backbone_error
                ).props("dense outlined stack-label")
                self._network = ui.checkbox("Train the transformer, too").props("dense")
                self._start = button("Retrain now", self._visit.handler(self._queue))
            self._detail = paragraph("")
            columns = ("Run", "State", "Learned from", "Changed", ">Accuracy", ">Oddity AUROC", "Gates", "Action")
            self._table = Records(self._visit.window.base, "Retraining runs, the newest first", columns)
            self._table.on_open(self._open)
            with ui.element("div").classes("chart-grid"):
                self._history = chart("Accuracy and oddity AUROC of each run, before and after", 220, {})
                self._curve = chart("Interesting images found against images answered", 200, {})
            prose(
                "A run promotes nothing: it makes a challenger, which the gates compare with the bundle in use on "
                "images that neither saw. Each figure stands beside the one before, on the same images; those of "
                "different runs are of different images."
            )
        await self._load()
        self._visit.refresh(self._load, every_s=REFRESH_S)

    async def _load(self) -> None:
        page = await self._visit.context.training_runs.page(limit=_SHOWN)
        self._views = {each.run.run_id: each for each in page.items}
        self._table.show({name: _row(each) for name, each in self._views.items()})
        self._detail.set_text(page.detail)
        is_open = any(each.run.state in OPEN_STATES for each in page.items)
        for own in (self._start, self._network, self._backbone):
            own.set_visibility(page.available and not is_open)
        self._show_history(page)
        self._show_curve(await self._visit.context.training_runs.learning_curve())

    def _show_history(self, page: TrainingRunPage) -> None:
        done = [each for each in reversed(page.items) if each.run.before and each.run.after]
        self._history.set_visibility(bool(done))
        series = {
            "accuracy before": [each.run.before.accuracy for each in done if each.run.before],
            "accuracy after": [each.run.after.accuracy for each in done if each.run.after],
            "AUROC before": [_before(each.auroc, each.auroc_change) for each in done],
            "AUROC after": [each.auroc for each in done],
        }
        options = {
            "title": _title("Accuracy and oddity AUROC of each run"),
            "legend": {"top": 22, "left": 0, "itemWidth": 14, "textStyle": {"color": TEXT}},
            "grid": {"left": 16, "right": 16, "top": 76, "bottom": 24, "containLabel": True},
            "xAxis": axis("category", data=tuple(each.run.run_id[:6] for each in done)),
            "yAxis": axis(scale=True, max=1),
            "series": [{"type": "line", "name": name, "data": tuple(values)} for name, values in series.items()],
            "color": [ACCENT, ANOMALY, TEXT, NEAR_MISS],
        }
        _update(self._history, options)

    def _show_curve(self, curve: LearningCurve) -> None:
        self._curve.set_visibility(bool(curve.answers))
        points = tuple(zip(curve.answers, curve.found, strict=True))
        options = {
            "title": _title("Interesting images found"),
            "grid": {"left": 16, "right": 24, "top": 36, "bottom": 28, "containLabel": True},
            "xAxis": axis(name="images answered", nameLocation="middle", nameGap=26),
            "yAxis": axis(minInterval=1),
            "series": [{"type": "line", "name": "found", "data": points, "symbol": "none"}],
            "color": [ACCENT],
        }
        _update(self._curve, options)

    async def _queue(self, user: str) -> None:
        name = (self._backbone.value or "").strip()
        if _backbone_error(name) is not None:
            return
        request = TrainingRequest(options=RequestedOptions(backbone=name or None, network=bool(self._network.value)))
        await self._visit.context.training_runs.start(request, user=user)
        self._visit.notify("A retraining run is queued.")
        await self._load()

    def _open(self, run_id: str) -> None:
        """Show a run with its gates; one that is open can be cancelled there."""
        if (found := self._views.get(run_id)) is None:
            return

        async def cancel(user: str) -> None:
            dialog.close()
            await self._visit.context.training_runs.cancel(run_id, user=user)
            self._visit.notify("The run ends within seconds.")
            await self._load()

        with ui.dialog(value=True) as dialog, ui.card().classes("al dialog wide"):
            dialog.on("hide", dialog.delete)
            heading(2, f"Run {run_id}")
            for sentence in (*found.run.changes, *([found.run.failure] if found.run.failure else ())):
                paragraph(sentence)
            self._add_gates(found)
            for line in found.run.log[-8:] if found.run.gates is None else ():
                paragraph(line, "muted mono")
            with ui.element("p").classes("choices"):
                if found.run.state in OPEN_STATES:
                    button("Cancel the run", self._visit.handler(cancel), primary=True)
                button("Close", dialog.close)

    def _add_gates(self, found: TrainingRunView) -> None:
        if found.run.gates is None:
            return
        table = Records(self._visit.window.base, "Gates", ("Gate", "Result", "What was measured"))
        table.show(
            {
                gate.name: (
                    [text(gate.name)],
                    [state("passed", "good") if gate.passed else state("refused", "bad")],
                    [text(gate.detail)],
                )
                for gate in found.run.gates.gates
            }
        )
        for sentence in found.run.gates.missing:
            paragraph(f"Not measured: {sentence}")


def _backbone_error(name: str | None) -> str | None:
    """What is wrong with the name of a checkpoint; None where nothing is."""
    own = (name or "").strip()
    return None if not own or re.fullmatch(BACKBONE_NAME, own) else "A folder in `backbones`, or owner/name"


def _row(found: TrainingRunView) -> tuple[Cell, ...]:
    run = found.run
    what = f"{run.step or 'starting'}, {run.progress:.0%}" if run.state is RunState.RUNNING else run.state.value
    if run.state is RunState.RUNNING and run.cancel_requested_by:
        what = "ending"
    return (
        [opener(run.run_id[:8], run.run_id, "btn tiny mono"), reason(_asked_for(found))],
        [state(what, _TONES[run.state]), time_ago(run.finished_at or run.requested_at)]
        + ([reason(run.failure)] if run.failure else []),
        _learned(found),
        [text(run.changes[0])] if run.changes else [text("–", "muted")],
        _figure(found.run.after.accuracy if found.run.after else None, found.accuracy_change, ".1%"),
        _figure(found.auroc, found.auroc_change, ".3f"),
        _gates(found),
        [opener("cancel", run.run_id, "btn")] if run.state in OPEN_STATES else [],
    )


def _asked_for(found: TrainingRunView) -> str:
    """Who or what queued a run."""
    if found.run.reason is RunReason.REQUEST:
        return f"asked for by {found.run.requested_by}"
    return "on schedule" if found.run.reason is RunReason.SCHEDULE else "enough new answers"


def _learned(found: TrainingRunView) -> list[Part]:
    data = found.run.data
    if data is None:
        return [text(plural(found.run.answers, "answer"))] if found.run.answers else [text("–", "muted")]
    answers = ", ".join(f"{count(number)} {answer}" for answer, number in data.labels.items()) or "no answers"
    held_out = sum(data.held_out.values())
    return [
        text(answers, title=f"data {data.digest}"),
        reason(f"{plural(sum(data.origins.values()), 'image')}, {plural(held_out, 'answer')} held out"),
    ]


def _before(after: float | None, change: float | None) -> float | None:
    return None if after is None or change is None else round(after - change, 4)


def _figure(after: float | None, change: float | None, as_: str) -> list[Part]:
    """A figure of the challenger, with what changed."""
    if after is None:
        return [text("–", "muted num")]
    return [
        text(format(after, as_), "num"),
        *([text(format(change, f"+{as_}"), "num muted")] if change is not None else []),
    ]


def _gates(found: TrainingRunView) -> list[Part]:
    gates = found.run.gates
    if gates is None:
        return [text("–", "muted")]
    failed = [gate for gate in gates.gates if not gate.passed]
    if not failed:
        return [state(f"passed all {len(gates.gates)}", "good")]
    return [state(f"refused by {len(failed)} of {len(gates.gates)}", "bad"), reason(failed[0].name)]


def _title(content: str) -> dict[str, object]:
    return {"text": content, "left": 0, "top": 0, "textStyle": {"color": "#e3eaf1", "fontSize": 13}}


def _update(plot: ui.echart, options: dict[str, object]) -> None:
    if all(plot.options.get(name) == value for name, value in options.items()):
        return
    plot.options.update(options)
    plot.update()
