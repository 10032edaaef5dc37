"""`astrolens crossref`: what the catalogues know at a place."""

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from astrolens.cli.console_client import connect, get
from astrolens.cli.show import printable

_COLOURS = {"known": "green", "unmatched": "magenta", "undetermined": "yellow"}
_WORDS = {"unmatched": "unmatched: looked for and not found, a possible discovery"}


def crossref(ra_deg: float, dec_deg: float, *, as_json: bool, url: str | None, token: str | None) -> None:
    """Print what every catalogue says of a place."""
    with connect(url, token) as client:
        found = get(client, "/api/crossref", ra_deg=ra_deg, dec_deg=dec_deg)
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    out = Console(highlight=False)
    status = found["status"]
    out.print(f"[{_COLOURS[status]}]{_WORDS.get(status, status)}[/]: {printable(found['reason']['detail'])}")
    table = Table("catalogue", "answer", "object", "type", "arcsec", "z", "references")
    for answer in found["answers"]:
        best = answer["counterparts"][0] if answer["counterparts"] else None
        table.add_row(
            printable(answer["catalogue"]) + (" *" if answer["required"] else ""),
            answer["status"],
            *(_object(best) if best else ("",) * 5),
        )
    out.print(table)
    out.print("* needed before anything is called unmatched")
    for answer in found["answers"]:
        if answer["detail"]:
            out.print(f"{printable(answer['catalogue'])}: {printable(answer['detail'])}")


def _object(best: dict[str, Any]) -> tuple[str, str, str, str, str]:
    name = printable(best["name"])
    return (
        name if best["matches"] else f"nearest: {name}",
        printable(best["object_type"]),
        f"{best['separation_arcsec']:.1f}",
        "" if best["redshift"] is None else f"{best['redshift']:.5f}",
        "" if best["references"] is None else f"{best['references']:,}",
    )
