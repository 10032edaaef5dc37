"""An HTTP server inside a service's own event loop; signals stay with the service."""

import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from astrolens.platform.errors import ConfigurationError

HEALTH_PATHS = frozenset({"/livez", "/readyz", "/metrics"})
_CONNECTIONS_GRACE_S = 2
"""How long open connections may keep the server from ending."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The service stops in its own order; uvicorn would end the process under it.
        yield


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """Take a port before anything else is started.

    Raises:
        ConfigurationError: The port is taken, or the host is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        # Listening too: two sockets may share a bound address until one listens.
        taken.listen(128)
    except OSError as error:
        taken.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"port {port} on {host} is taken by another program; set {setting}") from error
        raise ConfigurationError(f"cannot listen on {host}:{port} ({error.strerror}); set {setting}") from error
    return taken


def server_of(app: ASGIApp, *, lifespan: bool) -> uvicorn.Server:
    """A quiet server of an ASGI application, to be run with `serve(sockets=[...])`."""
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on" if lifespan else "off",
            timeout_graceful_shutdown=_CONNECTIONS_GRACE_S,
        )
    )


def with_health(web: ASGIApp, health: ASGIApp) -> ASGIApp:
    """One application of two: the health endpoints, and `web` for everything else, its lifespan included."""

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = health if scope["type"] == "http" and scope["path"] in HEALTH_PATHS else web
        await chosen(scope, receive, send)

    return dispatch
