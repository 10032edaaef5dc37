"""A MongoDB-wire server of its own for each archive of `make bench-growth`, beside the stack's other servers.

The stack's server keeps all databases in the same tables: dropping a million documents deletes them with all their
index entries one by one, for minutes, in which nobody else is served. An archive in a folder of its own is dropped with
its folder, and its server's memory is of this archive alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import psutil

from deploy.stack import mongodb
from deploy.stack.layout import Layout, layout
from deploy.stack.server import find, stop

_PORT_OFFSET = 50
"""Distance of its ports from the stack's six."""
_NAME = "mongodb"


class ArchiveServer:
    """The server of the archive in `folder`, as `make stack` would start it.

    One at a time: all use the same port.
    """

    def __init__(self, folder: Path, stack: Mapping[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._layout: Layout = replace(layout(), state=folder.absolute(), port=int(stack["STACK_PORT"]) + _PORT_OFFSET)

    @property
    def url(self) -> str:
        """Of the archive's database."""
        return mongodb.url(self._layout, database="archive")

    @property
    def process(self) -> psutil.Process | None:
        """Its process while it runs."""
        return find(self._layout.state, _NAME)

    def start(self) -> None:
        """Start it unless it runs.

        Raises:
            StackError: It ended, or did not serve in time.
        """
        mongodb.server(self._layout).start()

    def stop(self) -> None:
        """End it; what was acknowledged stays."""
        stop(self._layout.state, _NAME)
