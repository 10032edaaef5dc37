"""`astrolens ingest`: send files, show the progress, print the outcome."""

import asyncio
import json
import re
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from astrolens.cli.archives import expand_archives, is_archive
from astrolens.cli.console_client import (
    TIMEOUT,
    ConsoleUnreachable,
    Refused,
    address,
    connect,
    console_unreachable,
    headers,
    iter_items,
    parse_response,
)
from astrolens.cli.inputs import Item, Remarks, find_items
from astrolens.cli.show import printable
from astrolens.cli.upload import MAX_CONCURRENT, STALL_TIMEOUT_S, PipelineStalled, Uploader, UploadSummary
from astrolens.cli.wire_format import load_schema
from astrolens.platform.errors import ConfigurationError
from astrolens.usecases.submissions import BATCH_PATTERN, ImageDescription

POLL_S = 0.5
"""Between two requests for the progress of the batch."""

_COUNTED_ITEMS: Final = 100_000
"""Items that are found before the first is sent, so that their number is known: 50 MB of memory."""

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
    schema: Path | None = None


def ingest(path: Path, options: Options, *, url: str | None, token: str | None) -> int:
    """Send everything under `path`.

    Returns:
        0 when every file was taken in (with `wait`: and is settled), 1 when one could not be read or taken, or when
        nothing at all was accepted.

    Raises:
        ConfigurationError: There is nothing to send.
        ConsoleUnreachable: The console did not answer within the timeout.
    """
    return asyncio.run(_ingest(path, options, address(url), token))


async def _ingest(path: Path, options: Options, url: str, token: str | None) -> int:
    out = Console(highlight=False, stderr=options.as_json)
    _check(options)
    remarks = Remarks()
    items, total = await asyncio.to_thread(_counted, path, remarks, options)
    batch = options.batch or f"ingest-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"
    limits = httpx.Limits(max_connections=MAX_CONCURRENT + 2)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=url, headers=headers(token), timeout=TIMEOUT, limits=limits) as client:
        with _progress(out) as progress:
            sending = progress.add_task("sent", total=total)
            uploader = Uploader(
                client,
                batch=batch,
                survey=options.survey,
                unreachable_timeout_s=options.unreachable_timeout_s,
                on_sent=lambda count: progress.advance(sending, count),
            )
            showing = asyncio.create_task(_show_settled(client, batch, progress, total)) if options.wait else None
            try:
                sent = await uploader.send(items, batch_size=options.batch_size)
            finally:
                if showing is not None:
                    showing.cancel()
                    await asyncio.gather(showing, return_exceptions=True)
            # A batch of which nothing was sent is unknown to the console.
            wanted = options.wait and sent.files > 0
            books = await _wait_until_settled(client, batch, progress, sent, options) if wanted else None
    reasons = {}
    if books and books["rejected"] + books["dead_lettered"]:
        reasons = await asyncio.to_thread(_reasons, url, token, batch)
    summary = _summary(batch, sent, books, reasons, remarks, time.monotonic() - began)
    if options.as_json:
        sys.stdout.write(json.dumps(summary, indent=2) + "\n")
    else:
        _print(out, summary, remarks, url)
    return 1 if sent.unreadable or sent.refused or _nothing_accepted(sent, books) else 0


def _check(options: Options) -> None:
    """Refuse at once what the console would refuse of every request.

    Raises:
        ConfigurationError: The survey or the batch is no name.
    """
    try:
        ImageDescription(survey=options.survey)
    except ValidationError:
        raise ConfigurationError(
            f"--survey: {options.survey!r} is no name of a survey: take letters, digits and hyphens, such as sdss-dr17"
        ) from None
    if options.batch is not None and not re.match(BATCH_PATTERN, options.batch):
        raise ConfigurationError(
            f"--batch: {options.batch[:80]!r} is no name: take up to 120 letters, digits and . _ : @ + -"
        )


def _counted(path: Path, remarks: Remarks, options: Options) -> tuple[Iterator[Item], int | None]:
    """What to send, and how many there are where that is known without reading a long table to its end.

    Raises:
        ConfigurationError: There is nothing to send, or the schema cannot be read.
    """
    schema = load_schema(options.schema) if options.schema is not None else None
    items = find_items(path, allow_outside=options.allow_outside, remarks=remarks)
    first = list(islice(items, _COUNTED_ITEMS))
    is_all = len(first) < _COUNTED_ITEMS and not any(map(is_archive, first))
    return expand_archives(chain(first, items), remarks, schema=schema), len(first) if is_all else None


def _nothing_accepted(sent: UploadSummary, books: dict[str, Any] | None) -> bool:
    """Whether everything that arrived was rejected or dead-lettered, as far as that is known."""
    if books is None:
        return sent.files > 0 and sent.rejected >= sent.files
    accepted = books["analyzed"] + books["duplicates"] + books["in_flight"]
    return bool(books["received"]) and not accepted


def _progress(out: Console) -> Progress:
    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn())
    # Without a terminal a bar is noise in a log.
    return Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=out, disable=not out.is_terminal)


async def _show_settled(client: httpx.AsyncClient, batch: str, progress: Progress, total: int | None) -> None:
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
    books: dict[str, Any] = parse_response(response)
    return books


def _check_progress(books: dict[str, Any], batch: str, *, unchanged_s: float) -> None:
    if unchanged_s > STALL_TIMEOUT_S:
        raise PipelineStalled(
            f"{books['in_flight']} files of the batch {batch} are in flight and nothing settled for "
            f"{STALL_TIMEOUT_S:.0f} s: `astrolens status` shows which service does not work; nothing is lost"
        )


def _reasons(url: str, token: str | None, batch: str) -> dict[str, int]:
    """Why files of the batch were rejected or dead-lettered, by reason code."""
    with connect(url, token) as client:
        receipts = iter_items(client, "/api/receipts", batch=batch, outcome=["rejected", "dead_lettered"])
        counts = Counter(receipt["reason"]["code"] for receipt in receipts if receipt["reason"])
    return dict(counts.most_common())


def _summary(
    batch: str,
    sent: UploadSummary,
    books: dict[str, Any] | None,
    reasons: dict[str, int],
    remarks: Remarks,
    took_s: float,
) -> dict[str, Any]:
    keys = ("received", "analyzed", "duplicates", "rejected", "dead_lettered", "in_flight")
    return {
        "batch": batch,
        "sent": sent.files,
        "new": sent.new,
        "unreadable": sent.unreadable,
        "refused": sent.refused,
        "columns": {"used": remarks.used, "kept": remarks.kept},
        "notes": remarks.notes,
        "seconds": round(took_s, 2),
        "outcomes": {key: books[key] for key in keys} if books else None,
        "reasons": reasons,
    }


def _print(out: Console, summary: dict[str, Any], remarks: Remarks, url: str) -> None:
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
    elif summary["sent"]:
        out.print(f"they are being analysed; follow them at {url} or with `astrolens status`", soft_wrap=True)
    faults = [f"{printable(ref)} cannot be read ({printable(why)})" for ref, why in summary["unreadable"].items()]
    faults += [f"{printable(ref)} ({printable(why)})" for ref, why in summary["refused"].items()]
    _print_some(out, "not sent", faults)
    if remarks.has_position is False:
        kept = ", ".join(printable(name) for name in remarks.kept)
        out.print(
            f"no column was understood as a position (kept as further metadata: {kept or 'none'})", soft_wrap=True
        )
    elif remarks.kept:
        out.print(f"kept as further metadata: {', '.join(printable(name) for name in remarks.kept)}", soft_wrap=True)
    _print_some(out, "note", [printable(note) for note in remarks.notes], remarks.notes_in_all)


def _print_some(out: Console, word: str, sentences: Sequence[str], in_all: int | None = None) -> None:
    for sentence in sentences[:_SHOWN_UNREADABLE]:
        out.print(f"{word}: {sentence}", soft_wrap=True)
    more = (len(sentences) if in_all is None else in_all) - _SHOWN_UNREADABLE
    if more > 0:
        out.print(f"{word}: {more:,} more, which --json names")
