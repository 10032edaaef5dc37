"""The SDSS source and the safe fetcher against a local server that keeps SkyServer's contract, faults included."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from astrolens.contracts.records import Observation
from astrolens.ingestor.backpressure import Backpressure
from astrolens.ingestor.sandbox import DecodingSandbox
from astrolens.ingestor.source_feeder import SourceFeeder
from astrolens.ingestor.source_lease import SourceLease
from astrolens.ingestor.sources.base import SourceImage
from astrolens.ingestor.sources.sdss import SdssSource
from astrolens.ingestor.sources.skyserver import BadAnswer, Galaxy, SkyServer, read_galaxies
from astrolens.ingestor.sources.throttling import Backoff, TokenBucket
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.leases import Lease
from PIL import Image, ImageDraw

from tests.shared_data import shared_data
from tests.skyserver import FIRST_OBJID, Sky, answers, fetching, row
from tests.unit.ingestor.ingestor_fakes import Ingest, ingest_at


class Waits:
    """Sleeps by remembering how long."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)


@asynccontextmanager
async def _source(sky: Sky, **limits: Any) -> AsyncGenerator[tuple[SdssSource, Waits], None]:
    async with TestServer(sky.app()) as server, fetching(server, **limits) as fetcher:
        waits = Waits()
        source = SdssSource(
            fetcher=fetcher,
            server=SkyServer(f"http://{server.host}:{server.port}/dr17"),
            rate_per_min=6000,
            query_limit=2,
            bucket=TokenBucket(1e9),
            backoff=Backoff(initial_wait_s=100, max_wait_s=1000),
            sleep=waits,
        )
        yield source, waits


def _lease(ingest: Ingest) -> SourceLease:
    return SourceLease(Lease(ingest.records, "source:sdss", owner="only"), source="sdss")


async def _all(source: SdssSource, cursor: dict[str, Any] | None = None) -> list[SourceImage]:
    async with asyncio.timeout(20):
        return [image async for image in source.images(cursor)]


async def test_every_galaxy_is_yielded_once_in_order() -> None:
    sky = Sky(5)
    async with _source(sky) as (source, waits):
        images = await _all(source)
    assert [image.ref for image in images] == [str(FIRST_OBJID + number) for number in range(5)]
    assert all(image.refusal is None for image in images)
    assert waits.seconds == []
    assert len(sky.queries) == 4, "three pages of at most two, and the empty one that ends the survey"
    assert f"p.objID > {FIRST_OBJID + 1} " in sky.queries[1]
    assert sky.pictures[0] == {
        "ra": "40.1000000",
        "dec": "-0.2000000",
        "scale": "0.396",
        "width": "218",
        "height": "218",
    }
    first = images[0]
    assert first.cursor == {"after_objid": str(FIRST_OBJID)}
    assert first.observation.name == "SDSS J024024.00-001200.0"
    assert first.observation.survey == "sdss"
    assert first.observation.pixel_scale_arcsec == 0.396
    assert first.observation.extra["object_id"] == str(FIRST_OBJID)


async def test_a_restart_goes_on_behind_the_last_galaxy() -> None:
    sky = Sky(5)
    async with _source(sky) as (source, _):
        images = await _all(source, {"after_objid": str(FIRST_OBJID + 2)})
    assert [image.ref for image in images] == [str(FIRST_OBJID + 3), str(FIRST_OBJID + 4)]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"<html>Server Error</html>", "no JSON"),
        (b"", "no JSON"),
        (b"{}", "no table"),
        (b"[]", "no table"),
        (b"null", "no table"),
        (b'[{"TableName": "Table1"}]', "no table"),
        (b'[{"ErrorCode": 400, "ErrorMessage": "Incorrect syntax near FROM"}]', "Incorrect syntax near FROM"),
        (json.dumps([{"Rows": [{**row(0), "petroRad_r": None}]}]).encode(), "no column petrorad_r"),
        (json.dumps([{"Rows": [{"objID": 1, "right_ascension": 2.0, "dec": 3.0}]}]).encode(), "no column ra"),
        (json.dumps([{"Rows": [{**row(0), "ra": "here"}]}]).encode(), "column of another kind"),
        (json.dumps([{"Rows": [{**row(0), "objID": 1.2376e18}]}]).encode(), "makes no sense"),
        (json.dumps([{"Rows": [{**row(0), "dec": -91.0}]}]).encode(), "makes no sense"),
        (json.dumps([{"Rows": [7]}]).encode(), "no columns"),
        (json.dumps([{"Rows": [row(-5)]}]).encode(), "repeats galaxies"),
    ],
)
async def test_an_answer_that_is_no_result_is_an_outage_and_never_an_empty_sky(body: bytes, sentence: str) -> None:
    sky = Sky(1)
    sky.query_faults = [answers(body=body)]
    async with _source(sky) as (source, waits):
        seen = _watch(source)
        images = await _all(source, {"after_objid": str(FIRST_OBJID - 1)})
    assert [image.ref for image in images] == [str(FIRST_OBJID)]
    assert len(waits.seconds) == 1
    assert 50 <= waits.seconds[0] <= 100
    assert [state for state, _ in seen] == ["idle", "unreachable", "running"]
    assert sentence in (seen[1][1] or "")


def _watch(source: SdssSource) -> list[tuple[str, str | None]]:
    seen: list[tuple[str, str | None]] = []
    show = source.report.set

    def watched(state: Any, detail: str | None = None, **rest: Any) -> None:
        seen.append((state, detail))
        show(state, detail, **rest)

    source.report.set = watched  # type: ignore[method-assign]
    seen.append((source.report.state, None))
    return seen


async def test_a_short_outage_is_bridged_by_a_few_attempts() -> None:
    sky = Sky(1)
    sky.query_faults = [answers(500), answers(503, Retry_After="4")]
    sky.picture_faults = [answers(429, Retry_After="7")]
    async with _source(sky) as (source, waits):
        images = await _all(source)
    assert images[0].data is not None
    assert len(waits.seconds) == 3
    assert 0.5 <= waits.seconds[0] <= 1.0
    assert waits.seconds[1:] == [4.0, 7.0]


async def test_a_long_wait_that_the_server_asks_for_opens_the_backoff() -> None:
    sky = Sky(1)
    sky.query_faults = [answers(503, Retry_After="600")]
    async with _source(sky) as (source, waits):
        await _all(source)
    assert waits.seconds == [600.0]
    assert len(sky.queries) == 3, "asked once, left alone, asked again, and once more for the end"


async def test_a_long_outage_is_shown_and_nothing_is_skipped() -> None:
    sky = Sky(2)
    sky.picture_faults = [answers(500)] * 5
    async with _source(sky) as (source, waits):
        seen = _watch(source)
        images = await _all(source)
    assert [image.ref for image in images] == [str(FIRST_OBJID), str(FIRST_OBJID + 1)]
    assert all(image.refusal is None for image in images)
    assert [state for state, _ in seen] == ["idle", "running", "unreachable", "running"]
    assert "answers 500" in (seen[2][1] or "")
    assert max(waits.seconds) >= 50


async def test_one_broken_object_does_not_block_the_survey() -> None:
    sky = Sky(2)
    sky.picture_faults = [answers(500)] * 9
    async with _source(sky) as (source, _):
        images = await _all(source)
    assert images[0].refusal is not None
    assert images[0].refusal.code == "http-500"
    assert images[1].refusal is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xff\xd8" + b"\0" * 2000, "no-coverage"),
        (b"<html>There was an error</html>", "error-page"),
        (b"", "error-page"),
    ],
)
async def test_unusable_pictures_are_refused_with_their_reason(body: bytes, code: str) -> None:
    sky = Sky(2)
    sky.picture_faults = [answers(body=body)]
    async with _source(sky) as (source, waits):
        images = await _all(source)
    assert [image.refusal.code if image.refusal else None for image in images] == [code, None]
    assert waits.seconds == []


async def test_nothing_but_blank_pictures_is_an_outage() -> None:
    sky = Sky(15)
    sky.picture_faults = [answers(body=b"\xff\xd8 blank")] * 11
    async with _source(sky) as (source, waits):
        seen = _watch(source)
        images = await _all(source)
    assert sum(image.refusal is not None for image in images) == 9
    assert any(state == "unreachable" and "last 10 pictures" in (detail or "") for state, detail in seen)
    assert len(waits.seconds) == 2


async def test_a_redirect_is_followed_only_to_where_it_may_go() -> None:
    sky = Sky(1)
    sky.picture_faults = [answers(302, Location="http://127.0.0.1:1/inside")] * 3
    async with _source(sky) as (source, _):
        [image] = await _all(source)
    assert image.refusal is not None
    assert image.refusal.code == "host-not-allowed"
    assert "127.0.0.1:1" in image.refusal.detail


async def test_from_skyserver_to_image_records(tmp_path: Path) -> None:
    sky = Sky(4)
    sky.picture_faults = [answers(body=b"\xff\xd8" + b"\0" * 100)]
    async with _source(sky) as (source, _), ingest_at(tmp_path) as ingest:
        feeder = SourceFeeder(
            source=source,
            service=ingest.service,
            records=ingest.records,
            lease=_lease(ingest),
            backpressure=Backpressure(records=ingest.records, max_in_flight=100),
        )
        await asyncio.wait_for(feeder.run(asyncio.Event()), 20)
        assert await ingest.outcomes() == {"accepted": 3, "rejected": 1}
        images = await ingest.all(Collection.IMAGES)
        assert {image["observation"]["survey"] for image in images} == {"sdss"}
        [status] = await ingest.all(Collection.SOURCES)
        assert (status["state"], status["delivered"]) == ("finished", 4)
        [cursor] = [one for one in await ingest.all(Collection.META) if one["name"].startswith("source:")]
        assert cursor["position"] == {"after_objid": str(FIRST_OBJID + 3)}


async def test_an_error_text_as_a_picture_is_refused_by_the_sandbox(tmp_path: Path) -> None:
    """SkyServer answers 200 with a picture of its error message: only the decoded pixels can tell."""
    page = Image.new("RGB", (512, 512), "black")
    draw = ImageDraw.Draw(page)
    for line in range(30):
        draw.text((10, 10 + 14 * line), "System.Exception: The requested area is outside the footprint.", fill="white")
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=95)
    assert len(buffer.getvalue()) > 3000
    sky = Sky(1)
    sky.picture_faults = [answers(body=buffer.getvalue())]
    async with (
        DecodingSandbox(1) as sandbox,
        _source(sky, max_bytes=10**6) as (source, _),
        ingest_at(tmp_path, wrap=lambda _: sandbox) as ingest,
    ):
        backpressure = Backpressure(records=ingest.records, max_in_flight=100)
        feeder = SourceFeeder(
            source=source,
            service=ingest.service,
            records=ingest.records,
            lease=_lease(ingest),
            backpressure=backpressure,
        )
        await asyncio.wait_for(feeder.run(asyncio.Event()), 60)
        [receipt] = await ingest.all(Collection.RECEIPTS)
    assert (receipt["outcome"], receipt["reason"]["code"]) == ("rejected", "error-page")


def test_the_rows_of_a_recorded_answer_can_be_read() -> None:
    """SDSS's own answers (astroquery's recordings, CSV) have the types that the source expects."""
    lines = (shared_data() / "recorded" / "sdss" / "xid_im.txt").read_text().splitlines()
    names = lines[1].split(",")
    extra = {"petroRad_r": 5.0, "petroMag_r": 17.0}
    rows = [dict(zip(names, map(json.loads, line.split(",")), strict=True)) | extra for line in lines[2:]]
    galaxies = read_galaxies(json.dumps([{"TableName": "Table1", "Rows": rows}]).encode())
    assert galaxies[0].objid == 1237653651835781245
    assert galaxies[0].name == "SDSS J000805.62+145023.3"
    assert all(isinstance(SkyServer("https://sky/dr17").observation(galaxy), Observation) for galaxy in galaxies)


@pytest.mark.parametrize(
    ("ra_deg", "dec_deg", "name"),
    [
        (0.0, 0.0, "SDSS J000000.00+000000.0"),
        (359.9999999, -89.99999, "SDSS J235959.99-895959.9"),
        (15.0, 10.0, "SDSS J010000.00+100000.0"),
        (180.00029 * 1.0, -0.00003, "SDSS J120000.06-000000.1"),
    ],
)
def test_names_are_truncated_as_the_convention_demands(ra_deg: float, dec_deg: float, name: str) -> None:
    galaxy = Galaxy(1, ra_deg, dec_deg, 5.0, 17.0, 1, 1, 1)
    assert galaxy.name == name


def test_a_frame_has_bounds() -> None:
    assert Galaxy(1, 0.0, 0.0, 0.1, 17.0, 1, 1, 1).side_px == 96
    assert Galaxy(1, 0.0, 0.0, 500.0, 17.0, 1, 1, 1).side_px == 1024


def test_a_bad_answer_is_worth_another_try() -> None:
    with pytest.raises(BadAnswer):
        read_galaxies(b"not json")
