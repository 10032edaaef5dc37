"""Ends requests whose body does not come: a client that stalls would hold one of the few places of uploads for ever."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_SILENCE_S: Final = 30.0
"""Longest wait for the next bytes of a body: a network that works is never silent for so long."""

MIN_BYTES_PER_S: Final = 8 * 1024
"""Slowest body, after the first `MAX_SILENCE_S`: one byte now and then would hold a place as well as none."""

MAX_BODY_S: Final = 1800.0
"""Longest wait for one body in all, whatever its length."""


class SlowBody(HTTPException):
    """The body of a request comes too slowly; an `HTTPException`, for FastAPI makes others that a body raises a 400."""

    def __init__(self, received: int) -> None:
        detail = (
            f"The body came too slowly ({received} bytes until now): send it again, with no pause above "
            f"{MAX_SILENCE_S:.0f} s and at {MIN_BYTES_PER_S // 1024} KiB/s or more."
        )
        # The connection still holds the rest of the body, so it cannot be used again.
        super().__init__(408, detail, headers={"Connection": "close"})


class BodyDeadlines:
    """ASGI middleware that bounds the time which the body of a request takes.

    Only waiting for the client counts, not what the application does between two chunks.

    Args:
        app: The application.
        clock: Seconds that only grow.
    """

    def __init__(self, app: ASGIApp, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its body raises `SlowBody` where it is read."""
        if scope["type"] == "http":
            receive = _BoundedReceive(receive, self._clock)
        await self._app(scope, receive, send)


class _BoundedReceive:
    def __init__(self, receive: Receive, clock: Callable[[], float]) -> None:
        self._receive = receive
        self._clock = clock
        self._complete = False
        self._waited_s = 0.0
        self._received = 0

    async def __call__(self) -> Message:
        if self._complete:
            # Who asks again waits for the client's end, which may take as long as the answer.
            return await self._receive()
        allowed_s = min(MAX_SILENCE_S + self._received / MIN_BYTES_PER_S, MAX_BODY_S) - self._waited_s
        if allowed_s <= 0.0:
            raise SlowBody(self._received)
        began = self._clock()
        try:
            async with asyncio.timeout(min(MAX_SILENCE_S, allowed_s)):
                message = await self._receive()
        except TimeoutError:
            raise SlowBody(self._received) from None
        self._waited_s += self._clock() - began
        self._received += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message
