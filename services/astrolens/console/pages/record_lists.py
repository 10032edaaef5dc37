"""The lists behind the books' numbers: arrivals and alerts, a page at a time."""

from typing import Final

from nicegui import ui

from astrolens.console.components.records import Cell, Part, Records, link, reason, state, text, time_ago
from astrolens.console.format import byte_size, count, words
from astrolens.console.pages.page import Bound, Visit, shortcuts
from astrolens.console.pages.parts import button, empty_state, panel, select
from astrolens.contracts.records import Delivery, Outcome
from astrolens.usecases.alert_views import AlertView
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.views import ReceiptView

PAGE_ROWS: Final = 50
"""Records a page: more than a screen, few enough that a window costs little memory."""

_TONES: Final = {
    Outcome.RECEIVED: "wait",
    Outcome.ACCEPTED: "good",
    Outcome.DUPLICATE: "away",
    Outcome.REJECTED: "away",
    Outcome.DEAD_LETTERED: "bad",
}


async def build_receipts(visit: Visit) -> None:
    """Arrivals by outcome and reason."""
    chosen = visit.query.get("outcome", "")
    if chosen not in {"", *Outcome}:
        raise InvalidRequest("No such outcome", f"{chosen[:40]!r} is no outcome: choose of {', '.join(Outcome)}")
    why = visit.query.get("reason", "")
    page = await visit.context.archive.receipts(
        outcomes=(Outcome(chosen),) if chosen else (),
        reason=why or None,
        source=visit.query.get("source"),
        batch=visit.query.get("batch"),
        limit=PAGE_ROWS,
        after=visit.query.get("after"),
    )
    reasons = (await visit.status()).reasons
    with panel("Arrivals", total=page.total) as head:
        with head:
            select(
                visit.window,
                "Outcome",
                {"": "any"} | {each.value: words(each) for each in Outcome},
                chosen,
                lambda value: visit.go(outcome=value, reason="", after=""),
            )
            named = {code: f"{code.replace('-', ' ')} ({count(n)})" for code, n in sorted(reasons.items())}
            select(visit.window, "Reason", {"": "any"} | named, why, lambda value: visit.go(reason=value, after=""))
        if page.items:
            table = Records(visit.window.base, "Arrivals", ("What", "Outcome", "Source", ">Size", "Arrived"))
            table.show({each.receipt_id: receipt_row(each) for each in page.items})
        elif chosen or why:
            title = f"No arrival was {words(chosen)}" if chosen else "No arrival has this reason"
            empty_state(title, "That is what the books say too.")
        else:
            empty_state("Nothing has arrived yet", "Feed a folder with `astrolens ingest PATH`, or switch a source on.")
    add_turning(visit, page.next, title="Arrivals")


async def build_alerts(visit: Visit) -> None:
    """Alerts, with how far each got."""
    page = await visit.context.archive.alerts(
        survey=visit.query.get("survey"), limit=PAGE_ROWS, after=visit.query.get("after")
    )
    with panel("Alerts", total=page.total):
        if page.items:
            table = Records(visit.window.base, "Alerts", ("Image", "Verdict", "Kind", "Where to", "Raised"))
            table.show({each.alert_id: _alert_row(each) for each in page.items})
        else:
            empty_state(
                "No alert was raised yet",
                "Every anomaly raises one, on the public topics and on the channels of ASTROLENS_NOTIFY_URLS.",
            )
    add_turning(visit, page.next, title="Alerts")


def add_turning(visit: Visit, after: str | None, *, title: str) -> None:
    """What turns the pages of a list: the next one, the first one, and their keys."""
    bound: list[Bound] = [("n", "Read the list again", lambda: visit.go(visit.address(after="", open="")))]
    with ui.element("p").classes("list-end"):
        if visit.query.get("after"):
            ui.link("From the start", visit.address(after="", open="")).classes("btn")
        if after:
            button(f"Next {PAGE_ROWS}", lambda: visit.go(after=after, open=""), key="l")
            bound.append(("l", f"More of the list: the next {PAGE_ROWS}", lambda: visit.go(after=after, open="")))
    visit.keys(*shortcuts(*bound), title=title)


def receipt_row(receipt: ReceiptView) -> tuple[Cell, ...]:
    """The cells of an arrival."""
    named = receipt.name or receipt.ref
    shown = receipt.image_id is not None and receipt.outcome is not Outcome.REJECTED
    status: list[Part] = [state(words(receipt.outcome), _TONES[receipt.outcome])]
    if receipt.reason:
        status.append(reason(receipt.reason.detail))
    return (
        [link(named, f"/image/{receipt.image_id}", classes="name") if shown else text(named, "name")],
        status,
        [text(receipt.source)],
        [text(byte_size(receipt.size_bytes), "num")],
        [time_ago(receipt.received_at)],
    )


def _alert_row(alert: AlertView) -> tuple[Cell, ...]:
    said = alert.p_value_words
    verdict = [
        text(words(alert.verdict), f"mark v-{alert.verdict}"),
        text(said.figure, "num"),
        text(said.meaning, "muted num"),
    ]
    kind = [text(alert.alert_type)]
    if alert.alert_tense != "current":
        kind.append(text(alert.alert_tense, "tag static"))
    if alert.updated_at and alert.update_reason:
        kind += [time_ago(alert.updated_at), reason(alert.update_reason)]
    where = [text(alert.topic or "not public", "mono"), *(_delivery(each) for each in alert.deliveries)]
    return (
        [
            link(
                f"{alert.survey} {words(alert.predicted_class)}",
                f"/image/{alert.image_id}",
                picture=alert.cutout_url,
                classes="with-thumb",
            )
        ],
        verdict,
        kind,
        where,
        [time_ago(alert.raised_at)],
    )


def _delivery(delivery: Delivery) -> Part:
    tone = {"delivered": "good", "failed": "bad"}.get(delivery.state, "wait")
    why = f": {delivery.error}" if delivery.error else ""
    return text(f"{delivery.state} {delivery.channel}{why}", f"reason state s-{tone}")
