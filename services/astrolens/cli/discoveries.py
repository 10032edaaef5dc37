"""`astrolens discoveries`: the discovery list of a night."""

import json
import sys
from datetime import date

from rich.console import Console

from astrolens.cli.console_client import connect, get
from astrolens.cli.show import figure_only, place, printable, record_table


def discoveries(
    *, night: date | None, q: float, assume_tail: bool, as_json: bool, url: str | None, token: str | None
) -> None:
    """Print the list, and what it promises."""
    with connect(url, token) as client:
        evening = None if night is None else night.isoformat()
        found = get(client, "/api/discoveries", night=evening, q=q, assume_tail=assume_tail or None)
    if as_json:
        json.dump(found, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    out = Console(highlight=False)
    out.print(f"Night of {found['night']}: {found['listed']:,} of {found['tested']:,} tested images listed")
    copies = found.get("copies") or {}
    if found["items"]:
        rows = [
            {
                "p-value": figure_only(item["p_value_words"]),
                "class": printable(item["class"]),
                "survey": item["survey"],
                "name": printable(item["name"]),
                "copies": f"{copies.get(item['image_id'], {}).get('count', '')}",
                **place(item),
                "label": item["label"] or "",
                "id": item["image_id"],
            }
            for item in found["items"]
        ]
        out.print(record_table(rows, out.width))
    for sentence in (found["promise"], found["limited"]):
        if sentence:
            out.print(sentence)
    if not found["tail_assumed"] and found["listed_with_tail"] > found["listed"]:
        out.print(f"On the assumption of an exponential tail {found['listed_with_tail']:,} are listed: --assume-tail")
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in found["left_out"].items())
    if left_out:
        out.print(f"Not tested: {left_out}")
