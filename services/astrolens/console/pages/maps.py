"""Maps of a list: the sky, and the model's space; a point opens its image."""

from collections.abc import Iterable
from typing import Any, Final

from nicegui import ui
from nicegui.events import EChartPointClickEventArguments

from astrolens.console.format import count
from astrolens.console.pages.charts import ANOMALY, LINE, NEAR_MISS, TEXT, chart
from astrolens.console.pages.image_lists import LIST, FilterBar, context_query, list_query, wanted_of
from astrolens.console.pages.page import Page, Visit
from astrolens.console.pages.parts import empty_state, heading, panel, paragraph
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.image_queries import RANKED_SORTS
from astrolens.usecases.maps import ImageMap, mollweide
from astrolens.usecases.plurals import plural
from astrolens.usecases.search_text import with_parsed_text

HEIGHT_PX: Final = 460
SKY_ASPECT: Final = 1.7
"""Width to height of the sky's chart with its legend: the sky itself is about as wide as twice its height."""

_SERIES: Final = (
    ("none", "not analysed", "#5b6d7e", "circle"),
    ("ordinary", "ordinary", "#8aa0b5", "circle"),
    ("near_miss", "near miss", NEAR_MISS, "triangle"),
    ("anomaly", "anomaly", ANOMALY, "diamond"),
)
"""Verdicts with their words, colours and shapes; the strange ones are drawn last."""


async def build(visit: Visit) -> None:
    """Filters as the gallery has them, and both maps."""
    status = await visit.status()
    wanted = list_query(visit.query, simulated=visit.simulated)
    chosen, sort = wanted_of(wanted)
    if sort in RANKED_SORTS:
        raise InvalidRequest("No such order", "A map has no order of interest: choose another sort.")
    heading(1, "Map").classes("visually-hidden")
    bar = FilterBar(visit, status)
    await bar.show_total(wanted)
    context = visit.context
    chosen = await with_parsed_text(context.records, chosen)
    with ui.element("div").classes("columns even"):
        with panel("On the sky"):
            _Map(visit, await context.maps.sky(chosen, sort=sort), "without a position", graticule()).show()
        with panel("In the model's space"):
            _Map(visit, await context.maps.embeddings(chosen, sort=sort), "not analysed by this model").show()


class _Map:
    """One map, or why there is none."""

    def __init__(self, visit: Visit, shown: ImageMap, lacking: str, lines: Iterable[dict[str, Any]] = ()) -> None:
        self._visit = visit
        self._shown = shown
        self._lacking = lacking
        self._lines = list(lines)
        by_verdict = [[point for point in shown.points if point.verdict == verdict] for verdict, *_ in _SERIES]
        self._ids = [tuple(point.image_id for point in points) for points in by_verdict]
        self._series = [
            {
                "type": "scatter",
                "name": word,
                "symbol": symbol,
                "symbolSize": 9,
                "itemStyle": {"color": colour, "opacity": 0.85},
                "encode": {"x": 0, "y": 1, "itemName": 2},
                "data": tuple((round(each.x, 4), round(each.y, 4), each.name) for each in points),
            }
            for (_, word, colour, symbol), points in zip(_SERIES, by_verdict, strict=True)
        ]

    def show(self) -> None:
        """Add it to the page."""
        shown = self._shown
        if not shown.points:
            empty_state("Nothing to show here", f"{plural(shown.left_out, 'image is', 'images are')} {self._lacking}.")
            return
        axis = {"show": False, "scale": not self._lines}
        number = len(shown.points)
        options = {
            "xAxis": axis | ({"min": -2.9, "max": 2.9} if self._lines else {}),
            "yAxis": axis | ({"min": -1.5, "max": 1.5} if self._lines else {}),
            "legend": {"textStyle": {"color": TEXT}, "top": 0, "data": tuple(word for _, word, *_ in _SERIES[1:])},
            # Names come from outside: drawn as text, never as HTML.
            "tooltip": {"trigger": "item", "renderMode": "richText", "formatter": "{b}"},
            "series": self._series + self._lines,
        }
        if self._lines:
            options["grid"] = {"left": 0, "right": 0, "top": 26, "bottom": 2}
        found = chart(f"{plural(number, 'image')}; the gallery lists them", HEIGHT_PX, options)
        if self._lines:
            found.style(f"height: auto; aspect-ratio: {SKY_ASPECT}")
        found.on_point_click(self._open)
        first = "" if shown.complete else "The first of the list; "
        without = f", {count(shown.left_out)} {self._lacking}" if shown.left_out else ""
        axes = " Right ascension grows to the left, declination upwards." if self._lines else ""
        paragraph(f"{first}{plural(number, 'image')}{without}. A point opens its image.{axes}")

    def _open(self, event: EChartPointClickEventArguments) -> None:
        # A client says what it likes.
        if event.series_index < len(self._ids) and event.data_index < len(self._ids[event.series_index]):
            image = self._ids[event.series_index][event.data_index]
            self._visit.go(f"/image/{image}?{context_query(self._visit.query)}".rstrip("?"))


def graticule() -> list[dict[str, Any]]:
    """Lines of right ascension and declination, each 30 degrees, and their numbers."""
    meridians = [[mollweide(ra, dec) for dec in range(-90, 91, 5)] for ra in (*range(0, 360, 30), 179.999)]
    parallels = [[mollweide(ra, dec) for ra in (*range(181, 360, 6), *range(0, 180, 6))] for dec in range(-60, 61, 30)]
    lines: list[dict[str, Any]] = [
        {
            "type": "line",
            "data": tuple((round(x, 3), round(y, 3)) for x, y in line),
            "showSymbol": False,
            "silent": True,
            "lineStyle": {"color": LINE, "width": 1},
            "z": 1,
        }
        for line in (*meridians, *parallels)
    ]
    numbered = [(f"{ra}°", mollweide(ra, 0.0)) for ra in (0, 60, 120, 240, 300)]
    numbered += [(f"{dec:+d}°", mollweide(180.001, dec)) for dec in (-60, -30, 30, 60)]
    numbers = {
        "type": "scatter",
        "symbolSize": 1,
        "silent": True,
        "itemStyle": {"color": "transparent"},
        "label": {"show": True, "formatter": "{b}", "color": TEXT, "fontSize": 11, "position": "top", "distance": 1},
        "data": tuple({"name": name, "value": (round(x, 3), round(y, 3))} for name, (x, y) in numbered),
    }
    return [*lines, numbers]


PAGE = Page(path="/map", title="Map", build=build, query=LIST)
