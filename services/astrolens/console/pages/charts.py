"""The looks that every chart shares. Data of a chart are tuples: NiceGUI wraps every list, at 100 bytes each."""

from typing import Any, Final

from nicegui import ui

TEXT: Final = "#b4c2cf"
LINE: Final = "#2b3947"
ACCENT: Final = "#6cb6ff"
ANOMALY: Final = "#ffb454"
NEAR_MISS: Final = "#c3a6ff"


def axis(kind: str = "value", **more: Any) -> dict[str, Any]:
    """An axis of a chart."""
    line = {"lineStyle": {"color": LINE}}
    return {
        "type": kind,
        "axisLine": line,
        "splitLine": line,
        "axisLabel": {"color": TEXT},
        "nameTextStyle": {"color": TEXT},
        **more,
    }


def chart(label: str, height_px: int, options: dict[str, Any]) -> ui.echart:
    """A chart.

    Args:
        label: What it shows, for screen readers.
        height_px: Its height.
        options: ECharts options beside what all charts share.
    """
    shared = {
        "animation": False,
        "textStyle": {"fontFamily": "system-ui, sans-serif", "color": TEXT, "fontSize": 12},
        "grid": {"left": 16, "right": 24, "top": 34, "bottom": 24, "containLabel": True},
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            "backgroundColor": "#1a2530",
            "borderColor": LINE,
            "textStyle": {"color": "#e3eaf1", "fontSize": 12},
        },
    }
    found = ui.echart(shared | options, renderer="svg").classes("chart").style(f"height: {height_px}px")
    found.props["role"], found.props["aria-label"] = "img", label
    return found
