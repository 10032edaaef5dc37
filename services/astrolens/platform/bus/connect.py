"""Waiting for the broker, before a client is built that would have to be torn down again."""

import asyncio
from collections.abc import Sequence
from time import monotonic

from astrolens.platform.errors import BusUnavailable, ConfigurationError

_KAFKA_PORT = 9092
_ONE_TRY_S = 2.0
_PAUSE_S = 0.25


async def await_broker(servers: Sequence[str], *, patience_s: float) -> None:
    """Return as soon as one of `servers` accepts a connection.

    Raises:
        BusUnavailable: None did within `patience_s`.
        ConfigurationError: An address is no `host:port`.
    """
    addresses = [_address(server) for server in servers]
    deadline = monotonic() + patience_s
    while True:
        for host, port in addresses:
            if await _accepts(host, port):
                return
        if monotonic() > deadline:
            raise BusUnavailable(f"the event broker at {','.join(servers)} did not answer for {patience_s:g} s")
        await asyncio.sleep(_PAUSE_S)


async def _accepts(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(_ONE_TRY_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _address(server: str) -> tuple[str, int]:
    host, separator, port = server.rpartition(":")
    if not separator:
        return server, _KAFKA_PORT
    if not port.isdigit() or not host:
        raise ConfigurationError(f"ASTROLENS_EVENTS_URL: {server!r} is no host:port")
    return host.strip("[]"), int(port)
