"""The same bytes again with more known: empty fields are filled, other values are kept beside those that hold."""

from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.events import ImageEnriched, ImageIngested
from astrolens.contracts.image_files import FileHeader
from astrolens.contracts.records import ImageRecord, ImageState, Observation, Outcome, Position, Receipt
from astrolens.contracts.topics import IMAGES_ENRICHED, IMAGES_INGESTED
from astrolens.ingestor.arrivals import Arrival
from astrolens.ingestor.enrichment import enrichment_of
from astrolens.ingestor.observations import name_origin, with_header
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Query

from tests.unit.ingestor.ingestor_fakes import EPOCH, Fuse, Ingest, ingest_at

BYTES = b"the same picture"


def arrival(ref: str, data: bytes = BYTES, **known: Any) -> Arrival:
    observation = Observation(**{"survey": "case", "name": ref, **known})
    receipt = Receipt(
        receipt_id=f"receipt-{ref}", source="upload", batch=ref, ref=ref, observation=observation, received_at=EPOCH
    )
    return Arrival(receipt).with_data(data)


async def image(ingest: Ingest) -> ImageRecord:
    (document,) = await ingest.all(Collection.IMAGES)
    return ImageRecord.model_validate(document)


def enriched(ingest: Ingest) -> list[ImageEnriched]:
    events = [event for event in ingest.outbox.published if event.topic == IMAGES_ENRICHED]
    return [ImageEnriched.model_validate_json(event.payload) for event in events]


async def test_a_table_after_its_folder_fills_what_the_record_lacks(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        await ingest.service.admit([arrival("img/y.fits", name="y.fits")])
        known = {
            "name": "late",
            "position": Position(ra_deg=150.1, dec_deg=2.2),
            "bands": ("g",),
            "extra": {"z": "0.1"},
        }
        settled = await ingest.service.admit([arrival("t/y.fits", observed_at=EPOCH, **known)])
        assert settled == {Outcome.DUPLICATE: 1}
        record = await image(ingest)
        assert record.observation.position == known["position"]
        assert (record.observation.name, record.observation.bands, record.observation.extra) == (
            "late",
            ("g",),
            {"z": "0.1"},
        )
        assert record.observation.observed_at == EPOCH
        assert record.origins["position"] == record.origins["name"] == "given"
        (later,) = record.later
        assert (later.receipt_id, later.source, later.ref) == ("receipt-t/y.fits", "upload", "t/y.fits")
        assert later.filled == ("position", "name", "observed_at", "bands", "extra.z")
        assert later.conflicting == {}
        (event,) = enriched(ingest)
        assert (event.image_id, event.receipt_id, event.filled) == (record.image_id, later.receipt_id, later.filled)
        where = [Clause("observation.position.x", "lte", known["position"].x + 1e-9)]
        where += [Clause("observation.position.x", "gte", known["position"].x - 1e-9)]
        found = await ingest.records.find(Collection.IMAGES, Query(where=tuple(where)))
        assert len(found.documents) == 1, "a cone search finds it now"


async def test_values_that_differ_are_kept_beside_those_that_hold(tmp_path: Path) -> None:
    first = {"name": "NGC 1", "position": Position(ra_deg=10, dec_deg=20), "extra": {"z": "0.1"}}
    other = {"name": "UGC 57", "position": Position(ra_deg=10.01, dec_deg=20), "extra": {"z": "0.2"}, "survey": "sdss"}
    async with ingest_at(tmp_path) as ingest:
        await ingest.service.admit([arrival("a.fits", **first)])
        await ingest.service.admit([arrival("b.fits", **other)])
        record = await image(ingest)
        assert record.observation.position == first["position"]
        assert (record.observation.name, record.observation.survey) == ("NGC 1", "case")
        (later,) = record.later
        assert later.filled == ()
        assert later.conflicting == {"position": "10.01 +20", "name": "UGC 57", "extra.z": "0.2", "survey": "sdss"}
        assert enriched(ingest)[0].conflicting == ("position", "name", "extra.z", "survey")


async def test_a_survey_that_becomes_known_asks_for_a_new_analysis(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        await ingest.service.admit([arrival("a.fits", survey="unknown")])
        (document,) = await ingest.all(Collection.IMAGES)
        await ingest.records.apply(Collection.IMAGES, [Change(id=document["image_id"], set={"state": "analyzed"})])
        await ingest.service.admit([arrival("b.fits", survey="sdss")])
        record = await image(ingest)
        assert (record.observation.survey, record.state) == ("sdss", ImageState.INGESTED)
        assert record.later[0].filled == ("survey",)
        requests = [event for event in ingest.outbox.published if event.topic == IMAGES_INGESTED]
        assert [ImageIngested.model_validate_json(event.payload).survey for event in requests] == ["unknown", "sdss"]
        assert len({event.event_id for event in requests}) == 2
        # While it waits for its first analysis no second one is asked for.
        await ingest.service.admit([arrival("c.fits", b"another", survey="unknown")])
        await ingest.service.admit([arrival("d.fits", b"another", survey="sdss")])
        assert len([event for event in ingest.outbox.published if event.topic == IMAGES_INGESTED]) == 3


async def test_nothing_new_changes_nothing_and_repeating_does_not_either(tmp_path: Path) -> None:
    known = {"name": "NGC 1", "position": Position(ra_deg=10, dec_deg=20)}
    near = {"name": "b.fits", "position": Position(ra_deg=10.000001, dec_deg=20)}
    async with ingest_at(tmp_path) as ingest:
        await ingest.service.admit([arrival("a.fits", **known)])
        await ingest.service.admit([arrival("b.fits", **near), arrival("c.fits")])
        assert (await image(ingest)).later == ()
        late = arrival("d.fits", credit="someone")
        for _ in range(3):
            await ingest.records.delete(Collection.RECEIPTS, [late.receipt.receipt_id])
            await ingest.service.admit([late])
        assert len((await image(ingest)).later) == 1
        assert len(enriched(ingest)) == 1


async def test_several_arrivals_of_one_batch_are_taken_in_their_order(tmp_path: Path) -> None:
    async with ingest_at(tmp_path) as ingest:
        batch = [arrival("a.fits"), *(arrival(f"b{n}.fits", credit=f"number {n}") for n in range(8))]
        await ingest.service.admit(batch)
        record = await image(ingest)
        assert record.observation.credit == "number 0"
        assert [later.conflicting for later in record.later[1:]] == [{"credit": f"number {n}"} for n in range(1, 8)]


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_what_was_interrupted_is_completed(tmp_path: Path, moment: str) -> None:
    for at in range(1, 8):
        fuse = Fuse(moment=moment)
        async with ingest_at(tmp_path / str(at), fuse=fuse) as ingest:
            await ingest.service.admit([arrival("a.fits")])
            fuse.at = fuse.writes + at
            late = arrival("b.fits", credit="someone")
            try:
                await ingest.service.admit([late])
            except StoreUnavailable:
                fuse.at = None
                await ingest.service.admit([late])
            record = await image(ingest)
            assert record.observation.credit == "someone"
            assert len(record.later) == 1


def test_a_person_wins_over_a_header_also_later() -> None:
    header = FileHeader(ra_deg=10, dec_deg=20, pixel_scale_arcsec=0.4)
    observation, origins = with_header(Observation(), header)
    document = {"image_id": "i", "observation": observation.model_dump(mode="json"), "origins": origins}
    given = Position(ra_deg=10.5, dec_deg=20)
    found = enrichment_of(
        document, arrival("a", survey="unknown", position=given, pixel_scale_arcsec=0.4).receipt, EPOCH
    )
    assert found is not None
    assert found.later.filled == ("position",)
    assert found.values["observation.position"]["ra_deg"] == 10.5
    assert found.values["origins.position"] == "given"


def test_a_packet_tells_its_survey_and_name() -> None:
    header = FileHeader(survey="ztf", name="ZTF19abcdefg", axis_3="stamps")
    by_file = arrival("folder/x.avro", survey="unknown", name="x.avro").receipt
    merged, origins = with_header(by_file.observation, header, name_origin(by_file))
    assert (merged.survey, merged.name, origins["name"]) == ("ztf", "ZTF19abcdefg", "header")
    named = arrival("x.avro", survey="mine", name="my nova").receipt
    merged, _ = with_header(named.observation, header, name_origin(named))
    assert (merged.survey, merged.name) == ("mine", "my nova")


@pytest.mark.parametrize(
    ("ref", "name", "extra", "origin"),
    [
        ("a/b.fits", "b.fits", {}, "file"),
        ("b.fits?mtime_ns=1&size=2", "b.fits", {"path": "a/b.fits"}, "file"),
        ("a/b.fits", "NGC 1", {}, "given"),
    ],
)
def test_a_name_that_is_the_file_s_is_known_as_such(ref: str, name: str, extra: dict[str, str], origin: str) -> None:
    assert name_origin(arrival(ref, name=name, extra=extra).receipt) == {"name": origin}
