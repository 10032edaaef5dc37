"""`astrolens status`, `candidates` and `alerts tail`: answers of the console, as tables or JSON."""

import heapq
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from astrolens.cli.console_client import PAGE_SIZE, ConsoleUnreachable, Refused, connect, get, iter_items
from astrolens.platform.errors import ConfigurationError

POLL_S = 2.0
"""Between two requests of `alerts tail`."""

WIDE = 150
"""Columns of a terminal that shows all of a table beside ids of 32 digits."""

NARROW = ("p-value", "verdict", "survey", "id")
"""What a narrower one shows of it: 80 columns are enough."""

OVERLAP = timedelta(seconds=30)
"""How far behind the newest message each request begins: a message bears the time at which it was made, and can be
stored after one that was made later."""

_AGO = re.compile(r"^(\d+)\s*([smhd])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_COLOURS = {"running": "green", "ready": "green", "idle": "green", "finished": "green", "starting": "yellow"}


def status(*, as_json: bool, url: str | None, token: str | None) -> None:
    """Print the state of everything."""
    with connect(url, token) as client:
        body = get(client, "/api/status")
    if as_json:
        _print_json(body)
        return
    out = Console(highlight=False)
    table = Table("received", "analyzed", "duplicates", "rejected", "dead-lettered", "in flight", title="Books")
    keys = ("received", "analyzed", "duplicates", "rejected", "dead_lettered", "in_flight")
    table.add_row(*(f"{body[key]:,}" for key in keys))
    out.print(table)
    if body["imbalance"]:
        out.print(f"[red]{printable(body['imbalance'])}[/red]")
    counts = {**body["verdicts"], "alerts": body["alerts"]}
    again = (
        f"   ({body['analyzed_again']:,} images in flight are analysed again; `astrolens surveys` says what waits)"
        if body.get("analyzed_again")
        else ""
    )
    out.print("   ".join(f"{name} [bold]{count:,}[/bold]" for name, count in counts.items()) + again)
    if body["reasons"]:
        out.print("reasons: " + ", ".join(f"{code} {count:,}" for code, count in body["reasons"].items()))
    services = Table("service", "state", "processed", "lag", "detail", title="Services")
    for name, service in body["services"].items():
        lag = "" if service["lag"] is None else f"{service['lag']:,}"
        services.add_row(name, _state(service["state"]), f"{service['processed']:,}", lag, printable(service["detail"]))
    out.print(services)
    sources = Table("source", "state", "delivered", "images/min", "detail", title="Sources")
    for name, source in body["sources"].items():
        rate = f"{source['rate_per_min']:.1f}"
        sources.add_row(name, _state(source["state"]), f"{source['delivered']:,}", rate, printable(source["detail"]))
    out.print(sources)
    model = body["model"]
    named = f"{model['name']} {model['version']}, calibration {model['calibration_id'][:12]}" if "name" in model else ""
    out.print(f"model: {_state(model['state'])} {printable(named or model.get('detail'))}")


def books(*, as_json: bool, recount: bool, url: str | None, token: str | None) -> bool:
    """Print every number of the books; return whether nothing contradicts."""
    with connect(url, token) as client:
        body = get(client, "/api/books", recount=str(recount).lower())
    wrong = [sentence for sentence in (body["imbalance"], *body["miscounted"]) if sentence]
    if as_json:
        _print_json(body)
        return not wrong
    out = Console(highlight=False)
    for title, counts in (("Arrivals", body["receipts"]), ("Images", body["images"]), ("Books", body["books"])):
        table = Table(*(name.replace("_", " ") for name in counts), title=title)
        table.add_row(*(f"{count:,}" for count in counts.values()))
        if counts:
            out.print(table)
    for sentence in wrong:
        out.print(f"[red]{printable(sentence)}[/red]")
    if not wrong:
        out.print("the books balance" + (", and the documents are as many as counted" if recount else ""))
    return not wrong


def candidates(*, as_json: bool, limit: int, every_image: bool, url: str | None, token: str | None) -> None:
    """Print the strangest images, one an object unless every image is wanted."""
    per = "image" if every_image else "object"
    with connect(url, token) as client:
        found = list(islice(iter_items(client, "/api/candidates", page_size=min(PAGE_SIZE, limit), per=per), limit))
    if as_json:
        _print_json(found)
        return
    rows = []
    for item in found:
        words = item["p_value_words"]
        rows.append(
            {
                "p-value": figure_only(words),
                "calibration": words["calibration"].partition(": ")[2],
                "verdict": item["verdict"],
                "class": printable(item["class"]),
                "survey": item["survey"],
                "name": printable(item["name"]),
                **place(item),
                "seen": _times(item),
                "label": item["label"] or "",
                "id": item["image_id"],
            }
        )
    out = Console(highlight=False)
    out.print(record_table(rows, out.width) if rows else "no candidates yet: nothing analysed so far is strange")


def record_table(
    rows: Sequence[Mapping[str, str]], width: int, *, narrow: Sequence[str] = NARROW, whole: str = "id"
) -> Table:
    """Records, a row each, with whole ids, which other commands take.

    Args:
        rows: The cells of each record by their headings.
        width: Of the terminal; where it is less than `WIDE`, only some columns are shown, which the caption says.
        narrow: Those columns.
        whole: The column that is never cut.
    """
    is_narrow = width < WIDE
    table = Table(caption="Widen the terminal for the other columns, or take --json." if is_narrow else None)
    shown = [name for name in rows[0] if not is_narrow or name in narrow]
    for name in shown:
        longest = max(len(row[name]) for row in rows) if name == whole else None
        table.add_column(name, no_wrap=name == whole, min_width=longest)
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    return table


def figure_only(words: Mapping[str, str]) -> str:
    """A p-value without its letter, for a column of its own."""
    return words["figure"].removeprefix("p = ").removeprefix("p ")


def place(item: Mapping[str, Any]) -> dict[str, str]:
    """The columns of an image's position."""
    known = item["ra_deg"] is not None
    return {
        "RA (deg)": f"{item['ra_deg']:.5f}" if known else "",
        "Dec (deg)": f"{item['dec_deg']:+.5f}" if known else "",
    }


def tail(*, as_json: bool, since: str | None, follow: bool, url: str | None, token: str | None) -> None:
    """Print alerts, their updates and retractions as they come, oldest first."""
    now = datetime.now(UTC)
    start = newest = now if since is None else parse_since(since, now=now)
    shown: set[tuple[str, datetime]] = set()
    answered = False
    with connect(url, token) as client:
        while True:
            try:
                for alert in _messages(client, since=max(start, newest - OVERLAP)):
                    message = (alert["alert_id"], _message_time(alert))
                    if message in shown:
                        continue
                    shown.add(message)
                    newest = max(newest, message[1])
                    _print_alert(alert, as_json=as_json, base=str(client.base_url).rstrip("/"))
                shown = {message for message in shown if message[1] >= newest - OVERLAP}
                answered = True
            except (ConsoleUnreachable, Refused):
                # Once it has answered, a console that restarts is waited for.
                if not answered or not follow:
                    raise
            if not follow:
                return
            time.sleep(POLL_S)


def _messages(client: httpx.Client, *, since: datetime) -> Iterator[dict[str, Any]]:
    """The messages of all alerts at or after a time, oldest first; older consoles keep the last one of each only."""
    at = since.isoformat()
    raised = (
        message
        for alert in iter_items(client, "/api/alerts", since=at, order="oldest")
        for message in _of_alert(alert)[:1]
        if message["updated_at"] is None  # the others are in the second list, in the place of their last message
    )
    changed = [
        message
        for alert in iter_items(client, "/api/alerts", updated_since=at, order="oldest")
        for message in _of_alert(alert)
        if message["updated_at"] is not None and _message_time(message) >= since
    ]
    return heapq.merge(raised, sorted(changed, key=_message_time), key=_message_time)


def _of_alert(alert: dict[str, Any]) -> list[dict[str, Any]]:
    """An alert as it was in each of its messages that are known, oldest first."""
    whole = {name: value for name, value in alert.items() if name != "messages"}
    return [
        whole | message | {"updated_at": message["at"] if message["revision"] else None}
        for message in alert.get("messages") or ()
    ] or [whole]


def _message_time(alert: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(alert["updated_at"] or alert["raised_at"])


def parse_since(text: str, *, now: datetime) -> datetime:
    """A time, absolute (UTC where it has no zone) or so long ago.

    Raises:
        ConfigurationError: It is neither.
    """
    if found := _AGO.match(text.strip()):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        time_given = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"--since: {text!r} is no time: write 2026-01-31T20:00 (UTC), or 30m, 12h, 7d for so long ago"
        ) from None
    return time_given if time_given.tzinfo else time_given.replace(tzinfo=UTC)


def printable(text: str | None) -> str:
    """Text of others for a terminal: no markup, and no control characters, which could rewrite the screen."""
    return escape(_one_line(text))


def _one_line(text: str | None) -> str:
    return "".join(each if each.isprintable() else "�" for each in text or "")


def _print_alert(alert: dict[str, Any], *, as_json: bool, base: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps(alert) + "\n")
    else:
        why = alert["update_reason"]
        kind = "" if alert["alert_type"] == "initial" else f" {alert['alert_type']}"
        kind += f": {_one_line(why)}" if why else ""
        at = (alert["updated_at"] or alert["raised_at"])[:19]
        sys.stdout.write(
            f"{at}Z  {_figure(alert)}  {alert['survey']}/{alert['class']}{kind}  {base}{alert['image_url']}\n"
        )
    sys.stdout.flush()


def _times(item: dict[str, Any]) -> str:
    """How often an object was seen, where a list has one image an object."""
    return str(item["object_images"]) if (item.get("object_images") or 1) > 1 else ""


def _figure(alert: dict[str, Any]) -> str:
    words = alert["p_value_words"]
    return f"{words['figure']} ({words['calibration']})" if words["calibration"] else str(words["figure"])


def _print_json(body: Any) -> None:
    sys.stdout.write(json.dumps(body, indent=2) + "\n")


def _state(state: str) -> str:
    colour = _COLOURS.get(state, "red")
    return f"[{colour}]{state}[/{colour}]"
