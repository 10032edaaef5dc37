"""Sending files: bounded, patient, never twice."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.cli import upload
from astrolens.cli.console_client import ConsoleUnreachable, Refused
from astrolens.cli.inputs import Item, items_of
from astrolens.cli.upload import Uploader
from astrolens.console.multipart import UploadedFile, read_multipart


class Console:
    """A console that takes uploads, unless told to misbehave."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}
        self.batches: set[str] = set()
        self.requests: list[int] = []
        self.moods: list[Callable[[], httpx.Response]] = []
        self.full_for = 0
        self.running = 0
        self.most_running = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/intake":
            self.full_for -= 1
            return httpx.Response(200, json={"room": 0 if self.full_for >= 0 else 100})
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
        # The mood comes after the work: an answer that is lost is the interesting failure.
        if self.moods:
            return self.moods.pop(0)()
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
    return Uploader(client, **{"batch": "night", "survey": None, "patience_s": 60.0, **options})


@pytest.fixture
def files(tmp_path: Path) -> list[Item]:
    for n in range(20):
        (tmp_path / f'image {n:02} ü".jpg').write_bytes(f"--pixels\r\n{n}".encode())
    return items_of(tmp_path)


async def test_everything_is_sent_a_few_requests_at_a_time(console: Console, files: list[Item]) -> None:
    told: list[int] = []
    sent = await uploader(console, on_sent=told.append).send(files, batch_size=3)
    assert (sent.files, sent.new, sum(told)) == (20, 20, 20)
    assert console.taken == {item.ref: item.path.read_bytes() for item in files}
    assert sorted(console.requests) == [2, 3, 3, 3, 3, 3, 3]
    assert 1 < console.most_running <= upload.CONCURRENT
    assert console.batches == {"night"}


async def test_a_lost_answer_is_asked_for_again_under_the_same_batch(console: Console, files: list[Item]) -> None:
    console.moods = [lost, lambda: httpx.Response(503, json={"detail": "a store is away"}), lost]
    sent = await uploader(console).send(files, batch_size=5)
    assert sent.files == 20
    assert set(console.taken) == {item.ref for item in files}
    assert len(console.requests) == 4 + 3
    assert console.batches == {"night"}


async def test_a_full_pipeline_is_waited_for_however_long(console: Console, files: list[Item]) -> None:
    console.full_for = 1000
    console.moods = [lambda: httpx.Response(429, headers={"retry-after": "7"}, json={"detail": "full"})]
    sent = await uploader(console, patience_s=0.001).send(files, batch_size=20)
    assert sent.files == 20


async def test_a_pipeline_that_never_has_room_is_said(console: Console, files: list[Item]) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10.0
        return now

    console.full_for = 10**6
    with pytest.raises(upload.Stalled, match="astrolens status"):
        await uploader(console, clock=clock).send(files, batch_size=20)
    assert console.taken == {}


async def test_patience_ends(console: Console, files: list[Item]) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 10.0
        return now

    console.moods = [lost] * 1000
    with pytest.raises(ConsoleUnreachable, match="http://console"):
        await uploader(console, clock=clock, patience_s=100.0).send(files, batch_size=20)


async def test_what_is_refused_for_good_is_said_in_the_consoles_words(console: Console, files: list[Item]) -> None:
    console.moods = [lambda: httpx.Response(422, json={"detail": "survey: 'No Slug!' cannot be used"})] * 10
    with pytest.raises(Refused, match="No Slug") as refused:
        await uploader(console).send(files, batch_size=5)
    assert refused.value.status == 422


async def test_a_file_that_cannot_be_read_is_named_and_holds_up_nothing(console: Console, files: list[Item]) -> None:
    gone = Item(files[0].path.with_name("gone.jpg"), "gone.jpg")
    sent = await uploader(console).send([files[0], gone, files[1]], batch_size=64)
    assert sent.files == 2
    assert sent.unreadable == {"gone.jpg": "No such file or directory"}


async def test_a_large_file_is_streamed(
    console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[Item]
) -> None:
    monkeypatch.setattr(upload, "REQUEST_BYTES", 1000)
    monkeypatch.setattr(upload, "_CHUNK_BYTES", 300)
    large = tmp_path / "large.fits"
    large.write_bytes(bytes(range(256)) * 8)
    console.moods = [lost]
    await uploader(console).send([Item(large, "large.fits")], batch_size=64)
    assert console.taken["large.fits"] == large.read_bytes()
    assert len(console.requests) == 2
