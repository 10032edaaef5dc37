"""Sending files: bounded, retried, never twice."""

import asyncio
import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.cli import upload
from astrolens.cli.console_client import ConsoleUnreachable, Refused
from astrolens.cli.inputs import Item, find_items
from astrolens.cli.upload import Uploader
from astrolens.console.multipart import UploadedFile, read_multipart


class Console:
    """A console that takes uploads, unless told to misbehave."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}
        self.batches: set[str] = set()
        self.requests: list[int] = []
        self.answers: list[Callable[[], httpx.Response]] = []
        self.full_for = 0
        self.disk: str | None = None
        self.max_image_bytes = 2**30
        self.running = 0
        self.most_running = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/intake":
            self.full_for -= 1
            return httpx.Response(
                200,
                json={
                    "disk": self.disk,
                    "room": 0 if self.full_for >= 0 else 100,
                    "max_image_bytes": self.max_image_bytes,
                },
            )
        body = await request.aread()
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.01)
        self.running -= 1
        files: list[UploadedFile] = []

        async def chunks() -> Any:
            yield body

        async def take(some: list[UploadedFile]) -> None:
            files.extend(some)

        fields = await read_multipart(request.headers["content-type"], chunks(), max_file_bytes=2**30, take=take)
        known = json.loads(fields["observations"])
        self.batches.add(fields["batch"])
        new = 0
        for file, each in zip(files, known, strict=True):
            new += each["ref"] not in self.taken
            assert file.data is not None
            self.taken[each["ref"]] = file.data
        self.requests.append(len(files))
        # The answer comes after the work: an answer that is lost is the interesting failure.
        if self.answers:
            return self.answers.pop(0)()
        return httpx.Response(202, json={"new": new})


def lost() -> httpx.Response:
    raise httpx.ReadError("connection reset")


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Console:
    pauses: list[float] = []

    async def nap(seconds: float) -> None:
        pauses.append(seconds)
        await real_sleep(0.001)

    real_sleep = asyncio.sleep
    monkeypatch.setattr(upload.asyncio, "sleep", nap)
    return Console()


def uploader(console: Console, **options: Any) -> Uploader:
    client = httpx.AsyncClient(transport=httpx.MockTransport(console), base_url="http://console")
    return Uploader(client, **{"batch": "night", "survey": None, "unreachable_timeout_s": 60.0, **options})


async def test_only_regular_files_of_a_size_that_the_console_takes_are_read(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "small.jpg").write_bytes(b"pixels")
    with (tmp_path / "large.jpg").open("wb") as large:
        large.truncate(2**20 + 1)
    (tmp_path / "outside.jpg").write_bytes(b"secret")
    console.max_image_bytes = 2**20
    names = ("pipe.jpg", "folder.jpg", "large.jpg", "small.jpg", "absent.jpg")
    items = [Item(tmp_path / name, name) for name in names]
    items += [Item(Path("/dev/zero"), "zero"), Item(tmp_path / "outside.jpg", "outside", refused="outside the folder")]
    sender = uploader(console)
    async with asyncio.timeout(20):
        summary = await sender.send(items, batch_size=64)
    assert console.taken == {"small.jpg": b"pixels"}
    assert summary.unreadable == {
        "pipe.jpg": "no regular file",
        "folder.jpg": "Is a directory",
        "large.jpg": "1048577 bytes are more than the 1048576 that the console takes",
        "absent.jpg": "No such file or directory",
        "zero": "no regular file",
        "outside": "outside the folder",
    }


@pytest.fixture
def files(tmp_path: Path) -> list[Item]:
    for n in range(20):
        (tmp_path / f'image {n:02} ü".jpg').write_bytes(f"--pixels\r\n{n}".encode())
    return list(find_items(tmp_path))


async def test_everything_is_sent_a_few_requests_at_a_time(console: Console, files: list[Item]) -> None:
    counts: list[int] = []
    sent = await uploader(console, on_sent=counts.append).send(files, batch_size=3)
    assert (sent.files, sent.new, sum(counts)) == (20, 20, 20)
    assert console.taken == {item.ref: item.path.read_bytes() for item in files}
    assert sorted(console.requests) == [2, 3, 3, 3, 3, 3, 3]
    assert 1 < console.most_running <= upload.MAX_CONCURRENT
    assert console.batches == {"night"}


async def test_a_lost_answer_is_asked_for_again_under_the_same_batch(console: Console, files: list[Item]) -> None:
    console.answers = [lost, lambda: httpx.Response(503, json={"detail": "a store is away"}), lost]
    sent = await uploader(console).send(files, batch_size=5)
    assert sent.files == 20
    assert set(console.taken) == {item.ref for item in files}
    assert len(console.requests) == 4 + 3
    assert console.batches == {"night"}


async def test_a_full_pipeline_is_waited_for_however_long(console: Console, files: list[Item]) -> None:
    console.full_for = 1000
    console.answers = [lambda: httpx.Response(429, headers={"retry-after": "7"}, json={"detail": "full"})]
    sent = await uploader(console, unreachable_timeout_s=0.001).send(files, batch_size=20)
    assert sent.files == 20


async def test_a_pipeline_that_never_has_room_is_said(console: Console, files: list[Item]) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10.0
        return now

    console.full_for = 10**6
    with pytest.raises(upload.PipelineStalled, match="astrolens status"):
        await uploader(console, clock=clock).send(files, batch_size=20)
    assert console.taken == {}


async def test_a_console_that_does_not_answer_within_the_timeout_is_said(console: Console, files: list[Item]) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10.0
        return now

    console.answers = [lost] * 1000
    with pytest.raises(ConsoleUnreachable, match="http://console"):
        await uploader(console, clock=clock, unreachable_timeout_s=100.0).send(files, batch_size=20)


class PickyConsole(Console):
    """A console that refuses every request with a certain file in it."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if b"image 07" in await request.aread():
            return httpx.Response(422, json={"detail": "survey: 'No Slug!' cannot be used"})
        return await super().__call__(request)


async def test_what_is_refused_for_good_is_told_and_takes_no_neighbour_along(files: list[Item]) -> None:
    console = PickyConsole()
    sent = await uploader(console).send(files, batch_size=16)
    assert sent.refused == {'image 07 ü".jpg': "survey: 'No Slug!' cannot be used"}
    assert len(console.taken) == sent.files == sent.new == 19


async def test_what_cannot_be_taken_is_not_sent(console: Console, files: list[Item]) -> None:
    bad = Item(files[0].path, "bad.jpg", fault="line 3: dec is '100'")
    sent = await uploader(console).send([bad, *files[:2]], batch_size=64)
    assert sent.refused == {"bad.jpg": "line 3: dec is '100'"}
    assert len(console.taken) == sent.files == 2


async def test_a_console_that_does_not_let_one_in_is_said_at_once(console: Console, files: list[Item]) -> None:
    console.answers = [lambda: httpx.Response(401, json={"detail": "log in"})] * 10
    with pytest.raises(Refused, match="log in"):
        await uploader(console).send(files, batch_size=5)


async def test_a_file_that_cannot_be_read_is_named_and_holds_up_nothing(console: Console, files: list[Item]) -> None:
    gone = Item(files[0].path.with_name("gone.jpg"), "gone.jpg")
    sent = await uploader(console).send([files[0], gone, files[1]], batch_size=64)
    assert sent.files == 2
    assert sent.unreadable == {"gone.jpg": "No such file or directory"}


class Network(httpx.AsyncBaseTransport):
    """Passes requests to a console chunk by chunk, as a network does."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.chunks: list[int] = []
        self.length: str | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = bytearray()
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for chunk in request.stream:
            self.chunks.append(len(chunk))
            body += chunk
        if request.url.path == "/api/images":
            self.length = request.headers["content-length"]
            assert self.length == str(len(body))
        return await self.console(
            httpx.Request(request.method, request.url, headers=request.headers, content=bytes(body))
        )


async def test_a_large_file_is_streamed_and_never_held_whole(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "REQUEST_BYTES", 2**20)
    large = tmp_path / "large.fits"
    with large.open("wb") as file:
        for n in range(24):
            file.write(bytes([n]) * 100_003)
    console.answers = [lost]
    network = Network(console)
    client = httpx.AsyncClient(transport=network, base_url="http://console")
    uploader = Uploader(client, batch="night", survey=None, unreachable_timeout_s=60.0)
    sent = await uploader.send([Item(large, "large.fits")], batch_size=64)
    monkeypatch.undo()
    assert (sent.files, len(console.requests)) == (1, 2)
    assert console.taken["large.fits"] == large.read_bytes()
    assert max(network.chunks) <= 64 * 1024


async def test_a_large_file_that_fails_half_way_is_named(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[Item]
) -> None:
    class BrokenDisk(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100_000:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    large = tmp_path / "large.fits"
    large.write_bytes(b"x" * 300_000)
    real_open = upload.open_regular
    monkeypatch.setattr(upload, "REQUEST_BYTES", 1000)

    def open_file(item: Item, *, max_bytes: int) -> Any:
        return (BrokenDisk(b"x" * 300_000), 300_000) if item.path == large else real_open(item, max_bytes=max_bytes)

    monkeypatch.setattr(upload, "open_regular", open_file)
    client = httpx.AsyncClient(transport=Network(console), base_url="http://console")
    uploader = Uploader(client, batch="night", survey=None, unreachable_timeout_s=60.0)
    sent = await uploader.send([Item(large, "large.fits"), files[0]], batch_size=64)
    assert sent.unreadable == {"large.fits": "Input/output error"}
    assert (sent.files, list(console.taken)) == (1, [files[0].ref])


async def test_a_file_that_goes_between_two_attempts_does_not_hold_up_the_others(
    console: Console, files: list[Item]
) -> None:
    def lose_one() -> httpx.Response:
        files[0].path.unlink()
        return lost()

    console.answers = [lose_one]
    sent = await uploader(console).send(files[:3], batch_size=64)
    assert (sent.files, sent.unreadable) == (2, {files[0].ref: "No such file or directory"})
    assert console.requests == [3, 2]


async def test_a_nearly_full_disk_ends_the_sending_with_its_own_sentence(console: Console, files: list[Item]) -> None:
    sentence = "The disk of /data is nearly full: 3 MiB are free"
    console.answers = [lambda: httpx.Response(507, json={"title": "Insufficient storage", "detail": sentence})] * 20
    with pytest.raises(Refused, match=sentence):
        await uploader(console).send(files, batch_size=3)
    assert len(console.requests) <= upload.MAX_CONCURRENT


async def test_a_disk_that_is_nearly_full_at_the_start_costs_no_upload(console: Console, files: list[Item]) -> None:
    console.full_for, console.disk = 10**6, "the disk of /data is nearly full"
    with pytest.raises(Refused, match=r"the disk of /data is nearly full; `--batch night` goes on from here"):
        await uploader(console).send(files, batch_size=3)
    assert console.requests == []
