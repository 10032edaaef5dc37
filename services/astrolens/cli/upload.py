"""Sending files to the console: many at once, bounded, patient while it is full or restarts."""

import asyncio
import json
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import httpx

from astrolens.cli.console_client import checked, console_unreachable
from astrolens.cli.inputs import Item
from astrolens.platform.errors import AstroLensError

CONCURRENT = 4
"""Requests at the same time: one is read from disk while another is stored and a third waits for room."""

REQUEST_BYTES = 32 * 2**20
"""Bytes of files in one request; a larger file goes alone and is streamed from disk."""

FIRST_ANSWER_S = 30.0
"""How long the first answer may take: all services may be starting."""

STALLED_S = 900.0
"""How long a pipeline that settles nothing is waited for: far above a restart of everything, below a lost night."""

_CHUNK_BYTES = 2**20
_FULL_POLL_S = 0.2
_LONGEST_PAUSE_S = 5.0


class Stalled(AstroLensError):
    """The pipeline answers, but nothing moves."""


@dataclass
class Sent:
    """What became of sending."""

    files: int = 0
    new: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)
    """Reason by ref of files that could not be read here."""


class Uploader:
    """Sends items as one batch. Sending the same batch again is harmless: each ref arrives once."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        batch: str,
        survey: str | None,
        patience_s: float,
        on_sent: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._batch = batch
        self._survey = survey
        self._patience_s = patience_s
        self._on_sent = on_sent
        self._clock = clock
        self._seen = False
        self._well_at = clock()
        self._room = asyncio.Lock()
        self.sent = Sent()

    async def send(self, items: Sequence[Item], *, batch_size: int) -> Sent:
        """Send everything.

        Args:
            items: What to send.
            batch_size: Most files in one request.

        Raises:
            ConsoleUnreachable: It did not answer for as long as patience lasts.
            Refused: It will never take one of the requests.
            Stalled: It was full for `STALLED_S`.
        """
        queue: asyncio.Queue[list[Item]] = asyncio.Queue()
        for group in grouped(items, batch_size=batch_size):
            queue.put_nowait(group)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(CONCURRENT, queue.qsize())):
                    tasks.create_task(self._work(queue))
        except* AstroLensError as failures:
            raise failures.exceptions[0] from None
        return self.sent

    async def _work(self, queue: asyncio.Queue[list[Item]]) -> None:
        while not queue.empty():
            group = queue.get_nowait()
            readable = await asyncio.to_thread(self._readable, group)
            if readable:
                # In two steps: an augmented assignment reads its left side before it waits.
                new = await self._deliver(readable)
                self.sent.new += new
                self.sent.files += len(readable)
            self._on_sent(len(group))

    def _readable(self, group: Sequence[Item]) -> list[Item]:
        readable = []
        for item in group:
            try:
                with item.path.open("rb"):
                    readable.append(item)
            except OSError as error:
                self.sent.unreadable[item.ref] = error.strerror or str(error)
        return readable

    async def _deliver(self, group: Sequence[Item]) -> int:
        """Send one request until it is taken; return how many of its files are new."""
        pause_s = 0.25
        while True:
            await self._wait_for_room()
            body = _Body(group, batch=self._batch, survey=self._survey)
            try:
                response = await self._client.post(
                    "/api/images", content=await body.content(), headers={"Content-Type": body.content_type}
                )
            except httpx.TransportError as error:
                await self._pause(pause_s, error)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                continue
            if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                self._well_at = self._clock()
                await asyncio.sleep(_retry_after_s(response))
            elif response.is_server_error:
                await self._pause(pause_s, httpx.TransportError(f"it answers {response.status_code}"))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                self._well_at = self._clock()
                return int(checked(response)["new"])

    async def _wait_for_room(self) -> None:
        """Hold back while the pipeline is full: asking costs nothing, an upload refused has cost its bytes."""
        async with self._room:
            pause_s = 0.25
            began_at = self._clock()
            while True:
                try:
                    response = await self._client.get("/api/intake")
                except httpx.TransportError as error:
                    await self._pause(pause_s, error)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    continue
                if response.is_server_error:
                    await self._pause(pause_s, httpx.TransportError(f"it answers {response.status_code}"))
                    continue
                self._seen = True
                if checked(response)["room"] > 0:
                    return
                # Full is well: it works on what it has. Room alone is not, as long as it takes nothing.
                self._well_at = self._clock()
                if self._well_at - began_at > STALLED_S:
                    raise Stalled(
                        f"the pipeline has been full for {STALLED_S:.0f} s: `astrolens status` shows which service "
                        f"does not work; `--batch {self._batch}` goes on from here"
                    )
                await asyncio.sleep(_FULL_POLL_S)

    async def _pause(self, pause_s: float, error: Exception) -> None:
        # One that never answered is more likely not there than restarting.
        patience_s = self._patience_s if self._seen else min(self._patience_s, FIRST_ANSWER_S)
        if self._clock() - self._well_at > patience_s:
            raise console_unreachable(str(self._client.base_url), error) from error
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret


class _Body:
    """A multipart body: built at once where its files are small, streamed from disk where one is large."""

    def __init__(self, group: Sequence[Item], *, batch: str, survey: str | None) -> None:
        self._group = group
        self._boundary = f"astrolens-{secrets.token_hex(16)}"
        known = [{"ref": item.ref, **item.known} for item in group]
        fields = {"batch": batch, "observations": json.dumps(known, separators=(",", ":"))}
        if survey:
            fields["survey"] = survey
        self._head = b"".join(
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        )
        # The true name travels in `observations`, where no character needs care.
        self._file_head = (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
        ).encode()
        self._tail = f"--{self._boundary}--\r\n".encode()

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self._boundary}"

    async def content(self) -> bytes | AsyncIterator[bytes]:
        if len(self._group) == 1 and self._group[0].path.stat().st_size > REQUEST_BYTES:
            return self._stream(self._group[0])
        return await asyncio.to_thread(self._joined)

    def _joined(self) -> bytes:
        parts = [self._head]
        for item in self._group:
            parts += (self._file_head, item.path.read_bytes(), b"\r\n")
        parts.append(self._tail)
        return b"".join(parts)

    async def _stream(self, item: Item) -> AsyncIterator[bytes]:
        yield self._head + self._file_head
        with item.path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
                yield chunk
        yield b"\r\n" + self._tail


def grouped(items: Sequence[Item], *, batch_size: int) -> list[list[Item]]:
    """Requests of at most `batch_size` files and about `REQUEST_BYTES`; a larger file goes alone."""
    groups: list[list[Item]] = []
    room = 0
    for item in items:
        try:
            size = item.path.stat().st_size
        except OSError:
            size = 0
        if not groups or len(groups[-1]) >= batch_size or size > room:
            groups.append([])
            room = REQUEST_BYTES
        groups[-1].append(item)
        room -= size
    return groups


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(max(float(response.headers.get("retry-after", "1")), 0.1), 30.0)
    except ValueError:
        return 1.0
