"""The listening socket of a service, on loopback."""

import asyncio
import socket

from astrolens.platform.runtime.http_server import listen


async def test_answers_are_sent_at_once() -> None:
    """Without TCP_NODELAY an answer in two parts waits 40 ms for the delayed acknowledgement of the first."""
    listening = listen("127.0.0.1", 0, setting="ASTROLENS_PORT")
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Accepting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connection = transport.get_extra_info("socket")
            accepted.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    server = await asyncio.get_running_loop().create_server(Accepting, sock=listening)
    async with server:
        _, writer = await asyncio.open_connection(*listening.getsockname())
        assert await asyncio.wait_for(accepted, 10)
        writer.close()
