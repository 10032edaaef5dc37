"""Closes connections whose request headers do not come: uvicorn bounds only the silence between two requests."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEADERS_TIMEOUT_S: Final = 20.0
"""Longest time from a connection, or the first byte of a further request, to the end of the request's headers."""


_UvicornProtocol: Any = AutoHTTPProtocol
"""Of httptools where that is installed, else of h11; `cycle` is the last request of either, or None. Declared in
`private_apis`."""


class HeaderDeadlineProtocol(_UvicornProtocol):  # type: ignore[misc]
    """Uvicorn's protocol of one connection, with a bound on the time that the headers of a request take."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._update_deadline()

    def data_received(self, data: bytes) -> None:
        """Read on; the wait ends when the headers are there, and begins with the next request."""
        super().data_received(data)
        self._update_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._cancel_deadline()
        super().connection_lost(exc)

    def _update_deadline(self) -> None:
        # A WebSocket takes the transport over; its protocol has timeouts of its own.
        open_here = not self.transport.is_closing() and self.transport.get_protocol() is self
        if not open_here or (self.cycle is not None and not self.cycle.response_complete):
            self._cancel_deadline()
        elif self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEADERS_TIMEOUT_S, self._close)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._deadline = None
        if self.transport.get_protocol() is self and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
