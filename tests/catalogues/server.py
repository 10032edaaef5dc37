"""A service on a loopback port, which can also drip its reply byte by byte, or reset the connection in its middle."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.catalogues.services import Reply, Request, Service

DRIP_S = 0.05


@contextlib.asynccontextmanager
async def serving(service: Service) -> AsyncIterator[str]:
    """Serve; the base URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _answer(service, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)


async def _answer(service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    reply = service(Request(method, target, headers, body))
    if reply.after is not None:
        await reply.after.wait()
    data = reply.body.encode()
    fields = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
    writer.write(
        f"HTTP/1.1 {reply.status} X\r\nContent-Length: {len(data)}\r\nConnection: close\r\n{fields}\r\n".encode()
    )
    await _send(writer, reply, data)


async def _send(writer: asyncio.StreamWriter, reply: Reply, data: bytes) -> None:
    if reply.reset:
        writer.write(data[: len(data) // 2])
        await writer.drain()
        writer.transport.abort()
    elif reply.drip:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(DRIP_S)
    else:
        writer.write(data)
        await writer.drain()
