"""`astrolens models`: model bundles, by the console's REST API; `publish` works on the stores themselves."""

import asyncio
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from astrolens.cli.console_client import api_path, connect, console_unreachable, get, parse_response
from astrolens.cli.show import printable, record_table
from astrolens.contracts.models import ModelRecord, ModelState
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings, load_settings
from astrolens.platform.stores.open import image_store, record_store
from astrolens.usecases.model_promotion import read_current, state_of
from astrolens.usecases.model_registry import BundleRefused, ModelRegistry

_CHECK_S = 300.0
"""For loading a bundle and comparing its golden inputs: seconds, on a busy machine a minute."""
_COLOURS = {"promoted": "green", "refused": "red", "candidate": "yellow", "shadow": "yellow"}
_SHOWN = 12
"""Digits of a digest that people see."""
_NARROW = ("model", "digest", "state", "gates")
"""What a narrow terminal shows of the list."""
_NEXT_STEP = "model servers load it within seconds; `astrolens models show {}` says whether it serves, or why not"


def list_models(*, as_json: bool, url: str | None, token: str | None) -> None:
    """Print every bundle."""
    with connect(url, token) as client:
        found = get(client, "/api/models")
    if as_json:
        _print_json(found)
        return
    rows = [
        {
            "model": printable(f"{item['name']} {item['version']}"),
            "digest": item["digest"][:_SHOWN],
            "state": _state(item),
            "made": item["created_at"][:16],
            "by": printable(item["created_by"]),
            "gates": _gates_count(item),
            "shadow": _shadow(item["shadow"]),
        }
        for item in found["items"]
    ]
    width = Console().width
    _print(record_table(rows, width, narrow=_NARROW, whole="digest") if rows else "no model server has started yet")


def show(digest: str, *, as_json: bool, url: str | None, token: str | None) -> None:
    """Print one bundle."""
    with connect(url, token) as client:
        item = get(client, api_path("models", digest))
    if as_json:
        _print_json(item)
        return
    _print(f"{printable(item['name'])} {printable(item['version'])}  {_state(item)}")
    _print(f"digest  {item['digest']}")
    _print(f"signed  {item['signed_with'] or 'no: it is the bundle of the installation'}")
    _print(f"gates   {_gates(item)}")
    for gate in item["gates"].get("gates", ()):
        mark = "[green]passed[/]" if gate["passed"] else "[red]failed[/]"
        _print(f"  {mark} {printable(gate['name'])}: {printable(gate.get('detail', ''))}")
    _print(f"shadow  {_shadow(item['shadow'])}")
    for change in item["history"]:
        _print(f"{change['at'][:16]}  {change['state']}  by {printable(change['by'])}: {printable(change['why'])}")


def diff(digest: str, *, as_json: bool, url: str | None, token: str | None) -> None:
    """Print what a bundle would change."""
    with connect(url, token) as client:
        found = get(client, api_path("models", digest, "diff"))
    if as_json:
        _print_json(found)
        return
    _print(_shadow(found["shadow"]))
    for title, name in (("newly anomalous", "newly_anomalous"), ("no longer anomalous", "no_longer_anomalous")):
        table = Table("image", "name", "survey", "p-value", title=title)
        for card in found[name]:
            table.add_row(card["image_id"], printable(card["name"] or ""), card["survey"], f"{card['p_value']:.4g}")
        _print(table)


def shadow(digest: str, *, images: int | None, url: str | None, token: str | None) -> None:
    """Start a comparison."""
    item = _post(api_path("models", digest, "shadow"), {"images": images} if images else {}, url=url, token=token)
    wanted = item["shadow"]["wanted"]
    _print(f"{item['digest'][:_SHOWN]} is compared with the model in use on {wanted} images: `astrolens models diff`")


def promote(digest: str, *, why: str, url: str | None, token: str | None) -> None:
    """Promote a bundle."""
    found = _post(api_path("models", digest, "promote"), {"why": why}, url=url, token=token)
    _print(f"{found['digest'][:_SHOWN]} was promoted: {_NEXT_STEP.format(found['digest'][:_SHOWN])}")


def rollback(*, why: str, url: str | None, token: str | None) -> None:
    """Return to the bundle before."""
    found = _post("/api/models/rollback", {"why": why}, url=url, token=token)
    _print(f"back to {found['digest'][:_SHOWN]}: {_NEXT_STEP.format(found['digest'][:_SHOWN])}")


def publish(folder: Path, *, by: str) -> None:
    """Sign a bundle and put it into the registry.

    Raises:
        ConfigurationError: The folder is no bundle that a model server could load, or the key cannot be used.
    """
    settings = load_settings()
    try:
        _check(folder, settings)
        record, state = asyncio.run(_publish(settings, folder, by))
    except BundleRefused as error:
        raise ConfigurationError(f"{printable(str(folder))} cannot be published: {error}") from error
    _print(f"{record.digest[:_SHOWN]} ({printable(f'{record.name} {record.version}')}) is {state.value}")


def _check(folder: Path, settings: Settings) -> None:
    """Load a bundle as a model server does, in a process of its own: the graph may be anything.

    Raises:
        BundleRefused: It cannot be loaded.
        ConfigurationError: The model server is not installed here.
    """
    if find_spec("onnxruntime") is None:
        raise ConfigurationError(
            "a bundle is checked before it is published, by the model server's loader, which is "
            "not installed here: publish it where a model server runs"
        )
    command = [sys.executable, "-P", "-m", "astrolens.inference.check_bundle", str(folder)]
    try:
        ended = subprocess.run(  # noqa: S603 - our own module
            command,
            env=os.environ | settings.as_environment(),
            capture_output=True,
            text=True,
            timeout=_CHECK_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BundleRefused(f"it was not loaded within {_CHECK_S:.0f} s") from error
    if ended.returncode:
        said = ended.stdout.strip().splitlines()
        raise BundleRefused(printable(said[-1] if said else f"its loader ended with exit status {ended.returncode}"))


async def _publish(settings: Settings, folder: Path, by: str) -> tuple[ModelRecord, ModelState]:
    try:
        from astrolens.platform.signing import load_signer  # noqa: PLC0415 - only who signs needs `cryptography`
    except ImportError as error:
        raise ConfigurationError("signing needs the package cryptography: pip install 'astrolens[signing]'") from error
    signer = load_signer(settings.model_signing_key, create=True)
    records, images = record_store(settings.records_url), image_store(settings.images_url, settings.s3_options)
    await records.open()
    try:
        await images.open()
        try:
            registry = ModelRegistry(records=records, images=images)
            record = await registry.publish(folder, signer=signer, created_by=by)
            return record, state_of(record, await read_current(records))
        finally:
            await images.close()
    finally:
        await records.close()


def _post(path: str, body: dict[str, Any], *, url: str | None, token: str | None) -> Any:
    with connect(url, token) as client:
        try:
            return parse_response(client.post(path, json=body))
        except httpx.TransportError as error:
            raise console_unreachable(str(client.base_url), error) from error


def _state(item: dict[str, Any]) -> str:
    colour = _COLOURS.get(item["state"], "white")
    if item["serves"]:
        return f"[{colour}]{item['state']}[/] (serves)"
    if item["state"] == "promoted":
        return f"[red]{item['state']}[/] (no model server serves it)"
    if item["state"] == "retired" and item["first_served_at"] is None:
        return f"{item['state']} (not seen serving)"
    return f"[{colour}]{item['state']}[/]"


def _gates(item: dict[str, Any]) -> str:
    if not item["gates"]:
        return "not measured"
    return f"failed: {printable(', '.join(item['failed_gates']))}" if item["failed_gates"] else "passed"


def _gates_count(item: dict[str, Any]) -> str:
    """How many gates failed: a list has no room for their names."""
    failed = len(item["failed_gates"])
    return f"failed {failed} of {len(item['gates'].get('gates', ()))}" if failed else _gates(item)


def _shadow(found: dict[str, Any] | None) -> str:
    if found is None:
        return "not compared"
    correlation = "" if found["rank_correlation"] is None else f", rank correlation {found['rank_correlation']:.2f}"
    return (
        f"{found['images']} of {found['wanted']} images beside {found['champion_digest'][:_SHOWN]}: "
        f"{found['newly_anomalous']} newly anomalous, "
        f"{found['no_longer_anomalous']} no longer{correlation}"
    )


def _print(what: Any) -> None:
    Console(highlight=False).print(what)


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
