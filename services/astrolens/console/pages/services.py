"""Services and sources: which run, and what is wrong with those that do not."""

from collections.abc import Mapping
from typing import Final

from nicegui import ui

from astrolens.console.components.records import Cell, Records, link, reason, state, text, time_ago
from astrolens.console.format import NO_VALUE, count, words
from astrolens.console.pages.page import Visit, address
from astrolens.console.pages.parts import empty_state, panel, paragraph, prose
from astrolens.usecases.status import ServiceView, SourceView, Status

_ALIVE: Final = frozenset({"running", "idle", "finished"})
_AT_WORK: Final = frozenset({"running", "idle"})
"""States of sources whose rate is one."""
_SHOWN_CHARACTERS: Final = 24
"""Longer values, such as digests, are cut; they are whole on hover."""


async def build_services(visit: Visit) -> None:
    """Services, their last errors, and sources."""
    with panel("Services"):
        services = Records(
            visit.window.base,
            "Services",
            ("Service", "State", ">Processed", ">Waiting records", "Heard", "Since", "Version"),
        )
        none = ui.element("div")
        with none:
            empty_state(
                "No service has reported",
                "Each reports every two seconds once it runs. `astrolens up` starts them all; `astrolens doctor` says "
                "what is wrong.",
            )
    with panel("Last errors"):
        errors = Records(visit.window.base, "Last errors", ("Service", "Error"))
        no_error = paragraph("No service reports one.")
    with panel("Sources"):
        sources = SourcesTable(visit)

    def show(status: Status) -> None:
        services.show(
            {name: _service_row(one) for name, one in status.services.items()},
            {name: "away" for name, one in status.services.items() if one.state == "stopped"},
        )
        none.set_visibility(not status.services)
        lines = [(name, line) for name, one in status.services.items() for line in one.last_errors]
        errors.show({str(index): ([text(name)], [text(line, "mono")]) for index, (name, line) in enumerate(lines)})
        no_error.set_visibility(not lines)
        sources.show(status.sources)

    show(await visit.status())
    visit.on_status(show)


class SourcesTable:
    """Where images come from: one that is down is there, grey, with its reason."""

    def __init__(self, visit: Visit) -> None:
        self._table = Records(
            visit.window.base, "Sources", ("Source", "State", ">Rate /min", ">Delivered", "Last success", "Next try")
        )
        self._none = prose(
            "No source reports: images come only from uploads, `astrolens ingest PATH`. Surveys are switched on with "
            "`astrolens up --sources sdss,simulated`."
        )

    def show(self, sources: Mapping[str, SourceView]) -> None:
        """Show the sources of a status."""
        away = {name: "away" for name, one in sources.items() if _source_tone(one) == "away"}
        self._table.show({name: source_row(one) for name, one in sources.items()}, away)
        self._none.set_visibility(not sources)


def _service_tone(service: ServiceView) -> str:
    match service.state:
        case "running" if service.ready:
            return "good"
        case "starting":
            return "wait"
        case "stopped":
            return "away"
        case _:
            return "bad"


def _service_row(service: ServiceView) -> tuple[Cell, ...]:
    named = words(service.service) + (f" × {service.instances}" if service.instances > 1 else "")
    waits = ", not ready" if service.state == "running" and not service.ready else ""
    status = [state(words(service.state) + waits, _service_tone(service))]
    if service.detail:
        status.append(reason(service.detail))
    facts = {words(name): str(value) for name, value in service.info.items() if isinstance(value, str | int | float)}
    status += [
        text(f"{name} {value if len(value) <= _SHOWN_CHARACTERS else value[:12] + '…'}", "fact num", title=value)
        for name, value in facts.items()
    ]
    return (
        [text(named)],
        status,
        [text(count(service.processed), "num")],
        [text(count(service.lag), "num")],
        [time_ago(service.seen_at)],
        [time_ago(service.started_at)],
        [text(service.version, "num")],
    )


def _source_tone(source: SourceView) -> str:
    if source.state == "misconfigured":
        return "bad"
    return "good" if source.state in _ALIVE else "away"


def source_row(source: SourceView) -> tuple[Cell, ...]:
    """A source with its state and, while it works, its rate."""
    status = [state(words(source.state), _source_tone(source))]
    if source.detail:
        status.append(reason(source.detail))
    # What it was set to, or last had, is no rate of one that does not run.
    rate = source.rate_per_min or 0.0 if source.state in _AT_WORK else None
    return (
        [link(source.source, address("/gallery", source=source.source, sort="newest"))],
        status,
        [text(NO_VALUE if rate is None else f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}", "num")],
        [text(count(source.delivered), "num")],
        [time_ago(source.last_success_at, never="not yet")],
        [time_ago(source.next_try_at, past="due") if source.next_try_at else text(NO_VALUE, "muted")],
    )
