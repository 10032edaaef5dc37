"""`astrolens status`, `candidates` and `alerts tail`: what the console knows, as tables or JSON."""

import json
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from astrolens.cli.console_client import ConsoleUnreachable, Refused, connect, get
from astrolens.platform.errors import ConfigurationError

POLL_S = 2.0
"""Between two looks of `alerts tail`."""

_PAGE = 200
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
    books = Table("received", "analyzed", "duplicates", "rejected", "dead-lettered", "in flight", title="Books")
    keys = ("received", "analyzed", "duplicates", "rejected", "dead_lettered", "in_flight")
    books.add_row(*(f"{body[key]:,}" for key in keys))
    out.print(books)
    counts = {**body["verdicts"], "alerts": body["alerts"]}
    out.print("   ".join(f"{name} [bold]{count:,}[/bold]" for name, count in counts.items()))
    if body["reasons"]:
        out.print("reasons: " + ", ".join(f"{code} {count:,}" for code, count in body["reasons"].items()))
    services = Table("service", "state", "processed", "lag", "detail", title="Services")
    for name, service in body["services"].items():
        lag = "" if service["lag"] is None else f"{service['lag']:,}"
        services.add_row(name, _state(service["state"]), f"{service['processed']:,}", lag, plain(service["detail"]))
    out.print(services)
    sources = Table("source", "state", "delivered", "images/min", "detail", title="Sources")
    for name, source in body["sources"].items():
        rate = f"{source['rate_per_min']:.1f}"
        sources.add_row(name, _state(source["state"]), f"{source['delivered']:,}", rate, plain(source["detail"]))
    out.print(sources)
    model = body["model"]
    named = f"{model['name']} {model['version']}, calibration {model['calibration_id'][:12]}" if "name" in model else ""
    out.print(f"model: {_state(model['state'])} {plain(named or model.get('detail'))}")


def candidates(*, as_json: bool, limit: int, url: str | None, token: str | None) -> None:
    """Print the strangest images."""
    found: list[dict[str, Any]] = []
    after = None
    with connect(url, token) as client:
        while len(found) < limit:
            page = get(client, "/api/candidates", limit=min(_PAGE, limit - len(found)), after=after)
            found += page["items"]
            after = page["next"]
            if after is None:
                break
    if as_json:
        _print_json(found)
        return
    table = Table("p-value", "verdict", "class", "survey", "name", "RA (deg)", "Dec (deg)", "label", "id")
    for item in found:
        place = ("", "") if item["ra_deg"] is None else (f"{item['ra_deg']:.5f}", f"{item['dec_deg']:+.5f}")
        said = (f"{item['p_value']:.2g}", item["verdict"], plain(item["class"]), item["survey"], plain(item["name"]))
        table.add_row(*said, *place, item["label"] or "", item["image_id"])
    Console(highlight=False).print(table if found else "no candidates yet: nothing analysed so far is strange")


def tail(*, as_json: bool, since: str | None, follow: bool, url: str | None, token: str | None) -> None:
    """Print alerts as they come, oldest first."""
    now = datetime.now(UTC)
    start = (now if since is None else parse_since(since, now=now)).isoformat()
    shown: set[str] = set()
    with connect(url, token) as client:
        alerts = _alerts_since(client, start)
        while True:
            for alert in alerts:
                if alert["alert_id"] not in shown:
                    _print_alert(alert, as_json=as_json, base=str(client.base_url).rstrip("/"))
            if not follow:
                return
            if alerts:
                # From the last one on, that one included: several may carry the same time.
                start = alerts[-1]["raised_at"]
                shown = {alert["alert_id"] for alert in alerts if alert["raised_at"] == start}
            time.sleep(POLL_S)
            try:
                alerts = _alerts_since(client, start)
            except (ConsoleUnreachable, Refused):
                # It answered before: a console that restarts is worth waiting for.
                alerts = []


def _alerts_since(client: httpx.Client, start: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = get(client, "/api/alerts", since=start, order="oldest", limit=_PAGE, after=after)
        found += page["items"]
        after = page["next"]
        if after is None:
            return found


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


def plain(text: str | None) -> str:
    """Text of others for a terminal: no markup, and no control characters, which could rewrite the screen."""
    return escape("".join(each if each.isprintable() else "�" for each in text or ""))


def _print_alert(alert: dict[str, Any], *, as_json: bool, base: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps(alert) + "\n")
    else:
        kind = "" if alert["alert_type"] == "initial" else f" {alert['alert_type']}"
        sys.stdout.write(
            f"{alert['raised_at'][:19]}Z  p={alert['p_value']:.2g}  {alert['survey']}/{alert['class']}{kind}  "
            f"{base}{alert['image_url']}\n"
        )
    sys.stdout.flush()


def _print_json(body: Any) -> None:
    sys.stdout.write(json.dumps(body, indent=2) + "\n")


def _state(state: str) -> str:
    colour = _COLOURS.get(state, "red")
    return f"[{colour}]{state}[/{colour}]"
