"""`astrolens train`: ask for a retraining run, see how far it is and what it brought, cancel it."""

import json
import sys
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from astrolens.cli.console_client import Refused, api_path, connect, console_unreachable, get, parse_response
from astrolens.cli.show import printable, record_table

_COLOURS = {"done": "green", "running": "yellow", "queued": "yellow", "failed": "red", "cancelled": "white"}
_SHOWN = 10
"""Runs that `status` lists."""
_NARROW = ("run", "state", "accuracy", "oddity AUROC", "gates")
"""What a narrow terminal shows of them."""


def start(options: dict[str, Any], *, as_json: bool, url: str | None, token: str | None) -> None:
    """Queue a run."""
    _show_one(_post("/api/training/runs", {"options": options}, url, token), as_json=as_json)


def cancel(run_id: str | None, *, as_json: bool, url: str | None, token: str | None) -> None:
    """Cancel a run; without an id the newest.

    Raises:
        Refused: There is none, or it has ended.
    """
    with connect(url, token) as client:
        known = run_id or next((each["run"]["run_id"] for each in get(client, "/api/training/runs")["items"]), None)
    if known is None:
        raise Refused(404, "there is no training run to cancel")
    _show_one(_post(api_path("training", "runs", known, "cancel"), None, url, token), as_json=as_json)


def status(run_id: str | None, *, as_json: bool, url: str | None, token: str | None) -> None:
    """Print the last runs, or one run with its gates."""
    with connect(url, token) as client:
        found = get(client, api_path("training", "runs", *([] if run_id is None else [run_id])))
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    elif run_id:
        _print_run(found)
    else:
        _print_list(found)


def _post(path: str, body: Any, url: str | None, token: str | None) -> Any:
    with connect(url, token) as client:
        try:
            return parse_response(client.post(path, json=body))
        except httpx.TransportError as error:
            raise console_unreachable(str(client.base_url), error) from error


def _show_one(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    run = found["run"]
    state = "is to be cancelled" if run["cancel_requested_by"] and run["state"] == "running" else f"is {run['state']}"
    Console(highlight=False).print(f"run {run['run_id']} {state}")


def _print_list(found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    if not found["available"]:
        console.print(printable(found["detail"]))
    rows = [
        {
            "run": each["run"]["run_id"],
            "state": _state(each["run"]),
            "asked for": each["run"]["requested_at"][:16],
            "by": printable(each["run"]["requested_by"]),
            "answers": str(each["run"]["answers"]),
            "accuracy": _change((each["run"]["after"] or {}).get("accuracy"), each["accuracy_change"], ".1%"),
            "oddity AUROC": _change(each["auroc"], each["auroc_change"], ".3f"),
            "gates": _gates(each),
        }
        for each in found["items"][:_SHOWN]
    ]
    console.print(record_table(rows, console.width, narrow=_NARROW, whole="run") if rows else "no training run yet")


def _print_run(found: dict[str, Any]) -> None:
    console, run = Console(highlight=False), found["run"]
    console.print(f"run {run['run_id']}: {_state(run)}, asked for by {printable(run['requested_by'])}")
    for sentence in (*run["changes"], *([run["failure"]] if run["failure"] else ())):
        console.print(f"  {printable(sentence)}")
    if not run["gates"]:
        return
    table = Table("gate", "", "before", "after", "detail")
    for gate in run["gates"]["gates"]:
        passed = "[green]passed[/]" if gate["passed"] else "[red]refused[/]"
        table.add_row(gate["name"], passed, _figure(gate["champion"]), _figure(gate["challenger"]), gate["detail"])
    console.print(table)
    for sentence in run["gates"]["missing"]:
        console.print(f"  not measured: {printable(sentence)}")


def _state(run: dict[str, Any]) -> str:
    step = f"{run['step'] or 'starting'}, {run['progress']:.0%}"
    what = f"{run['state']} ({step})" if run["state"] == "running" else run["state"]
    return f"[{_COLOURS.get(run['state'], 'white')}]{what}[/]"


def _change(after: float | None, change: float | None, as_: str) -> str:
    if after is None:
        return ""
    return format(after, as_) + (f" ({format(change, f'+{as_}')})" if change is not None else "")


def _gates(found: dict[str, Any]) -> str:
    gates = found["run"]["gates"]
    if gates is None:
        return ""
    failed = sum(not gate["passed"] for gate in gates["gates"])
    return f"refused by {failed} of {len(gates['gates'])}" if failed else f"passed all {len(gates['gates'])}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
