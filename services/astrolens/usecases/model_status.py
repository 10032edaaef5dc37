"""What model is in use: a description that is remembered for a moment, and a summary that never fails."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol

from astrolens.platform.errors import ModelUnavailable
from astrolens.rpc.messages import Description

CACHE_TTL_S = 5.0
"""How long a description serves again: it changes only with a new bundle, but every status asks for it."""


class ModelDescriber(Protocol):
    """What is needed of the model server's client."""

    async def describe(self) -> Description:
        """What model is loaded.

        Raises:
            ModelUnavailable: The model server does not answer, or is still loading.
        """


class ModelStatus:
    """Describes the model in use.

    Args:
        client: Asks the model server.
        clock: Seconds that only grow.
    """

    def __init__(self, client: ModelDescriber, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._description: Description | None = None
        self._failure = ""
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def describe(self) -> Description:
        """What is loaded, at most `CACHE_TTL_S` old.

        Raises:
            ModelUnavailable: The model server does not answer, or is still loading.
        """
        async with self._asking:
            # Failures are remembered as long as answers: an unreachable server must not slow every status down.
            if self._clock() - self._asked_at >= CACHE_TTL_S:
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
            self._description, self._failure = await self._client.describe(), ""
        except ModelUnavailable as error:
            self._description, self._failure = None, str(error)
        self._asked_at = self._clock()
