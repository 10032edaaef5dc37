"""`astrolens ingest`: send files, show the progress, print the outcome."""

import asyncio
import json
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from astrolens.cli.console_client import (
    TIMEOUT,
    ConsoleUnreachable,
    Refused,
    address,
    checked,
    connect,
    console_unreachable,
    headers,
    iter_items,
)
from astrolens.cli.inputs import items_of
from astrolens.cli.show import printable
from astrolens.cli.upload import CONCURRENT, STALLED_S, PipelineStalled, Uploader, UploadSummary

POLL_S = 0.5
"""Between two requests for the progress of the batch."""

_SHOWN_UNREADABLE = 10


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the command."""

    survey: str | None = None
    wait: bool = False
    batch: str | None = None
    batch_size: int = 64
    unreachable_timeout_s: float = 180.0
    as_json: bool = False
    allow_outside: bool = False


def ingest(path: Path, options: Options, *, url: str | None, token: str | None) -> int:
    """Send everything under `path`.

    Returns:
        0 when every file was taken in (with `wait`: and is settled), 1 when one could not be read.

    Raises:
        ConfigurationError: There is nothing to send.
        ConsoleUnreachable: The console did not answer within the timeout.
    """
    return asyncio.run(_ingest(path, options, address(url), token))


async def _ingest(path: Path, options: Options, url: str, token: str | None) -> int:
    out = Console(highlight=False, stderr=options.as_json)
    items = await asyncio.to_thread(items_of, path, allow_outside=options.allow_outside)
    batch = options.batch or f"ingest-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    limits = httpx.Limits(max_connections=CONCURRENT + 2)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=url, headers=headers(token), timeout=TIMEOUT, limits=limits) as client:
        with _progress(out) as progress:
            sending = progress.add_task("sent", total=len(items))
            uploader = Uploader(
                client,
                batch=batch,
                survey=options.survey,
                unreachable_timeout_s=options.unreachable_timeout_s,
                on_sent=lambda count: progress.advance(sending, count),
            )
            showing = asyncio.create_task(_show_settled(client, batch, progress, len(items))) if options.wait else None
            try:
                sent = await uploader.send(items, batch_size=options.batch_size)
            finally:
                if showing is not None:
                    showing.cancel()
                    await asyncio.gather(showing, return_exceptions=True)
            books = await _wait_until_settled(client, batch, progress, sent, options) if options.wait else None
    reasons = {}
    if books and books["rejected"] + books["dead_lettered"]:
        reasons = await asyncio.to_thread(_reasons, url, token, batch)
    summary = _summary(batch, sent, books, reasons, time.monotonic() - began)
    if options.as_json:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    else:
        _print(out, summary, url)
    return 1 if sent.unreadable else 0


def _progress(out: Console) -> Progress:
    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn())
    # Without a terminal a bar is noise in a log.
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=out, disable=not out.is_terminal)


async def _show_settled(client: httpx.AsyncClient, batch: str, progress: Progress, total: int) -> None:
    """Show how many are settled while others are still being sent; what fails is asked again."""
    task = progress.add_task("settled", total=total)
    while True:
        await asyncio.sleep(2 * POLL_S)
        try:
            books = await _books(client, batch)
        except (httpx.TransportError, ConsoleUnreachable, Refused):
            continue
        progress.update(task, completed=books["received"] - books["in_flight"])


async def _wait_until_settled(
    client: httpx.AsyncClient, batch: str, progress: Progress, sent: UploadSummary, options: Options
) -> dict[str, Any]:
    """Wait until everything sent is settled; a console that restarts meanwhile is waited for."""
    task = next((each.id for each in progress.tasks if each.description == "settled"), None)
    answered_at = settled_at = time.monotonic()
    settled = -1
    while True:
        try:
            books = await _books(client, batch)
        except httpx.TransportError as error:
            if time.monotonic() - answered_at > options.unreachable_timeout_s:
                raise console_unreachable(str(client.base_url), error) from error
        else:
            answered_at = time.monotonic()
            if books["settled"] and books["received"] >= sent.files:
                return books
            before, settled = settled, books["received"] - books["in_flight"]
            if task is not None:
                progress.update(task, completed=settled)
            settled_at = answered_at if settled != before else settled_at
            _check_progress(books, batch, unchanged_s=answered_at - settled_at)
        await asyncio.sleep(POLL_S)


async def _books(client: httpx.AsyncClient, batch: str) -> dict[str, Any]:
    """The books of the batch; a console that answers with a fault of its own counts as unreachable."""
    response = await client.get(f"/api/receipts/{batch}/progress")
    if response.is_server_error:
        raise httpx.TransportError(f"it answers {response.status_code}")
    books: dict[str, Any] = checked(response)
    return books


def _check_progress(books: dict[str, Any], batch: str, *, unchanged_s: float) -> None:
    if unchanged_s > STALLED_S:
        raise PipelineStalled(
            f"{books['in_flight']} files of the batch {batch} are in flight and nothing settled for {STALLED_S:.0f} s: "
            "`astrolens status` shows which service does not work; nothing is lost"
        )


def _reasons(url: str, token: str | None, batch: str) -> dict[str, int]:
    """Why files of the batch were rejected or dead-lettered, by reason code."""
    with connect(url, token) as client:
        receipts = iter_items(client, "/api/receipts", batch=batch, outcome=["rejected", "dead_lettered"])
        counts = Counter(receipt["reason"]["code"] for receipt in receipts if receipt["reason"])
    return dict(counts.most_common())


def _summary(
    batch: str, sent: UploadSummary, books: dict[str, Any] | None, reasons: dict[str, int], took_s: float
) -> dict[str, Any]:
    keys = ("received", "analyzed", "duplicates", "rejected", "dead_lettered", "in_flight")
    return {
        "batch": batch,
        "sent": sent.files,
        "new": sent.new,
        "unreadable": sent.unreadable,
        "seconds": round(took_s, 2),
        "outcomes": {key: books[key] for key in keys} if books else None,
        "reasons": reasons,
    }


def _print(out: Console, summary: dict[str, Any], url: str) -> None:
    rate = summary["sent"] / summary["seconds"] if summary["seconds"] else 0.0
    out.print(
        f"{summary['sent']:,} files sent in {summary['seconds']:.1f} s ({rate:.0f}/s), batch {summary['batch']}",
        soft_wrap=True,
    )
    if summary["new"] < summary["sent"]:
        out.print(f"{summary['sent'] - summary['new']:,} of them had arrived under this batch before")
    if summary["outcomes"]:
        table = Table("outcome", "files", "reasons")
        for outcome, count in summary["outcomes"].items():
            why = ", ".join(f"{code} {n:,}" for code, n in summary["reasons"].items()) if outcome == "rejected" else ""
            table.add_row(outcome.replace("_", " "), f"{count:,}", why)
        out.print(table)
    else:
        out.print(f"they are being analysed; follow them at {url} or with `astrolens status`", soft_wrap=True)
    for ref, why in list(summary["unreadable"].items())[:_SHOWN_UNREADABLE]:
        out.print(f"not sent: {printable(ref)} cannot be read ({printable(why)})", soft_wrap=True)
    if (more := len(summary["unreadable"]) - _SHOWN_UNREADABLE) > 0:
        out.print(f"… and {more:,} more that cannot be read")
