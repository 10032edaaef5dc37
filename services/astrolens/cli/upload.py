"""Sending files to the console: several requests at once, bounded, retried while it is full or restarts."""

import asyncio
import json
import os
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

import httpx

from astrolens.cli.console_client import Refused, console_unreachable, parse_response
from astrolens.cli.inputs import Item
from astrolens.platform.errors import AstroLensError
from astrolens.platform.retry import RetryPolicy

MAX_CONCURRENT = 4
"""Requests at the same time: one is read from disk while another is stored and a third waits for the pipeline."""

REQUEST_BYTES = 32 * 2**20
"""Bytes of files in one request, held in memory; a larger file goes alone and is streamed from disk."""

FIRST_ANSWER_TIMEOUT_S = 30.0
"""How long the first answer may take: all services may be starting."""

DEFAULT_MAX_FILE_BYTES = 64 * 2**20
"""Largest file sent to a console that does not say what it takes, bytes."""

STALL_TIMEOUT_S = 900.0
"""How long a pipeline that settles nothing is waited for: far above a restart of everything, below a lost night."""

_Answer = TypeVar("_Answer", httpx.Response, httpx.Response | None)
_FULL_POLL_S = 0.2
_REFUSED = frozenset({httpx.codes.BAD_REQUEST, httpx.codes.REQUEST_ENTITY_TOO_LARGE, httpx.codes.UNPROCESSABLE_ENTITY})
"""What a request is answered with of which something can never be taken."""
_RETRY = RetryPolicy(initial_wait_s=0.25, max_wait_s=5.0)


class PipelineStalled(AstroLensError):
    """The pipeline answers, but nothing is settled."""


@dataclass
class UploadSummary:
    """What was sent."""

    files: int = 0
    new: int = 0
    rejected: int = 0
    """How many the console rejected at once."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Reason by ref of files that could not be read here."""
    refused: dict[str, str] = field(default_factory=dict)
    """Reason by ref of what cannot be taken: with its line where a table names it, or in the console's words."""


class Uploader:
    """Sends items as one batch. Sending the same batch again is harmless: each ref arrives once.

    Args:
        client: A client of the console.
        batch: Name of the batch.
        survey: Survey of items that name none.
        unreachable_timeout_s: How long the console may take nothing and not answer, seconds.
        on_sent: Called with the number of items that are dealt with.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        batch: str,
        survey: str | None,
        unreachable_timeout_s: float,
        on_sent: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._batch = batch
        self._survey = survey
        self._unreachable_timeout_s = unreachable_timeout_s
        self._on_sent = on_sent
        self._clock = clock
        self._has_answered = False
        # When the console last took an upload, or said that it is full: both are signs that it works.
        self._worked_at = clock()
        self._waiting = asyncio.Lock()
        self._max_file_bytes = DEFAULT_MAX_FILE_BYTES
        self.summary = UploadSummary()

    async def send(self, items: Iterable[Item], *, batch_size: int) -> UploadSummary:
        """Send everything.

        Args:
            items: What to send; the next ones are asked for when a request is free for them.
            batch_size: Most files in one request.

        Raises:
            ConsoleUnreachable: It did not answer within the timeout.
            Refused: It will never take one of the requests.
            PipelineStalled: It was full for `STALL_TIMEOUT_S`.
        """
        groups = grouped(items, batch_size=batch_size)
        finding = asyncio.Lock()
        failed: list[BaseException] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(MAX_CONCURRENT):
                    tasks.create_task(self._send_groups(groups, finding))
        except* AstroLensError as failures:
            # Not raised here: some versions of Python would wrap it in a group again.
            failed += failures.exceptions
        if failed:
            raise failed[0]
        return self.summary

    async def _send_groups(self, groups: Iterator[list[Item]], finding: asyncio.Lock) -> None:
        while True:
            async with finding:
                group = await asyncio.to_thread(next, groups, None)
            if group is None:
                return
            await self._send_group(group)
            self._on_sent(len(group))

    async def _send_group(self, group: list[Item]) -> None:
        """Send one request until it is taken. What the console refuses costs no neighbour: halves are sent alone."""
        for item in group:
            if item.fault is not None:
                self.summary.refused[item.ref] = item.fault
        group = [item for item in group if item.fault is None]
        while group:
            response = await self._until_answered(lambda: self._post(group))
            if response is None:
                return
            self._worked_at = self._clock()
            if response.status_code in _REFUSED:
                await self._send_refused(group, response)
                return
            if response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                answer = parse_response(response)
                self.summary.new += int(answer["new"])
                self.summary.rejected += int(answer.get("rejected", 0))
                self.summary.files += sum(item.ref not in self.summary.unreadable for item in group)
                return
            await asyncio.sleep(_retry_after_s(response))

    async def _send_refused(self, group: list[Item], response: httpx.Response) -> None:
        """Find what the console refuses in a request: the rest of it is sent."""
        if len(group) == 1:
            try:
                parse_response(response)
            except Refused as refusal:
                self.summary.refused[group[0].ref] = str(refusal)
            return
        half = len(group) // 2
        await self._send_group(group[:half])
        await self._send_group(group[half:])

    async def _post(self, group: Sequence[Item]) -> httpx.Response | None:
        """Send one request once, as soon as the pipeline has capacity; None where no file can be read."""
        await self._wait_for_capacity()
        with ExitStack() as opened:
            files = await asyncio.to_thread(self._read, group, opened)
            if not files:
                return None
            observations = [{"ref": item.ref, **item.metadata} for item, _ in files]
            fields = {"batch": self._batch, "observations": json.dumps(observations, separators=(",", ":"))}
            if self._survey:
                fields["survey"] = self._survey
            # The true name travels in `observations`, where no character needs care.
            parts = [("file", ("file", content)) for _, content in files]
            try:
                return await self._client.post("/api/images", data=fields, files=parts)
            except OSError as error:
                # httpx has errors of its own for the network: this is a streamed file.
                self._note_unreadable(files[0][0], error)
                return None

    def _read(self, group: Sequence[Item], opened: ExitStack) -> list[tuple[Item, bytes | BinaryIO]]:
        """The contents of all files that can be read; a large one stays on disk, and `opened` closes it."""
        files: list[tuple[Item, bytes | BinaryIO]] = []
        for item in group:
            if item.data is not None:
                if len(item.data) <= self._max_file_bytes:
                    files.append((item, item.data))
                else:
                    self.summary.unreadable[item.ref] = _too_large(len(item.data), self._max_file_bytes)
                continue
            try:
                with ExitStack() as opening:
                    file, size = open_regular(item, max_bytes=self._max_file_bytes)
                    opening.enter_context(file)
                    if len(group) == 1 and size > REQUEST_BYTES:
                        # httpx reads it 64 KiB at a time between two writes to the network.
                        files.append((item, file))
                        opened.push(opening.pop_all())
                    else:
                        files.append((item, file.read(self._max_file_bytes)))
                self.summary.unreadable.pop(item.ref, None)
            except OSError as error:
                self._note_unreadable(item, error)
        return files

    def _resumable(self, sentence: str) -> str:
        return f"the console takes nothing in: {sentence}; `--batch {self._batch}` goes on from here"

    def _note_unreadable(self, item: Item, error: OSError) -> None:
        self.summary.unreadable[item.ref] = error.strerror or str(error)

    async def _wait_for_capacity(self) -> None:
        """Wait while the pipeline is full: asking costs nothing, an upload that is refused has cost its bytes."""
        async with self._waiting:
            began_at = self._clock()
            while True:
                response = await self._until_answered(lambda: self._client.get("/api/intake"))
                capacity = parse_response(response)
                self._max_file_bytes = int(capacity.get("max_image_bytes", DEFAULT_MAX_FILE_BYTES))
                if capacity["room"] > 0:
                    return
                if shortage := capacity.get("disk"):
                    raise Refused(httpx.codes.INSUFFICIENT_STORAGE, self._resumable(shortage))
                # A full pipeline works on what it has, unless it is full for too long.
                self._worked_at = self._clock()
                if self._worked_at - began_at > STALL_TIMEOUT_S:
                    raise PipelineStalled(
                        f"the pipeline has been full for {STALL_TIMEOUT_S:.0f} s: `astrolens status` shows which "
                        f"service does not work; `--batch {self._batch}` goes on from here"
                    )
                await asyncio.sleep(_FULL_POLL_S)

    async def _until_answered(self, send: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Send until there is an answer that is no fault of the console itself.

        Raises:
            ConsoleUnreachable: There was none within the timeout.
        """
        failures = 0
        while True:
            error: Exception
            try:
                response = await send()
                slow = response is not None and response.status_code == httpx.codes.REQUEST_TIMEOUT
                full = response is not None and response.status_code == httpx.codes.INSUFFICIENT_STORAGE
                if response is None or full or not (response.is_server_error or slow):
                    self._has_answered = True
                    return response
                error = httpx.TransportError(f"it answers {response.status_code}")
            except httpx.TransportError as failure:
                error = failure
            # A console that never answered is more likely not there than restarting.
            timeout_s = self._unreachable_timeout_s
            if not self._has_answered:
                timeout_s = min(timeout_s, FIRST_ANSWER_TIMEOUT_S)
            if self._clock() - self._worked_at > timeout_s:
                raise console_unreachable(str(self._client.base_url), error) from error
            await asyncio.sleep(_RETRY.wait_s(failures))
            failures += 1


def open_regular(item: Item, *, max_bytes: int) -> tuple[BinaryIO, int]:
    """Open a file that may be sent; close it.

    Returns:
        The open file and its size, bytes.

    Raises:
        OSError: It must not be read, is no regular file, or is larger than `max_bytes`; none of it has been read.
    """
    if item.refused is not None:
        raise OSError(item.refused)
    with ExitStack() as opened:
        file = opened.enter_context(open(item.path, "rb", opener=_open_without_waiting))
        # What is opened is what is checked: a path may name another file a moment later.
        size = _checked_size(os.fstat(file.fileno()), max_bytes=max_bytes)
        opened.pop_all()
    return file, size


def _open_without_waiting(path: str, flags: int) -> int:
    # A pipe without a writer would block for ever.
    return os.open(path, flags | os.O_NONBLOCK)


def _checked_size(status: os.stat_result, *, max_bytes: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file")
    if status.st_size > max_bytes:
        raise OSError(_too_large(status.st_size, max_bytes))
    return status.st_size


def _too_large(size: int, max_bytes: int) -> str:
    return f"{size} bytes are more than the {max_bytes} that the console takes"


def grouped(items: Iterable[Item], *, batch_size: int) -> Iterator[list[Item]]:
    """Requests of at most `batch_size` files and about `REQUEST_BYTES`; a larger file goes alone."""
    group: list[Item] = []
    left = REQUEST_BYTES
    for item in items:
        size = _size(item)
        if group and (len(group) >= batch_size or size > left):
            yield group
            group, left = [], REQUEST_BYTES
        group.append(item)
        left -= size
    if group:
        yield group


def _size(item: Item) -> int:
    if item.data is not None:
        return len(item.data)
    try:
        return 0 if item.fault else item.path.stat().st_size
    except (OSError, ValueError):
        return 0


def _retry_after_s(response: httpx.Response) -> float:
    try:
        return min(max(float(response.headers.get("retry-after", "1")), 0.1), 30.0)
    except ValueError:
        return 1.0
