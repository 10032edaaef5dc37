"""An HTTP server inside a service's event loop; the service handles the signals."""

import contextlib
import errno
import socket
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from astrolens.platform.errors import AstroLensError, ConfigurationError
from astrolens.platform.runtime.header_deadline import HeaderDeadlineProtocol
from astrolens.platform.runtime.tasks import OnFailure, Tasks

HEALTH_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
_CONNECTIONS_GRACE_S: Final = 2
"""How long open connections may delay the end of the server."""
_KEEP_ALIVE_S: Final = 15
"""How long an unused connection stays open. Longer than clients keep theirs (httpx: 5 s): else a request may meet the
end of its connection."""
_BACKLOG: Final = 128


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The service stops its parts in its own order; uvicorn would end the process before.
        yield


class HttpServer:
    """Serves one application on a socket that already listens."""

    def __init__(
        self,
        app: ASGIApp,
        listening: socket.socket,
        *,
        lifespan: bool,
        web_sockets: bool,
        on_failure: OnFailure,
    ) -> None:
        """Compose; nothing is served.

        Args:
            app: The application.
            listening: From `listen`; `stop` closes it.
            lifespan: Whether the application has start-up and shutdown of its own.
            web_sockets: Whether it has WebSockets; only then their protocol is imported.
            on_failure: Called when the server ends before `stop`.
        """
        self._socket = listening
        self._task = Tasks(on_failure)
        self._stopping = False
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                http=HeaderDeadlineProtocol,
                ws="auto" if web_sockets else "none",
                # Uvicorn would believe every program of this machine; the console names the proxies that it believes.
                proxy_headers=False,
                lifespan="on" if lifespan else "off",
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_CONNECTIONS_GRACE_S,
            )
        )

    def start(self) -> None:
        """Serve in a task of its own."""
        self._task.spawn("HTTP", self._serve, graceful=True)
        self._task.start()

    async def stop(self, grace_s: float) -> None:
        """Let open requests end within `grace_s` seconds, and free the port."""
        self._stopping = True
        self._server.should_exit = True
        await self._task.stop(grace_s)
        self._socket.close()

    async def _serve(self) -> None:
        await self._server.serve(sockets=[self._socket])
        if not self._stopping:
            raise AstroLensError("the HTTP server ended")


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """Take a port, before anything else is started.

    Args:
        host: An address of this machine.
        port: A TCP port.
        setting: The variable to be named where the port cannot be had.

    Raises:
        ConfigurationError: The port is taken, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY only then, and without it every answer on a connection that is
    # used again waits 40 ms for the client's delayed acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        # Two sockets may be bound to the same address until one listens.
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"port {port} on {host} is taken by another program; set {setting}") from error
        raise ConfigurationError(f"cannot listen on {host}:{port} ({error.strerror}); set {setting}") from error
    return listening


def add_health_endpoints(web: ASGIApp, health: ASGIApp) -> ASGIApp:
    """One application of two: `health` answers `HEALTH_PATHS`, `web` everything else, lifespan events included."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = health if scope["type"] == "http" and scope["path"] in HEALTH_PATHS else web
        await chosen(scope, receive, send)

    return dispatch
