"""`astrolens doctor`: each check one sentence; what is wrong says what to do."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from astrolens.cli.console_client import ConsoleUnreachable, Refused, connect, get
from astrolens.contracts.status import Books
from astrolens.local import preflight
from astrolens.local.supervisor import running_pid
from astrolens.platform.errors import AstroLensError
from astrolens.platform.private_files import open_to_others
from astrolens.platform.runtime.services import SERVICE_NAMES
from astrolens.platform.settings import Settings, load_settings
from astrolens.platform.stores.open import image_store, record_store
from astrolens.rpc.model_client import ModelClient
from astrolens.usecases.model_status import ModelStatus
from astrolens.usecases.status import StatusReader
from astrolens.usecases.survey_budgets import budget_issue
from astrolens.usecases.survey_models import read_survey_models


@dataclass(frozen=True)
class Finding:
    """One sentence, and whether all is as it should be."""

    ok: bool
    sentence: str


def doctor() -> int:
    """Print every finding; 1 where something is wrong."""
    out = Console(highlight=False)
    wrong = 0
    for finding in check_installation(load_settings()):
        wrong += not finding.ok
        mark = "[green]ok[/green]   " if finding.ok else "[red]wrong[/red]"
        out.print(mark, end=" ")
        out.print(finding.sentence, markup=False, soft_wrap=True)
    out.print(
        "everything looks well" if not wrong else f"{wrong} things need a hand" if wrong > 1 else "1 thing needs a hand"
    )
    return 1 if wrong else 0


def check_installation(settings: Settings) -> Iterator[Finding]:
    """Every finding on this machine."""
    home = settings.home
    yield _finding(lambda: preflight.check_home(home), f"the home folder {home} can be written")
    if home.is_dir():
        private = Finding(ok=True, sentence=f"the home folder {home} is private")
        others = Finding(ok=False, sentence=f"other users can look into the home folder {home}: chmod 700 {home}")
        yield others if open_to_others(home) else private
        enough = f"the disk of {home} has more than {settings.min_free_disk_mib} MiB free"
        yield _finding(lambda: preflight.check_disk(settings), enough)
    yield _finding(lambda: preflight.check_bundle(settings.bundle), f"the model bundle {settings.bundle.name} is whole")
    pid = running_pid(home) if home.is_dir() else None
    yield from _check_stores(settings)
    if pid is None:
        yield Finding(ok=True, sentence=f"nothing runs on {home}; `astrolens up` starts it")
        yield from _check_ports(settings)
    else:
        yield Finding(ok=True, sentence=f"AstroLens runs on {home} (process {pid})")
        yield from _check_running(settings)


def _finding(check: Callable[[], None], sentence: str) -> Finding:
    try:
        check()
    except AstroLensError as error:
        return Finding(ok=False, sentence=str(error))
    return Finding(ok=True, sentence=sentence)


def _check_ports(settings: Settings) -> Iterator[Finding]:
    try:
        wanted = preflight.ports(settings)
    except AstroLensError as error:
        yield Finding(ok=False, sentence=str(error))
        return
    faults = [
        finding
        for name, host, port in wanted
        if not (finding := _finding(lambda n=name, h=host, p=port: preflight.check_port(n, h, p), "")).ok  # type: ignore[misc]
    ]
    ports = ", ".join(str(port) for _, _, port in wanted)
    yield from faults or [Finding(ok=True, sentence=f"the ports {ports} are free")]


def _check_stores(settings: Settings) -> Iterator[Finding]:
    async def check() -> list[Finding]:
        found = []
        for name, build in (
            ("record", lambda: record_store(settings.records_url)),
            ("image", lambda: image_store(settings.images_url, settings.s3_options)),
        ):
            try:
                store = build()
                await store.open()
                try:
                    await store.ping()
                finally:
                    await store.close()
            except AstroLensError as error:
                found.append(Finding(ok=False, sentence=f"the {name} store does not serve: {error}"))
            else:
                found.append(Finding(ok=True, sentence=f"the {name} store serves"))
        return found

    yield from asyncio.run(check())


def _check_running(settings: Settings) -> Iterator[Finding]:
    logs = settings.home / "logs"
    try:
        with connect(None, None) as client:
            get(client, "/api/health")
    except (Refused, ConsoleUnreachable) as error:
        yield Finding(ok=False, sentence=f"the console does not serve: {error}; look into {logs / 'console.log'}")
    try:
        status = asyncio.run(_read_status(settings))
        issues = asyncio.run(read_budget_issues(settings))
    except AstroLensError as error:
        yield Finding(ok=False, sentence=f"the books cannot be read: {error}")
    else:
        yield from check_status(status, logs=str(logs))
        yield from (Finding(ok=False, sentence=issue) for issue in issues)


async def _read_status(settings: Settings) -> dict[str, Any]:
    """The status from the stores themselves: it needs neither the console nor a login."""
    records, client = record_store(settings.records_url), ModelClient(settings.inference_address)
    await records.open()
    try:
        return (await StatusReader(records=records, model=ModelStatus(client)).read()).model_dump(mode="json")
    finally:
        await client.close()
        await records.close()


async def read_budget_issues(settings: Settings) -> list[str]:
    """Of each survey whose own budget no image could be an anomaly under, why, with what to do."""
    records = record_store(settings.records_url)
    await records.open()
    try:
        surveys = (await read_survey_models(records)).values()
        found = [await budget_issue(records, each, each.false_alarms_per_1000) for each in surveys]
    finally:
        await records.close()
    command = "`astrolens surveys --budget SURVEY=NUMBER`"
    return [f"{issue} {command} gives it another." for issue in found if issue is not None]


def check_status(status: dict[str, Any], *, logs: str) -> Iterator[Finding]:
    """Every finding in the status of a running system.

    Args:
        status: The object of `GET /api/status`.
        logs: The folder that findings name.
    """
    for service in sorted(SERVICE_NAMES):
        view = status["services"].get(service)
        if view is None:
            yield Finding(ok=False, sentence=f"{service} has never reported: look into {logs}/{service}.log")
        elif view["state"] == "running":
            yield Finding(ok=True, sentence=f"{service} runs, last heard {view['silent_s']:.0f} s ago")
        else:
            why = view["detail"] or "it does not say why"
            yield Finding(ok=False, sentence=f"{service} is {view['state']} ({why}): look into {logs}/{service}.log")
    model = status["model"]
    if model["state"] == "ready":
        yield Finding(ok=True, sentence=f"the model {model['name']} is loaded")
    else:
        yield Finding(ok=False, sentence=f"no model answers: {model.get('detail')}; look into {logs}/model-server.log")
    yield _check_books(status, logs=logs)
    if letters := status["dead_letters_open"]:
        yield Finding(ok=False, sentence=f"{letters} dead letters wait for a decision: see the console's System page")
    for name, source in status["sources"].items():
        if source["state"] in {"unreachable", "misconfigured"}:
            yield Finding(ok=False, sentence=f"the source {name} is {source['state']}: {source['detail']}")


def _check_books(status: dict[str, Any], *, logs: str) -> Finding:
    books = Books.model_validate({name: status[name] for name in Books.model_fields})
    if (imbalance := books.imbalance) is not None:
        sentence = f"{imbalance}; `astrolens books --recount` says more; please report it with {logs}"
        return Finding(ok=False, sentence=sentence)
    return Finding(ok=True, sentence=f"the books balance: {books.received} received, {books.in_flight} in flight")
