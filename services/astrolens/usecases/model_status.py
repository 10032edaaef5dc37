"""The model server as the console sees it: a description that is asked for once in a while, and never fails."""

import asyncio
import time
from typing import Any

from astrolens.platform.errors import ModelUnavailable
from astrolens.rpc import model_client
from astrolens.rpc.conversion import Description
from astrolens.rpc.model_client import Neighbour, UnknownToModel

__all__ = ["FRESH_S", "Description", "ModelClient", "Neighbour", "UnknownToModel"]

FRESH_S = 5.0
"""How long a description serves again: it changes only with a new bundle, but every status asks for it."""


class ModelClient(model_client.ModelClient):
    """The client of the model server with a cached description."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self._description: Description | None = None
        self._failure = ""
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def describe(self) -> Description:
        """What is loaded, at most `FRESH_S` old.

        Raises:
            ModelUnavailable: The model server does not answer, or is still loading.
        """
        async with self._asking:
            # Failures are remembered as long as answers: a dead server must not slow every status down.
            if time.monotonic() - self._asked_at >= FRESH_S:
                await self._ask()
        if self._description is None:
            raise ModelUnavailable(self._failure)
        return self._description

    async def summary(self) -> dict[str, Any]:
        """The description's summary with `state` `ready`, or `unreachable` with the reason; never fails."""
        try:
            return {"state": "ready", **(await self.describe()).summary}
        except ModelUnavailable as error:
            return {"state": "unreachable", "detail": str(error)}

    async def _ask(self) -> None:
        try:
            self._description, self._failure = await super().describe(), ""
        except ModelUnavailable as error:
            self._description, self._failure = None, str(error)
        self._asked_at = time.monotonic()
