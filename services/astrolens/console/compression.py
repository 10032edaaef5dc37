"""Answers of text are sent compressed: by Brotli where the browser takes it, else by gzip.

Files whose address changes with their content are compressed once and kept: quickly for whoever asks first, then as
small as it goes, in a thread, for all who follow. What is made for one request is compressed quickly. What has no
length beforehand is a stream and passes through.
"""

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import cramjam
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENCODINGS: Final = ("br", "gzip")
"""What is offered, the smallest first."""

LEVELS: Final = {"br": (5, 10), "gzip": (6, 9)}
"""Quick and best. NiceGUI's own files: 30 ms and 275 kB by Brotli at 5, .6 s and 252 kB at 10, 1.3 s and 248 kB at
11; 40 ms and 292 kB by gzip at 9."""

MIN_BYTES: Final = 400
"""A shorter body gains less than the header costs."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""A longer body passes through: it is held in memory while it is compressed."""

THREAD_MIN_BYTES: Final = 64 * 1024
"""From this length on the event loop does not wait for the compressor (some 5 ms at 100 kB)."""

MAX_CACHED_BYTES: Final = 16 * 1024 * 1024
"""Bytes of files that are kept, compressed; all of NiceGUI with every library of its elements has fewer."""

_TEXT: Final = ("text/", "application/json", "application/problem+json", "application/javascript", "image/svg+xml")
_IMMUTABLE: Final = "max-age=31536000"
_UNUSED: Final = ("content-length", "last-modified", "accept-ranges")
"""Headers that are not true of a compressed body, or of no use for one that never changes."""


@dataclass(frozen=True)
class _CachedAnswer:
    start: Message
    body: bytes


class Compression:
    """ASGI middleware; inside of everything that checks who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[tuple[str, str], _CachedAnswer] = {}
        self._bytes = 0
        self._improving: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with what is kept, or compress what the application answers."""
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        encoding = accepted(headers) if headers is not None else ""
        if headers is None or not encoding or "range" in headers:
            await self._app(scope, receive, send)
            return
        key = (encoding, scope["path"])
        kept = self._kept.get(key)
        if kept is not None and scope["method"] == "GET" and "if-none-match" not in headers:
            await _answer(send, kept.start, kept.body)
            return
        answer = _Answer(send, encoding)
        await self._app(scope, receive, answer.send)
        if answer.immutable and key not in self._kept and self._bytes + len(answer.compressed) <= MAX_CACHED_BYTES:
            self._kept[key] = _CachedAnswer(answer.start, answer.compressed)
            self._bytes += len(answer.compressed)
            # At most one for each file; ends by itself.
            task = asyncio.create_task(self._improve(key, bytes(answer.plain)))
            self._improving.add(task)
            task.add_done_callback(self._improving.discard)

    async def _improve(self, key: tuple[str, str], plain: bytes) -> None:
        encoding, _ = key
        best = await asyncio.to_thread(compressed, plain, encoding, best=True)
        start = _start_of(self._kept[key].start, encoding, len(best))
        self._bytes += len(best) - len(self._kept[key].body)
        self._kept[key] = _CachedAnswer(start, best)


class _Answer:
    """One answer, held back until it is whole and compressed, or passed on as it comes."""

    def __init__(self, send: Send, encoding: str) -> None:
        self._send = send
        self._encoding = encoding
        self._held = False
        self.start: Message = {}
        self.plain = bytearray()
        self.compressed = b""
        self.immutable = False

    async def send(self, message: Message) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            self._held = message["status"] == 200 and _compressible(headers)
            if self._held:
                self.start = message
                return
        elif self._held:
            self.plain += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish()
            return
        await self._send(message)

    async def _finish(self) -> None:
        plain = bytes(self.plain)
        if len(plain) < THREAD_MIN_BYTES:
            self.compressed = compressed(plain, self._encoding)
        else:
            self.compressed = await asyncio.to_thread(compressed, plain, self._encoding)
        self.immutable = _IMMUTABLE in Headers(raw=self.start["headers"]).get("cache-control", "")
        self.start = _start_of(self.start, self._encoding, len(self.compressed))
        await _answer(self._send, self.start, self.compressed)


def accepted(headers: Mapping[str, str]) -> str:
    """The encoding that a request takes, the smallest of what is offered; empty: none."""
    taken = set()
    for each in headers.get("accept-encoding", "").lower().split(","):
        name, _, quality = each.partition(";")
        if quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            taken.add(name.strip())
    return next((encoding for encoding in ENCODINGS if encoding in taken), "")


def compressed(plain: bytes, encoding: str, *, best: bool = False) -> bytes:
    """A body in one of `ENCODINGS`."""
    level = LEVELS[encoding][best]
    return bytes(cramjam.brotli.compress(plain, level)) if encoding == "br" else gzip.compress(plain, level, mtime=0)


def _compressible(headers: Headers) -> bool:
    length = headers.get("content-length", "")
    kind = headers.get("content-type", "")
    return (
        length.isdigit()
        and MIN_BYTES <= int(length) <= MAX_BYTES
        and kind.startswith(_TEXT)
        and not kind.startswith("text/event-stream")
        and "content-encoding" not in headers
    )


def _start_of(start: Message, encoding: str, length: int) -> Message:
    message = {**start, "headers": [each for each in start["headers"] if each[0].decode("latin-1") not in _UNUSED]}
    headers = MutableHeaders(scope=message)
    headers["content-encoding"] = encoding
    headers["content-length"] = str(length)
    headers.add_vary_header("accept-encoding")
    return message


async def _answer(send: Send, start: Message, body: bytes) -> None:
    # The middleware around this one adds its headers to the message.
    await send({**start, "headers": list(start["headers"])})
    await send({"type": "http.response.body", "body": body})
