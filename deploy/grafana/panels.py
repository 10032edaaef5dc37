"""The few kinds of panel that the dashboards are made of, and how a dashboard is put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""Whoever has several Prometheus servers chooses one at the top; with one there is nothing to choose."""

BASE: Final = float("-inf")
"""The step below all others; green where it is not given."""
_LINE: Final = 24
"""Columns of Grafana's grid."""

Panel = stat.Panel | timeseries.Panel | heatmap.Panel | table.Panel


@dataclass(frozen=True)
class Query:
    """A query and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Row:
    """A question, and the panels that answer it."""

    question: str
    panels: Sequence[Panel]
    a_line: int = 3
    height: int = 8


@dataclass(frozen=True)
class Board:
    """One dashboard."""

    name: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[build.QueryVariable] = field(default=())

    def json(self) -> str:
        """The dashboard as Grafana provisions it."""
        return JSONEncoder(sort_keys=True, indent=1).encode(self._built()) + "\n"

    def compact_json(self) -> str:
        """The same in one line."""
        return JSONEncoder(sort_keys=True, separators=(",", ":")).encode(self._built())

    def _built(self) -> model.Dashboard:
        board = (
            build.Dashboard(f"AstroLens {self.title}")
            .uid(f"astrolens-{self.name}")
            .description(self.description)
            .tags(["astrolens"])
            .timezone("utc")
            .time("now-3h", "now")
            .refresh("15s")
            .readonly()
            .tooltip(model.DashboardCursorSync.CROSSHAIR)
            .link(
                build.DashboardLink("AstroLens")
                .type(model.DashboardLinkType.DASHBOARDS)
                .tags(["astrolens"])
                .as_dropdown(False)
                .keep_time(True)
                .include_vars(True)
            )
            .with_variable(build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        )
        for variable in self.variables:
            board = board.with_variable(variable)
        number = 0
        for row in self.rows:
            number += 1
            board = board.with_row(build.Row(row.question).id(number))
            for panel in row.panels:
                number += 1
                board = board.with_panel(panel.id(number).span(_LINE // row.a_line).height(row.height))
        return board.build()


def number(
    title: str,
    description: str,
    expr: str,
    *,
    unit: str = "short",
    legend: str = "",
    steps: Mapping[float, str] | None = None,
    decimals: int | None = None,
) -> stat.Panel:
    """One figure of this moment, coloured by thresholds: `steps` says from which value on it has which colour."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .graph_mode(BigValueGraphMode.AREA)
        .color_mode(BigValueColorMode.BACKGROUND if steps else BigValueColorMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("none yet")
        .thresholds(_thresholds(steps or {}))
        .with_target(_target(Query(expr, legend), "A"))
    )
    return panel if decimals is None else panel.decimals(decimals)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Mapping[float, str] | None = None,
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Series over time; thresholds are dashed lines."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
            .show_legend(True)
        )
        .thresholds(_thresholds(steps or {}))
        .thresholds_style(
            common.GraphThresholdsStyleConfig().mode(
                GraphThresholdsStyleMode.DASHED if steps else GraphThresholdsStyleMode.OFF
            )
        )
    )
    if most is not None:
        panel = panel.max(most)
    for position, query in enumerate(queries):
        panel = panel.with_target(_target(query, chr(ord("A") + position)))
    return panel


def heat(title: str, description: str, buckets: str, *, unit: str) -> heatmap.Panel:
    """How a histogram's buckets fill over time; `buckets` sums by `le`."""
    target = _target(Query(buckets, "{{le}}"), "A").format(PromQueryFormat.HEATMAP)
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .with_target(target)
    )


def rows(title: str, description: str, expr: str, *, hidden: Sequence[str] = ()) -> table.Panel:
    """A table of series by their labels, of this moment."""
    names: dict[str, Any] = dict.fromkeys(("Time", "Value", "__name__", "job", *hidden), True)
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .with_target(_target(Query(expr), "A").format(PromQueryFormat.TABLE).instant())
        .with_transformation(model.DataTransformerConfig(id_val="organize", options={"excludeByName": names}))
    )


def quantiles(metric: str, by: str, *, selector: str = "") -> tuple[Query, Query]:
    """Median and 95th percentile of a histogram."""
    rate = f"sum by ({by}, le) (rate({metric}_bucket{selector}[$__rate_interval]))"
    name = f"{{{{{by}}}}}"
    return (
        Query(f"histogram_quantile(0.5, {rate})", f"{name} p50"),
        Query(f"histogram_quantile(0.95, {rate})", f"{name} p95"),
    )


def choice(name: str, label: str, values: str) -> build.QueryVariable:
    """A variable that a person may narrow; by default it is everything."""
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(values)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def _target(query: Query, ref_id: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(DATASOURCE)
        .ref_id(ref_id)
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
    )


def _thresholds(steps: Mapping[float, str]) -> build.ThresholdsConfig:
    base = model.Threshold(value=None, color=steps.get(BASE, "green" if steps else "text"))
    above = [model.Threshold(value=at, color=color) for at, color in sorted(steps.items()) if at != BASE]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps([base, *above])
