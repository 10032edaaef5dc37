"""`astrolens label`: a person's answer about images."""

import json
import sys

import httpx

from astrolens.cli.console_client import connect, console_unreachable, parse_response
from astrolens.cli.show import printable


def label(
    images: list[str],
    answer: str | None,
    *,
    tags: list[str],
    note: str | None,
    as_json: bool,
    url: str | None,
    token: str | None,
) -> None:
    """Record one answer on images and say what became of it."""
    body = {"image_ids": images, "answer": answer, "tags": tags, "note": note}
    with connect(url, token) as client:
        try:
            outcomes = parse_response(client.post("/api/labels", json=body))
        except httpx.TransportError as error:
            raise console_unreachable(str(client.base_url), error) from error
    if as_json:
        json.dump(outcomes, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    for outcome in outcomes["labels"]:
        before = f" (before: {outcome['previous']})" if outcome["previous"] else ""
        sys.stdout.write(f"{printable(outcome['image_id'])}  {outcome['answer'] or 'taken back'}{before}\n")
