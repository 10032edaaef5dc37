"""`astrolens surveys`: what calibrates each survey, and returning one to the bundle's calibration."""

import json
import sys
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from astrolens.cli.console_client import checked, connect, console_unreachable, get
from astrolens.cli.show import printable

_COLOURS = {"own": "green", "ready": "green", "learning": "yellow", "does-not-fit": "red"}


def surveys(*, as_json: bool, clear: str | None, url: str | None, token: str | None) -> None:
    """Print the state of every survey; with `clear`, return one to the bundle's calibration before."""
    with connect(url, token) as client:
        if clear is not None:
            try:
                checked(client.post(f"/api/surveys/{clear}/clear"))
            except httpx.TransportError as error:
                raise console_unreachable(str(client.base_url), error) from error
        found = get(client, "/api/surveys")["items"]
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    table = Table("survey", "calibration", "images", "survey model", "since", "why")
    for item in found:
        table.add_row(item["survey"], _state(item), _images(item), _revision(item), item["since"][:16], _why(item))
    Console(highlight=False).print(table if found else "no survey has analysed images yet")


def _state(item: dict[str, Any]) -> str:
    return f"[{_COLOURS.get(item['state'], 'white')}]{item['state']}[/]"


def _images(item: dict[str, Any]) -> str:
    needed = f" of {item['images_needed']}" if item["state"] in {"learning", "does-not-fit"} else ""
    return f"{item['images']:,}{needed}"


def _revision(item: dict[str, Any]) -> str:
    revision = item["revision"]
    return f"{revision['digest'][:12]} on {revision['images']} images" if revision else ""


def _why(item: dict[str, Any]) -> str:
    return printable(item["failure"] or item["reason"])
