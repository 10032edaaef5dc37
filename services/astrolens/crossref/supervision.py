"""Tests the catalogues in the background, and reports their state."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from astrolens.crossref.client import CatalogueClient, statuses
from astrolens.crossref.failures import CatalogueFailed
from astrolens.crossref.local import LocalAnswers
from astrolens.platform.errors import StoreUnavailable

TEST_TIMEOUT_S: Final = 15.0
"""Longest test of a catalogue."""
_INFO: Final = "catalogues"


class CatalogueSupervision:
    """Asks canaries where they are due, so that a catalogue that works again is found without waiting for a candidate.

    A catalogue that does not answer is a state in the heartbeat and no issue of the service, which does its work: on a
    laptop without a network nothing is wrong.
    """

    def __init__(
        self, *, clients: Sequence[CatalogueClient], local: LocalAnswers | None = None, info: dict[str, Any]
    ) -> None:
        self._clients = tuple(clients)
        self._local = local
        self._local_states: dict[str, dict[str, Any]] = {}
        self._info = info
        self._show()

    async def run_pass(self) -> None:
        """Test what is due, all at once, and show the states."""
        await asyncio.gather(*map(self._test, self._clients))
        if self._local is not None:
            self._local_states = await asyncio.to_thread(self._local.states)
        self._show()

    async def _test(self, client: CatalogueClient) -> None:
        if client.breaker.needs_canaries:
            with suppress(CatalogueFailed, StoreUnavailable):
                await client.check_canaries(within_s=TEST_TIMEOUT_S)

    def _show(self) -> None:
        self._info[_INFO] = {**statuses(self._clients), **self._local_states}
