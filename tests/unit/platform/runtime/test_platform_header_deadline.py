"""Requests whose headers do not come are closed; others are left alone."""

import asyncio
from typing import Any

import pytest
import uvicorn
from astrolens.platform.runtime import header_deadline
from astrolens.platform.runtime.header_deadline import HeaderDeadlineProtocol
from uvicorn.server import ServerState

TIMEOUT_S = 0.05
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Transport(asyncio.Transport):
    """A transport that remembers what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = asyncio.Event()
        self.protocol: Any = None

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed.set()

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def get_protocol(self) -> Any:
        return self.protocol

    def pause_reading(self) -> None:
        return None

    def resume_reading(self) -> None:
        return None


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_deadline, "HEADERS_TIMEOUT_S", TIMEOUT_S)


class Connection:
    """One connection to an application that answers when it is allowed to."""

    def __init__(self, protocol_class: Any) -> None:
        self.may_answer = asyncio.Event()
        config = uvicorn.Config(self.application, log_config=None, interface="asgi3", lifespan="off")
        config.load()
        self.transport = Transport()
        self.protocol = protocol_class(config=config, server_state=ServerState(), app_state={})
        self.transport.set_protocol(self.protocol)
        self.protocol.connection_made(self.transport)

    async def application(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def is_closed(self) -> bool:
        """Whether it is closed by itself, within many times the limit."""
        try:
            await asyncio.wait_for(self.transport.closed.wait(), 20 * TIMEOUT_S)
        except TimeoutError:
            return False
        return True

    async def answered(self) -> None:
        """Wait for the answer to what was sent."""
        self.may_answer.set()
        async with asyncio.timeout(10):
            while not self.transport.written.endswith(b"ok"):
                await asyncio.sleep(0.005)


async def test_a_connection_that_sends_nothing_or_half_its_headers_is_closed() -> None:
    silent, half = Connection(HeaderDeadlineProtocol), Connection(HeaderDeadlineProtocol)
    half.protocol.data_received(REQUEST[:20])
    assert await half.is_closed()
    assert await silent.is_closed()


async def test_a_connection_that_trickles_its_headers_is_closed() -> None:
    connection = Connection(HeaderDeadlineProtocol)
    connection.protocol.data_received(REQUEST[:20])
    async with asyncio.timeout(10):
        while not connection.transport.is_closing():
            connection.protocol.data_received(b"a")
            await asyncio.sleep(TIMEOUT_S / 5)
    assert connection.transport.written == b""


async def test_an_answer_may_take_its_time() -> None:
    connection = Connection(HeaderDeadlineProtocol)
    connection.protocol.data_received(REQUEST)
    assert not await connection.is_closed()
    await connection.answered()


async def test_half_a_second_request_is_closed_too() -> None:
    connection = Connection(HeaderDeadlineProtocol)
    connection.protocol.data_received(REQUEST)
    await connection.answered()
    assert not connection.transport.is_closing()
    connection.protocol.data_received(REQUEST[:20])
    assert await connection.is_closed()


async def test_a_connection_that_becomes_a_socket_is_left_alone() -> None:
    connection = Connection(HeaderDeadlineProtocol)
    connection.transport.set_protocol(asyncio.Protocol())
    connection.protocol.data_received(REQUEST[:20])
    assert not await connection.is_closed()
