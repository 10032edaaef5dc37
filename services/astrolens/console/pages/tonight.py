"""Tonight: the strangest new images first, then the books, the sources, the pace."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from statistics import median
from typing import Final

from nicegui import ui

from astrolens.console.format import count, duration, words
from astrolens.console.pages import discoveries
from astrolens.console.pages.books import Books
from astrolens.console.pages.image_lists import simulated_switch
from astrolens.console.pages.page import Page, Visit
from astrolens.console.pages.parts import button, empty_state, heading, hint, panel, tagged
from astrolens.console.pages.services import SourcesTable
from astrolens.console.pages.strangest_images import StrangestImages
from astrolens.console.pages.surveys import Surveys
from astrolens.contracts.base import utc_now
from astrolens.usecases.image_queries import ImageFilter, Sort
from astrolens.usecases.status import Status
from astrolens.usecases.views import ImageCard

NIGHT: Final = timedelta(hours=24)
"""A night, whatever the longitude."""

SHOWN: Final = 12

_LATENCY_IMAGES: Final = 60
_REFRESH_S: Final = 2.0
"""The strip is read again after new images, but not more often than anyone looks."""

_HISTORY: Final = 120
_RATE_OVER_S: Final = 10.0


async def build(visit: Visit) -> None:
    """The strip of the strangest unanswered images, the books, sources and pace."""
    surveys = Surveys(visit)
    surveys.add_notices()
    with ui.element("div").classes("section-head"):
        title = heading(1, "Strangest of tonight")
        visit.hint(
            "tonight", "`←` `→` choose an image, `1` `2` `3` answer it, `u` takes that back; `?` lists all keys."
        )
        simulated_switch(visit)
    strip = _Strip(visit, title)
    await strip.read()
    await discoveries.add_line(visit)
    await Books.build(visit)
    with ui.element("div").classes("columns"):
        with panel("Sources") as head:
            with head:
                button("Upload images", lambda: visit.go("/upload"), tiny=True)
            sources = SourcesTable(visit)
        with panel("Pace"):
            pace = _Pace(visit)
    await surveys.load()

    async def show(status: Status) -> None:
        sources.show(status.sources)
        pace.show(status)

    status = await visit.status()
    sources.show(status.sources)
    pace.show(status)
    await pace.measure()
    visit.on_status(show)
    visit.refresh(strip.read, every_s=_REFRESH_S, of=lambda status: status.analyzed)


class _Strip:
    """The strangest images that nobody has answered: of the night, else of all."""

    def __init__(self, visit: Visit, title: ui.label) -> None:
        self._visit = visit
        self._title = title
        self._carousel = StrangestImages(visit, self.read)
        self._empty = ui.element("div")

    async def read(self) -> None:
        """Read the strip anew."""
        simulated = None if self._visit.simulated else False
        night = ImageFilter(unlabeled=True, simulated=simulated, since=utc_now() - NIGHT)
        cards, named = await self._strangest(night), "Strangest of tonight"
        if not cards:
            cards = await self._strangest(ImageFilter(unlabeled=True, simulated=simulated))
            named = "Strangest so far; nothing new tonight" if cards else "Strangest of tonight"
        self._title.text = named
        self._carousel.show(cards)
        self._empty.set_visibility(not cards)
        if not cards:
            await self._explain()

    async def _strangest(self, wanted: ImageFilter) -> Sequence[ImageCard]:
        return (await self._visit.context.archive.images(wanted, sort=Sort.STRANGENESS, limit=SHOWN)).items

    async def _explain(self) -> None:
        self._empty.clear()
        with self._empty:
            hidden = not self._visit.simulated and await self._strangest(ImageFilter(unlabeled=True, simulated=True))
            if hidden:
                empty_state(
                    "No real image waits for an answer",
                    "There are images of the simulated sky, which are shown only where that is asked for.",
                )
                with ui.element("p").classes("choices"):
                    button("Show simulated images", lambda: self._visit.show_simulated(True))
            elif (await self._visit.status()).analyzed:
                empty_state("Every image here is answered", "New ones appear as they are analysed.")
            else:
                empty_state(
                    "Nothing is analysed yet",
                    "Images come from a source (below) or from you: `astrolens ingest PATH`. The strangest are here.",
                )


class _Pace:
    """How fast images go through, since this page was opened."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._history: deque[tuple[float, int, int]] = deque(maxlen=_HISTORY)
        self._measured_at = float("-inf")
        self._analyzed = -1
        with ui.element("dl").classes("facts"):
            self._rates, self._rate, _ = _line("Analysed", "Images a second since this page opened")
            self._waits, self._waiting, self._work = _line("In flight", "Arrivals without a verdict since then")
            self._delays, self._latency, self._worst = _line("Latency", "Arrival to verdict of the newest images")
            tagged("dt", "Model")
            with ui.element("dd"):
                self._model = ui.link("none", "/model")
            tagged("dt", "Services")
            with ui.element("dd"):
                self._services = ui.link("none report", "/system")

    def show(self, status: Status) -> None:
        """Show the numbers of a status."""
        self._history.append((time.monotonic(), status.analyzed, status.in_flight))
        rates = [
            max(0.0, (after[1] - before[1]) / max(after[0] - before[0], 1e-3))
            for before, after in zip(self._history, list(self._history)[1:], strict=False)
        ]
        rate = self._rate_now()
        self._rate.text = (
            "measuring" if rate is None else f"{rate:.0f} images/s" if rate >= 10 else f"{rate:.1f} images/s"
        )
        self._rates.content = sparkline(rates)
        self._waiting.text = count(status.in_flight)
        self._work.text = f"about {duration(status.in_flight / rate)} of work" if rate and status.in_flight else ""
        self._waits.content = sparkline([each[2] for each in self._history])
        reachable = status.model.get("state") == "ready"
        self._model.text = status.model.get("name") or ("none" if reachable else "does not answer")
        hint(self._model, str(status.model.get("digest") or status.model.get("detail") or ""))
        down = [
            f"{words(name)} {one.state}"
            for name, one in status.services.items()
            if one.state not in {"running", "starting"}
        ]
        running = f"all {len(status.services)} running" if status.services else "none report"
        self._services.text = ", ".join(down) or running
        self._services.classes(add="text-negative" if down else "", remove="" if down else "text-negative")

    async def measure(self) -> None:
        """Read the latency of the newest images."""
        newest = await self._visit.context.archive.images(ImageFilter(), sort=Sort.NEWEST, limit=_LATENCY_IMAGES)
        delays = [
            (each.analyzed_at - each.ingested_at).total_seconds() for each in reversed(newest.items) if each.analyzed_at
        ]
        delays = [each for each in delays if each >= 0]
        self._delays.content = sparkline(delays)
        self._latency.text = duration(median(delays)) if delays else "–"
        self._worst.text = f"median, slowest {duration(max(delays))}" if delays else ""

    def _rate_now(self) -> float | None:
        if len(self._history) < 2:
            return None
        newest = self._history[-1]
        oldest = next(
            (each for each in reversed(self._history) if newest[0] - each[0] > _RATE_OVER_S), self._history[0]
        )
        return max(0.0, (newest[1] - oldest[1]) / max(newest[0] - oldest[0], 1e-3))


def _line(name: str, label: str) -> tuple[ui.html, ui.label, ui.label]:
    """A name with a line of recent values, the present one, and a remark."""
    tagged("dt", name)
    with ui.element("dd"):
        plot = ui.html(sparkline([]), sanitize=False, tag="span").classes("vertical-middle q-mr-sm inline-block")
        plot.props["role"], plot.props["aria-label"] = "img", label
        return plot, tagged("b", "", "num"), tagged("span", "", "muted num")


def sparkline(values: Sequence[float], *, width: int = 132, height: int = 30) -> str:
    """A line of recent values as SVG: it is made of numbers only."""
    foot, line = height - 3, ""
    base = f'<line x1="2" x2="{width - 2}" y1="{foot}" y2="{foot}" class="v-ordinary" stroke="currentColor"/>'
    if len(values) >= 2:
        top, step = max(*values, 1e-9), (width - 4) / (len(values) - 1)
        points = " ".join(
            f"{2 + at * step:.1f},{foot - value / top * (height - 6):.1f}" for at, value in enumerate(values)
        )
        drawn = 'class="text-primary" fill="none" stroke="currentColor" stroke-width="1.6"'
        line = f'<polyline points="{points}" {drawn}/>'
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">{base}{line}</svg>'
    )


PAGE = Page(path="/", title="Tonight", build=build, key="Shift+T", query=("simulated",))
