"""Sources go on where they stopped, keep to the limits, and never stop the service."""

import asyncio
import io
import os
import random
import tarfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.records import Observation, Reason
from astrolens.ingestor import source_feeder
from astrolens.ingestor.source_feeder import show_sources_as_off
from astrolens.ingestor.sources.base import SourceCursor, SourceImage, SourceReport
from astrolens.ingestor.sources.folder import FolderSource
from astrolens.ingestor.sources.selection import create_sources
from astrolens.ingestor.sources.skyserver import create_skyserver
from astrolens.ingestor.sources.throttling import Backoff, TokenBucket
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change

from tests.unit.ingestor.ingestor_fakes import EPOCH, Ingest, ingest_at
from tests.unit.ingestor.running_sources import delivered, feeder_of, running, until


class Numbers:
    """Yields numbers up to an end; raises where it is told to."""

    name = "numbers"
    batch = "b"

    def __init__(self, end: int, *, failures: dict[int, Exception] | None = None) -> None:
        self.end = end
        self.failures = failures or {}
        self.report = SourceReport()
        self.starts: list[int] = []

    def check(self) -> None:
        self.report.set("idle")

    async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
        start = int((cursor or {}).get("next", 0))
        self.starts.append(start)
        self.report.set("running")
        for number in range(start, self.end):
            if number in self.failures:
                raise self.failures.pop(number)
            yield SourceImage(str(number), Observation(), data=f"sky {number}".encode(), cursor={"next": number + 1})
            await asyncio.sleep(0)


async def _status(ingest: Ingest, name: str = "numbers") -> dict[str, Any]:
    return (await ingest.records.get(Collection.SOURCES, [name])).get(name, {})


async def test_a_source_with_an_end_is_fed_whole_and_reported_as_finished(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        await asyncio.wait_for(feeder_of(ingest, Numbers(100)).run(asyncio.Event()), 20)
        assert await ingest.outcomes() == {"accepted": 100}
        status = await _status(ingest)
        assert (status["state"], status["delivered"], status["rate_per_min"]) == ("finished", 100, 100.0)


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        async with running(feeder_of(ingest, Numbers(10_000))) as stopping:
            await until(lambda: delivered(ingest, 5))
            stopping.set()
        before = (await ingest.outcomes())["accepted"]
        assert (await _status(ingest))["state"] == "off"
    async with ingest_at(tmp_path) as ingest:
        again = Numbers(before + 7)
        await asyncio.wait_for(feeder_of(ingest, again).run(asyncio.Event()), 20)
        assert again.starts == [before]
        assert await ingest.outcomes() == {"accepted": before + 7}


async def test_whatever_a_source_raises_it_is_shown_and_tried_again(tmp_path: Path) -> None:
    failures: dict[int, Exception] = {
        3: RuntimeError("a fault of ours"),
        7: StoreUnavailable("away"),
        9: ConfigurationError("no such folder"),
    }
    async with ingest_at(tmp_path) as ingest:
        source = Numbers(12, failures=failures)
        seen: set[tuple[str, str | None]] = set()
        show, shown = source.report.set, source.report
        shown.set = lambda state, detail=None, **rest: (seen.add((state, detail)), show(state, detail, **rest))[1]  # type: ignore[method-assign]
        await asyncio.wait_for(feeder_of(ingest, source).run(asyncio.Event()), 20)
        assert await ingest.outcomes() == {"accepted": 12}
        assert source.starts == [0, 3, 7, 9]
        assert {
            ("unreachable", "RuntimeError: a fault of ours"),
            ("unreachable", "away"),
            ("misconfigured", "no such folder"),
        } <= seen


async def test_a_source_pauses_while_enough_is_in_flight(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest, running(feeder_of(ingest, Numbers(500), limit=20)):
        await until(lambda: _state_is(ingest, "paused"))
        await until(lambda: delivered(ingest, 20))  # arrivals count as in flight before they are accepted
        await asyncio.sleep(0.1)
        accepted = (await ingest.outcomes())["accepted"]
        assert 20 <= accepted <= 20 + 2 * 32
        assert "the limit is 20" in (await _status(ingest))["detail"]
        images = await ingest.all(Collection.IMAGES)
        await ingest.records.apply(
            Collection.IMAGES, [Change(id=one["image_id"], set={"state": "analyzed"}) for one in images]
        )
        await until(lambda: delivered(ingest, accepted + 10))


async def test_large_images_are_not_piled_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_feeder, "_MAX_BUFFERED_BYTES", 3000)
    made = 0

    class Large(Numbers):
        async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
            nonlocal made
            for number in range(self.end):
                made += 1
                yield SourceImage(str(number), Observation(), data=bytes([number]) * 1000)

    async with ingest_at(tmp_path) as ingest:
        ahead: list[int] = []
        admit = ingest.service.admit

        async def watched(arrivals: Any) -> Any:
            settled = await admit(arrivals)
            ahead.append(made - sum((await ingest.outcomes()).values()))
            return settled

        monkeypatch.setattr(ingest.service, "admit", watched)
        await asyncio.wait_for(feeder_of(ingest, Large(40)).run(asyncio.Event()), 20)
        assert await ingest.outcomes() == {"accepted": 40}
        assert max(ahead) <= 4


async def _state_is(ingest: Ingest, state: str) -> bool:
    return (await _status(ingest)).get("state") == state


async def test_an_image_that_a_source_refuses_has_a_receipt_with_its_reason(tmp_path: Path) -> None:
    class Refusing(Numbers):
        async def images(self, cursor: SourceCursor | None) -> AsyncGenerator[SourceImage, None]:
            yield SourceImage(
                "x", Observation(), refusal=Reason(code="no-coverage", detail="Nothing was observed there.")
            )

    async with ingest_at(tmp_path) as ingest:
        await asyncio.wait_for(feeder_of(ingest, Refusing(1)).run(asyncio.Event()), 10)
        [receipt] = await ingest.all(Collection.RECEIPTS)
        assert (receipt["outcome"], receipt["reason"]["code"], receipt["sha256"]) == ("rejected", "no-coverage", None)
        assert receipt["settled_at"] is not None


async def test_a_source_that_is_not_chosen_any_more_is_shown_as_off(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        await asyncio.wait_for(feeder_of(ingest, Numbers(1)).run(asyncio.Event()), 10)
        await show_sources_as_off(ingest.records, ["numbers", "unheard-of"], now=EPOCH)
        assert (await _status(ingest))["state"] == "off"
        assert await _status(ingest, "unheard-of") == {}


async def _said(source: FolderSource, words: str) -> bool:
    return words in (source.report.detail or "")


@asynccontextmanager
async def _watching(ingest: Ingest, folder: Path, **rest: Any) -> AsyncGenerator[FolderSource, None]:
    limits = {"survey": "sdss", "max_bytes": 1000} | rest
    source = FolderSource(path=folder, records=ingest.records, scan_every_s=0.01, **limits)
    async with running(feeder_of(ingest, source)):
        yield source


async def test_a_folder_is_watched_with_its_subfolders(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.JPG").write_bytes(b"one")
    (folder / "deep" / "er" / "b.fits.gz").write_bytes(b"two")
    (folder / "notes.txt").write_bytes(b"not a picture")
    (folder / ".hidden.png").write_bytes(b"hidden")
    (tmp_path / "disk" / "night1").mkdir(parents=True)
    (tmp_path / "disk" / "night1" / "n.avro").write_bytes(b"linked")
    (folder / "nights").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(folder)
    (folder / "large.png").write_bytes(b"x" * 1001)
    async with ingest_at(tmp_path) as ingest, _watching(ingest, folder):
        await until(lambda: delivered(ingest, 3))
        (folder / "late.png").write_bytes(b"three")
        await until(lambda: delivered(ingest, 4))
        receipts = await ingest.all(Collection.RECEIPTS)
        by_path = {receipt["observation"]["extra"]["path"]: receipt for receipt in receipts}
        assert set(by_path) == {"a.JPG", "deep/er/b.fits.gz", "large.png", "late.png", "nights/night1/n.avro"}
        assert by_path["large.png"]["reason"]["code"] == "too-large"
        assert by_path["deep/er/b.fits.gz"]["observation"]["name"] == "b.fits.gz"


async def test_what_a_watched_folder_leaves_out_is_counted_in_its_status(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", ".a.png.Xy12", "b.png.part", "c.fits~", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    _tar(folder / "night.tgz", {"n.fits": b"n", "._n.fits": b"fork"})
    async with ingest_at(tmp_path) as ingest, _watching(ingest, folder) as source:
        await until(lambda: _said(source, "all of them taken"))
        assert (source.report.detail or "").endswith(
            "2 pictures, all of them taken; 4 hidden or unfinished files left out (.a.png.Xy12); "
            "1 files with other endings left out (notes.txt)"
        )
        # The download has ended.
        (folder / "b.png.part").rename(folder / "b.png")
        await until(lambda: _said(source, "3 pictures, all of them taken; 3 hidden"))


def _tar(path: Path, members: dict[str, bytes]) -> bytes:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path.read_bytes()


async def test_archives_in_a_folder_are_opened_and_each_member_arrives_once(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _tar(folder / "night.tar.gz", {f"{n}.fits": b"%d" % n for n in range(20)} | {"large.fits": b"x" * 1001})
    damaged = _tar(folder / "cut.tgz", {f"{n}": random.Random(n).randbytes(900) for n in range(40)})
    (folder / "cut.tgz").write_bytes(damaged[: len(damaged) // 2])
    async with ingest_at(tmp_path) as ingest:
        for _ in range(2):
            # The second time as after a restart.
            async with _watching(ingest, folder) as source:
                await until(lambda source=source: _said(source, "2 pictures, all of them taken"))  # type: ignore[misc]
        receipts = {one["observation"]["extra"]["path"]: one for one in await ingest.all(Collection.RECEIPTS)}
        assert {f"night.tar.gz/{n}.fits" for n in range(20)} <= receipts.keys()
        assert receipts["night.tar.gz/0.fits"]["observation"]["name"] == "0.fits"
        assert receipts["night.tar.gz/large.fits"]["reason"]["code"] == "too-large"
        assert "cannot be read beyond its first" in receipts["cut.tgz"]["reason"]["detail"]
        assert len(receipts) == len(await ingest.all(Collection.RECEIPTS))


async def test_a_folder_survives_any_file_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"M31_\xe9toile.png")).write_bytes(b"old name")
    (folder / "broken.png").symlink_to(tmp_path / "gone")
    (folder / "disk.png").symlink_to("/proc/self/mem")
    (folder / "good.png").write_bytes(b"good")
    async with ingest_at(tmp_path) as ingest, _watching(ingest, folder) as source:
        await until(lambda: delivered(ingest, 2))
        receipts = await ingest.all(Collection.RECEIPTS)
        assert sorted(one["observation"]["name"] for one in receipts) == [r"M31_\xe9toile.png", "good.png"]
        await until(lambda: _said(source, "cannot be read"))
        assert source.report.state == "idle"
        assert "broken.png cannot be read: a link to nothing, and 1 more" in (source.report.detail or "")


async def test_a_folder_says_that_all_is_taken_only_when_receipts_say_so(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(f"{number}".encode())
    async with ingest_at(tmp_path) as ingest:
        source = FolderSource(path=folder, survey="sdss", records=ingest.records, max_bytes=1000, scan_every_s=0.001)
        async with aclosing(source.images(None)) as images:
            yielded = [await anext(images) for _ in range(3)]
            # Nobody has admitted them yet.
            waiting = asyncio.create_task(anext(images))
            await until(lambda: _said(source, "3 of them not taken yet"))
            arrivals = [image.arrival(source="folder", batch="folder", now=EPOCH) for image in yielded]
            await ingest.service.admit(arrivals)
            await until(lambda: _said(source, "3 pictures, all of them taken"))
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def test_a_folder_is_not_taken_twice_over_a_restart_but_a_changed_file_is(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.png").write_bytes(f"picture {number}".encode())
    async with ingest_at(tmp_path) as ingest, _watching(ingest, folder):
        await until(lambda: delivered(ingest, 5))
    (folder / "0.png").write_bytes(b"quite another picture")
    async with ingest_at(tmp_path) as ingest, _watching(ingest, folder):
        await until(lambda: delivered(ingest, 6))
        await asyncio.sleep(0.1)
        assert await ingest.outcomes() == {"accepted": 6}


async def test_a_file_is_taken_only_when_it_stands_still(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    growing = folder / "growing.png"
    async with ingest_at(tmp_path) as ingest:
        pauses = 0

        async def write_more(_seconds: float) -> None:
            nonlocal pauses
            pauses += 1
            if pauses <= 5:
                growing.write_bytes(b"x" * pauses)
                os.utime(growing, ns=(pauses, pauses))
            await asyncio.sleep(0.001)

        async with _watching(ingest, folder, sleep=write_more):
            await until(lambda: delivered(ingest, 1))
        [receipt] = await ingest.all(Collection.RECEIPTS)
        assert receipt["size_bytes"] == 5


@pytest.mark.parametrize("path", [None, Path("/does/not/exist"), Path(__file__)])
async def test_a_folder_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path, path: Path | None) -> None:
    async with ingest_at(tmp_path) as ingest:
        source = FolderSource(path=path, survey="sdss", records=ingest.records, max_bytes=10)
        with pytest.raises(ConfigurationError, match="ASTROLENS_FOLDER_PATH"):
            source.check()


async def test_a_survey_that_is_no_name_is_a_wrong_setting(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        source = FolderSource(path=tmp_path, survey="My Survey", records=ingest.records, max_bytes=10)
        with pytest.raises(ConfigurationError, match="ASTROLENS_FOLDER_SURVEY"):
            source.check()


def test_an_unknown_source_names_the_known_ones() -> None:
    source = Numbers(1)
    assert create_sources(["Numbers", "numbers"], {"numbers": lambda: source}) == [source]
    with pytest.raises(ConfigurationError, match=r"no source 'hubble'; known are numbers, and none"):
        create_sources(["hubble"], {"numbers": lambda: source})
    with pytest.raises(ConfigurationError, match="ASTROLENS_SDSS_BASE_URL"):
        create_skyserver("skyserver.sdss.org")
    assert create_skyserver("https://skyserver.sdss.org/dr17/").release == "dr17"


async def test_a_token_bucket_keeps_the_rate() -> None:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    bucket = TokenBucket(120, burst=3, monotonic=lambda: now[0], sleep=sleep)
    for _ in range(121):
        await bucket.acquire()
    assert now[0] == pytest.approx(60.0)
    now[0] += 100.0
    for _ in range(3):
        await bucket.acquire()
    assert now[0] == pytest.approx(160.0), "a pause earns the burst and no more"
    await bucket.acquire()
    assert now[0] == pytest.approx(160.5)


def test_a_backoff_waits_longer_every_time_and_as_long_as_the_server_asks() -> None:
    backoff = Backoff(initial_wait_s=30, max_wait_s=900)
    waits = [backoff.record_failure() for _ in range(8)]
    for wait_s, ceiling in zip(waits, [30, 60, 120, 240, 480, 900, 900, 900], strict=True):
        assert ceiling / 2 <= wait_s <= ceiling
    backoff.record_success()
    assert backoff.record_failure() <= 30
    assert Backoff().record_failure(retry_after_s=1234.0) == 1234.0
