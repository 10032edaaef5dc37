"""Catalogues: what they said of the candidates, and how each of them is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from nicegui import ui

from astrolens.console.components.records import Cell, Part, Records, link, reason, state, text, time_ago
from astrolens.console.format import NO_VALUE, count, duration
from astrolens.console.pages.page import Visit, address
from astrolens.console.pages.parts import empty_state, panel, paragraph
from astrolens.usecases.crossmatches import MAX_COUNTED, CrossmatchSummary

REFRESH_S: Final = 5.0
"""Between two looks; each instance of the service tells of its catalogues every few seconds."""

_BREAKERS: Final = {
    "open": ("left alone after failures", "bad"),
    "half_open": ("tested before it is asked again", "wait"),
    "unproven": ("not tested yet", "wait"),
    "closed": ("works", "good"),
}
"""Words and tone of a breaker's state, the worst first."""

_NOT_ASKED: Final = ("not asked yet", "wait")
_ONLY_TESTED: Final = ("tested, not asked yet", "good")
"""A breaker is closed at first, too: what never answered does not work for that."""

_UNKNOWN: Final = ("state not known", "away")


async def build_catalogues(visit: Visit) -> None:
    """What is known of the candidates, and the catalogues."""
    with panel("Candidates by what the catalogues know"):
        counts = Records(visit.window.base, "Candidates", ("What is known", ">Candidates", "What it means"))
    with panel("Catalogues"):
        table = Records(
            visit.window.base,
            "Catalogues",
            ("Catalogue", "State", "Last answer", ">Latency", "Last test", "Next try", "Release"),
        )
        none = ui.element("div")
        with none:
            empty_state(
                "No catalogue reports",
                "The `crossref` service asks them and tells how they are; it does not run, or has not reported for a "
                "while. Candidates stay undetermined until it does.",
            )
        paragraph("Watchlists and private catalogues are not listed here: their matches stay out of public alerts.")

    async def read() -> None:
        found = await visit.context.crossmatches.summary()
        if table.is_deleted:
            return
        counts.show(count_rows(found))
        table.show({name: catalogue_row(name, each) for name, each in sorted_catalogues(found.catalogues)})
        none.set_visibility(not found.catalogues)

    await read()
    visit.refresh(read, every_s=REFRESH_S)


def count_rows(found: CrossmatchSummary) -> dict[str, tuple[Cell, ...]]:
    """The number of candidates of each status, with a link to their images."""
    waiting = count(found.waiting) + (" or more" if found.waiting >= MAX_COUNTED else "")
    rows = {
        "known": ("known", "known", count(found.known), "a catalogue has an object that it can be"),
        "unmatched": (
            "possible discoveries",
            "unmatched",
            count(found.unmatched),
            "every required catalogue covers the place, answered, and has nothing",
        ),
        "undetermined": (
            "undetermined",
            "undetermined",
            count(found.undetermined),
            "a required catalogue could not tell, or there is no place to ask about",
        ),
        "waiting": (
            "waiting",
            "undetermined",
            waiting,
            "asked now or again by themselves; most of them are among the undetermined, where the link leads",
        ),
    }
    return {
        name: (
            [link(title, address("/gallery", crossmatch=status, simulated="any"))],
            [text(number, "num")],
            [text(meaning, "muted")],
        )
        for name, (title, status, number, meaning) in rows.items()
    }


def sorted_catalogues(catalogues: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Catalogues, the required ones first, then by name."""
    return sorted(
        catalogues.items(), key=lambda each: (not each[1].get("required"), bool(each[1].get("local")), each[0])
    )


def catalogue_row(name: str, catalogue: Mapping[str, Any]) -> tuple[Cell, ...]:
    """A catalogue as all instances of the crossref service see it: the worst state, the last answer."""
    instances = list(catalogue["instances"].values())
    local = bool(catalogue.get("local"))
    need = "required" if catalogue.get("required") else "informative"
    title: list[Part] = [text(name), text(need, "fact"), reason(str(catalogue.get("host") or ""))]
    release: list[Part] = [text(str(catalogue.get("release") or NO_VALUE))]
    if local:
        rows = max((each.get("rows") or 0 for each in instances), default=0)
        release.append(reason(f"{count(rows)} rows" + (f". {credit}" if (credit := catalogue.get("credit")) else "")))
        nothing = text(NO_VALUE, "muted", title="A file on this machine: it always answers")
        return (title, [state("on this machine", "good")], [nothing], [nothing], [nothing], [nothing], release)
    worst = _worst(instances)
    latency_s = max((each["latency_s"] for each in instances if each.get("latency_s") is not None), default=None)
    retry_at = _time(worst, "retry_at")
    return (
        title,
        _state_cell(worst, instances),
        [time_ago(_latest(instances, "last_answer_at"), never="not yet")],
        [text(duration(latency_s), "num", title="Of the last question; the slowest instance's")],
        [time_ago(_latest(instances, "canary_at"), never="not yet")],
        [time_ago(retry_at, past="due") if retry_at else text(NO_VALUE, "muted")],
        release,
    )


def _worst(instances: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    order = list(_BREAKERS)

    def rank(each: Mapping[str, Any]) -> int:
        breaker = each.get("breaker")
        return order.index(breaker) if breaker in order else len(order)

    return min(instances, key=rank, default={})


def _state_cell(worst: Mapping[str, Any], instances: Sequence[Mapping[str, Any]]) -> Cell:
    words, tone = _BREAKERS.get(str(worst.get("breaker")), _UNKNOWN)
    if worst.get("breaker") == "closed" and _latest(instances, "last_answer_at") is None:
        words, tone = _ONLY_TESTED if _latest(instances, "canary_at") else _NOT_ASKED
    cell = [state(words, tone)]
    if why := worst.get("reason"):
        cell.append(reason(str(why)))
    same = sum(each.get("breaker") == worst.get("breaker") for each in instances)
    if same < len(instances):
        cell.append(reason(f"at {same} of {len(instances)} instances of the service"))
    return cell


def _latest(instances: Sequence[Mapping[str, Any]], field: str) -> datetime | None:
    return max((at for each in instances if (at := _time(each, field))), default=None)


def _time(state: Mapping[str, Any], field: str) -> datetime | None:
    given = state.get(field)
    return datetime.fromisoformat(given) if given else None
