"""Uploads without HTTP: whole or not at all, bounded, each file once."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.records import Outcome, Receipt
from astrolens.platform.disk import DiskSpace
from astrolens.platform.errors import ModelUnavailable, StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, original_key
from astrolens.platform.stores.records import RecordStore
from astrolens.rpc.messages import Description
from astrolens.usecases import intake as intake_module
from astrolens.usecases.errors import DiskNearlyFull, InvalidRequest, MalformedUpload, Overloaded, PipelineFull
from astrolens.usecases.intake import Intake, UploadedFile
from astrolens.usecases.model_status import ModelStatus
from astrolens.usecases.status import StatusReader
from astrolens.usecases.submissions import AcceptedSubmission, UrlSubmission

from tests.made_records import RecordingBus


class NoModel:
    async def describe(self) -> Description:
        raise ModelUnavailable("loading")


class Counted:
    def __init__(self) -> None:
        self.receipts: list[Receipt] = []

    def __call__(self, receipts: Any) -> None:
        self.receipts += receipts


def make_intake(records: RecordStore, images: ImageStore, bus: RecordingBus, **options: Any) -> Intake:
    status = StatusReader(records=records, model=ModelStatus(NoModel()))
    chosen = {"max_in_flight": 10, "max_image_bytes": 1000, "disk": DiskSpace([], min_free_mib=0), **options}
    return Intake(records=records, images=images, releaser=bus, status=status, **chosen)


def file(name: str, data: bytes | None, *, size: int | None = None) -> UploadedFile:
    digest = hashlib.sha256(data or b"too large").hexdigest()
    return UploadedFile(name, data, len(data or b"") if size is None else size, digest)


def disk_with(free: list[float]) -> DiskSpace:
    """A disk whose free space, MiB, a test changes."""
    times = iter(range(10**6))
    return DiskSpace([Path("/data")], min_free_mib=512, free_mib=lambda _: free[0], monotonic=lambda: next(times))


async def test_nothing_is_taken_in_while_the_disk_is_nearly_full(
    records: RecordStore, images: ImageStore, bus: RecordingBus
) -> None:
    free = [100.0]
    intake = make_intake(records, images, bus, disk=disk_with(free))
    with pytest.raises(DiskNearlyFull, match=r"The disk of /data .* 100 MiB are free, 512 are wanted .* free some"):
        await send(intake, file("a.jpg", b"a"))
    with pytest.raises(DiskNearlyFull):
        await intake.submit_urls(UrlSubmission(urls=["https://example.org/a.jpg"]))
    capacity = await intake.capacity()
    assert capacity.room == 0
    assert capacity.disk is not None
    assert not await images.exists(original_key(hashlib.sha256(b"a").hexdigest()))
    assert await records.tally(Collection.RECEIPTS, "outcome") == {}
    free[0] = 600.0
    assert (await send(intake, file("a.jpg", b"a"))).new == 1
    assert (await intake.capacity()).disk is None


async def send(intake: Intake, *files: UploadedFile, **fields: str) -> AcceptedSubmission:
    """One request from its first file to its receipts."""
    async with intake.receive_files() as upload:
        await upload.add(files)
        return await upload.finish(fields)


async def test_files_are_recorded_when_all_have_arrived(
    records: RecordStore, images: ImageStore, bus: RecordingBus
) -> None:
    counted = Counted()
    intake = make_intake(records, images, bus, on_received=counted)
    async with intake.receive_files() as upload:
        await upload.add([file("a.jpg", b"a")])
        await upload.add([file("b.jpg", None, size=5000)])
        assert (await intake.capacity()).room == 8, "what is on its way counts already"
        assert (await records.tally(Collection.RECEIPTS, "outcome")) == {}
        accepted = await upload.finish({"batch": "night"})
    assert (accepted.new, accepted.rejected, accepted.batch) == (2, 1, "night")
    assert [each.outcome for each in counted.receipts] == [Outcome.RECEIVED, Outcome.REJECTED]
    assert await images.get(original_key(hashlib.sha256(b"a").hexdigest())) == b"a"
    assert (await intake.capacity()).room == 9
    again = await send(intake, file("a.jpg", b"a"), batch="night")
    assert (again.new, len(counted.receipts)) == (0, 2), "what arrived before is not counted again"


@pytest.mark.parametrize(
    ("files", "fields", "word"),
    [
        ([], {}, "no file"),
        ([("a", b"a")], {"observations": "nonsense"}, "JSON"),
        ([("a", b"a")], {"observations": "[null, null]"}, "describes 2 files, but holds 1"),
        ([("a", b"a")], {"survey": "Not A Slug!"}, "survey"),
        ([("a", b"a")], {"batch": "../up"}, "batch"),
    ],
)
async def test_a_request_that_cannot_be_used_is_recorded_not_at_all(
    records: RecordStore,
    images: ImageStore,
    bus: RecordingBus,
    files: list[tuple[str, bytes]],
    fields: dict[str, str],
    word: str,
) -> None:
    intake = make_intake(records, images, bus)
    with pytest.raises(MalformedUpload, match=word) as refused:
        await send(intake, *(file(name, data) for name, data in files), **fields)
    assert refused.value.title == "Unreadable upload"
    assert str(refused.value).startswith("The body cannot be used: ")
    assert await records.tally(Collection.RECEIPTS, "outcome") == {}
    assert bus.released == []
    assert (await intake.capacity()).in_flight == 0


async def test_a_full_pipeline_is_said_before_a_byte_is_read(
    records: RecordStore, images: ImageStore, bus: RecordingBus
) -> None:
    intake = make_intake(records, images, bus, max_in_flight=1)
    async with intake.receive_files() as upload:
        await upload.add([file("a", b"a")])
        with pytest.raises(PipelineFull, match="1 images are in flight and ASTROLENS_MAX_IN_FLIGHT is 1"):
            async with intake.receive_files():
                pytest.fail("the pipeline is full")
        with pytest.raises(PipelineFull):
            await intake.submit_urls(UrlSubmission(urls=["https://example.org/a"]))
    assert (await intake.capacity()).room == 1, "an upload that did not finish leaves nothing in flight"


async def test_uploads_beside_each_other_are_limited(
    records: RecordStore, images: ImageStore, bus: RecordingBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "MAX_UPLOADS", 1)
    intake = make_intake(records, images, bus)
    async with intake.receive_files():
        with pytest.raises(Overloaded, match="1 uploads are being read already"):
            async with intake.receive_files():
                pytest.fail("one is being read")
    assert (await send(intake, file("a", b"a"))).new == 1


async def test_an_unreachable_image_store_leaves_nothing_in_flight(
    records: RecordStore, images: ImageStore, bus: RecordingBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: Any) -> None:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(images, "put_many", refuse)
    intake = make_intake(records, images, bus)
    with pytest.raises(StoreUnavailable):
        await send(intake, file("a", b"a"))
    assert (await intake.capacity()).in_flight == 0
    assert await records.tally(Collection.RECEIPTS, "outcome") == {}


async def test_originals_are_stored_as_they_come_not_at_the_end(
    records: RecordStore, images: ImageStore, bus: RecordingBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "_STORE_AT_BYTES", 100)
    intake = make_intake(records, images, bus)
    data = b"x" * 60
    async with intake.receive_files() as upload:
        await upload.add([file("a", data)])
        assert not await images.exists(original_key(hashlib.sha256(data).hexdigest()))
        await upload.add([file("b", data)])
        assert await images.exists(original_key(hashlib.sha256(data).hexdigest()))
        await upload.finish({})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/a", "https://", "not an address"])
async def test_an_address_that_nobody_can_fetch_is_refused(
    records: RecordStore, images: ImageStore, bus: RecordingBus, url: str
) -> None:
    intake = make_intake(records, images, bus)
    with pytest.raises(InvalidRequest, match="cannot be fetched"):
        await intake.submit_urls(UrlSubmission(urls=["https://example.org/a", url]))
    assert await records.tally(Collection.RECEIPTS, "outcome") == {}


async def test_a_name_that_looks_numbered_costs_no_arrival(
    records: RecordStore, images: ImageStore, bus: RecordingBus
) -> None:
    intake = make_intake(records, images, bus)
    files = [file(name, name.encode() + bytes([n])) for n, name in enumerate(("a", "a (2)", "a"))]
    assert (await send(intake, *files, batch="names")).new == 3
