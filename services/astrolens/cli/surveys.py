"""`astrolens surveys`: what calibrates each survey, and returning one to the bundle's calibration."""

import json
import sys
from dataclasses import dataclass
from math import isfinite
from typing import Any

import httpx
from rich.console import Console

from astrolens.cli.console_client import api_path, connect, console_unreachable, get, parse_response
from astrolens.cli.show import WIDE, printable, record_table
from astrolens.platform.errors import ConfigurationError
from astrolens.usecases.survey_models import AGGRESSIVE_PER_1000

_NARROW = ("survey", "calibration", "images", "budget", "drift")
"""What a terminal narrower than `show.WIDE` has of the table; the reasons stand below it."""
_COLOURS = {"own": "green", "ready": "green", "learning": "yellow", "does-not-fit": "red"}


@dataclass(frozen=True)
class Decisions:
    """What is decided before the states are printed: each names a survey."""

    clear: str | None = None
    release: bool = False
    """Whether `clear` may send the alerts of images that did not fit."""
    calibrate: str | None = None
    budget: str | None = None
    """`SURVEY=NUMBER` or `SURVEY=default`."""
    aggressive: str | None = None


def surveys(decisions: Decisions, *, as_json: bool, url: str | None, token: str | None) -> None:
    """Decide, then print the state of every survey.

    Raises:
        ConfigurationError: A budget is no number, a survey is given two, or what is released is not named.
    """
    budgets = _budgets(decisions)
    if decisions.release and decisions.clear is None:
        raise ConfigurationError("--release: name the survey that returns to the bundle's calibration with --clear")
    with connect(url, token) as client:
        try:
            for survey, number in budgets.items():
                path = api_path("surveys", survey, "budget")
                answer = parse_response(client.put(path, json={"false_alarms_per_1000": number}))
                Console(stderr=True, highlight=False).print(_new_budget(answer))
            if decisions.clear is not None:
                asked = {"release": "true"} if decisions.release else None
                parse_response(client.post(api_path("surveys", decisions.clear, "clear"), params=asked))
            if decisions.calibrate is not None:
                parse_response(client.post(api_path("surveys", decisions.calibrate, "calibrate")))
        except httpx.TransportError as error:
            raise console_unreachable(str(client.base_url), error) from error
        found = get(client, "/api/surveys")["items"]
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    console = Console(highlight=False)
    if not found:
        console.print("no survey has analysed images yet")
        return
    _print_states(found, console)


def _print_states(found: list[dict[str, Any]], console: Console) -> None:
    """One row a survey; on a narrow terminal fewer columns, and what explains each state below the table."""
    rows = [
        {
            "survey": item["survey"],
            "calibration": _state(item),
            "images": _images(item),
            "survey model": _revision(item),
            "budget": _budget(item),
            "drift": _drift(item),
            "since": item["since"][:16],
            "why": _why(item),
        }
        for item in found
    ]
    console.print(record_table(rows, console.width, narrow=_NARROW, whole="survey"))
    for row in rows if console.width < WIDE else ():
        if row["why"]:
            console.print(f"[bold]{row['survey']}[/]: {row['why']}")


def _budgets(decisions: Decisions) -> dict[str, float | None]:
    """The budgets to set, by survey; None is that of the settings."""
    chosen: dict[str, float | None] = {}
    if decisions.budget is not None:
        survey, _, text = decisions.budget.partition("=")
        chosen[survey] = None if text == "default" else _number(text)
        if text != "default" and chosen[survey] is None:
            raise ConfigurationError(
                f"--budget: {decisions.budget!r} is no budget: write SURVEY=NUMBER, such as sdss=20, or SURVEY=default"
            )
    if decisions.aggressive is not None:
        if decisions.aggressive in chosen:
            raise ConfigurationError(
                f"--aggressive and --budget both give {decisions.aggressive!r} a budget: choose one of them"
            )
        chosen[decisions.aggressive] = AGGRESSIVE_PER_1000
    return chosen


def _number(text: str) -> float | None:
    """A finite number; None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None


def _new_budget(item: dict[str, Any]) -> str:
    """What a budget changes."""
    own = item.get("false_alarms_per_1000")
    budget = "the budget of the settings" if own is None else f"a budget of {own:g} false alarms per 1,000"
    again = "; its earlier images are judged again under it, and their alerts follow" if item["rejudging"] else ""
    return f"{item['survey']} has {budget}{again}"


def _budget(item: dict[str, Any]) -> str:
    own = item.get("false_alarms_per_1000")
    return f"{own:g} per 1,000" if own is not None else "default"


def _drift(item: dict[str, Any]) -> str:
    """What was measured last, and whether verdicts allow for one."""
    measured, serves = item.get("drift"), item.get("adjustment")
    if measured is None:
        return ""
    allowed = f", allowed for {serves['shift']:.2f}" if serves else ""
    return f"{measured['shift']:.2f}{allowed}"


def _state(item: dict[str, Any]) -> str:
    return f"[{_COLOURS.get(item['state'], 'white')}]{item['state']}[/]"


def _images(item: dict[str, Any]) -> str:
    if item["state"] not in {"learning", "does-not-fit"}:
        return f"{item['images']:,}"
    if item.get("learned") is None and item["revision"] is not None:
        return f"{item['images']:,}"  # It has a survey model, and a person decides.
    if item.get("learned") is None:
        return f"{item['images']:,} of {item['images_needed']}"
    return f"{item['images']:,}, {item['learned']:,} of {item['images_needed']} since {item['learn_from'][:16]}"


def _revision(item: dict[str, Any]) -> str:
    revision = item["revision"]
    return f"{revision['digest'][:12]} on {revision['images']} images" if revision else ""


def _why(item: dict[str, Any]) -> str:
    again = f"earlier images are judged again, {item['rejudged']:,} so far" if item.get("rejudging") else None
    sentences = (item["failure"] or item["reason"], again, item.get("budget_issue"))
    return printable(". ".join(each for each in sentences if each))
