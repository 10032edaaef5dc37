"""Tests the catalogues in the background, and tells how they are."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from astrolens.crossref.breaker import BreakerState
from astrolens.crossref.client import CatalogueClient, statuses
from astrolens.crossref.failures import CatalogueFailed
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.runtime.condition import Condition

TEST_S: Final = 15.0
"""Longest test of a catalogue."""
_INFO: Final = "catalogues"


class CatalogueSupervision:
    """Asks canaries where they are due, so that a catalogue that works again is found without waiting for a candidate.

    A required catalogue that does not answer is an issue of the service, an informative one only a state.
    """

    def __init__(self, *, clients: Sequence[CatalogueClient], condition: Condition, info: dict[str, Any]) -> None:
        self._clients = tuple(clients)
        self._condition = condition
        self._info = info
        self._show()

    async def run_pass(self) -> None:
        """Test what is due, all at once, and show the states."""
        await asyncio.gather(*map(self._test, self._clients))
        self._show()

    async def _test(self, client: CatalogueClient) -> None:
        if client.breaker.needs_proof:
            with suppress(CatalogueFailed, StoreUnavailable):
                await client.prove(within_s=TEST_S)

    def _show(self) -> None:
        self._info[_INFO] = dict(statuses(self._clients))
        for client in self._clients:
            key = f"catalogue {client.name}"
            if client.required and client.breaker.state in {BreakerState.OPEN, BreakerState.HALF_OPEN}:
                self._condition.set_issue(key, f"{client.name} does not answer: {client.breaker.reason}")
            else:
                self._condition.clear_issue(key)
