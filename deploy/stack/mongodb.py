"""SecantusDB, a server that speaks MongoDB's wire protocol on disk: MongoDB itself comes in no package registry."""

import os
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from deploy.stack.install import secantus_program
from deploy.stack.layout import Layout
from deploy.stack.server import Server, stop

USER = "astrolens"
_ASK_MS = 2_000
_CACHE_MIB = (512, 4096)
"""Least and most that the server may keep in memory. With 512 MiB it stalled at about 52,000 images; with 4 GiB it took
100,000."""


def server(layout: Layout) -> Server:
    """The server, with its user made: that takes one start without log-in, at the first time."""
    program = secantus_program(layout)
    # Each program has data of its own: what the one in Rust wrote, the one in Python does not see.
    folder = layout.data(program.name)
    made = folder / ".user-made"
    if not made.exists():
        first = _server(layout, program, folder, login=False)
        first.start()
        _make_user(layout)
        stop(layout.state, first.name)
        made.touch()
    return _server(layout, program, folder, login=True)


def url(layout: Layout, database: str = "astrolens") -> str:
    """What AstroLens connects to."""
    return f"mongodb://{USER}:{layout.secrets['mongodb']}@127.0.0.1:{layout.mongodb_port}/{database}?authSource=admin"


def _server(layout: Layout, program: Path, folder: Path, *, login: bool) -> Server:
    folder.mkdir(exist_ok=True, mode=0o700)
    command = [str(program), "--host", "127.0.0.1", "--port", str(layout.mongodb_port)]
    # Without syncing, a kill -9 loses acknowledged writes: a record store must not.
    command += ["--storage-path", str(folder), "--sync-on-commit", "--log-level", "WARNING"]
    command += ["--cache-size", f"{cache_mib(_memory_mib())}M"]
    address = url(layout) if login else f"mongodb://127.0.0.1:{layout.mongodb_port}/"
    return Server(
        name="mongodb",
        command=[*command, "--auth"] if login else command,
        state=layout.state,
        healthy=lambda: _answers(address),
        start_timeout_s=30.0,
    )


def cache_mib(memory_mib: int) -> int:
    """The server's cache on a machine with so much memory: a quarter of it, within bounds."""
    least, most = _CACHE_MIB
    return min(max(memory_mib // 4, least), most)


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def _answers(address: str) -> bool:
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(address, serverSelectionTimeoutMS=_ASK_MS)
        with client:
            client.admin.command("ping")
    except PyMongoError:
        return False
    return True


def _make_user(layout: Layout) -> None:
    address = f"mongodb://127.0.0.1:{layout.mongodb_port}/"
    client: MongoClient[dict[str, Any]] = MongoClient(address, serverSelectionTimeoutMS=_ASK_MS)
    with client:
        try:
            client.admin.command("createUser", USER, pwd=layout.secrets["mongodb"], roles=["root"])
        except (DuplicateKeyError, OperationFailure) as error:
            if getattr(error, "code", None) not in {51003, 11000}:  # it exists from an interrupted start
                raise
