"""New images over REST: whole requests, receipts that repeat, back-pressure, nothing decoded."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from astrolens.console import slow_bodies
from astrolens.contracts.ids import content_digest
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import original_key
from astrolens.usecases import intake as intake_module


async def post(client: httpx.AsyncClient, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
    return await client.post("/api/images", files=[("file", file) for file in files], data=fields)


async def receipts(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await client.get("/api/receipts", params=query)).json()["items"]
    return items


async def test_files_become_originals_receipts_and_events(world: Any, client: httpx.AsyncClient) -> None:
    known = [
        {"ref": "a/m51.jpg", "survey": "SDSS", "ra_deg": 202.47, "dec_deg": 47.195, "extra": {"seeing": "1.1"}},
        None,
    ]
    answer = await post(
        client, ("x", b"\x00not decoded\r\n--"), ("plain.png", b""), survey="efigi", observations=json.dumps(known)
    )
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert (body["new"], body["rejected"], len(body["receipts"])) == (2, 0, 2)
    stored = await world.records.get(Collection.RECEIPTS, body["receipts"])
    first, second = (stored[identity] for identity in body["receipts"])
    assert (first["ref"], first["observation"]["survey"], first["observation"]["name"]) == (
        "a/m51.jpg",
        "sdss",
        "m51.jpg",
    )
    assert first["observation"]["position"]["ra_deg"] == 202.47
    assert first["observation"]["extra"] == {"seeing": "1.1"}
    assert (second["ref"], second["observation"]["survey"], second["size_bytes"]) == ("plain.png", "efigi", 0)
    assert await world.images.get(original_key(content_digest(b"\x00not decoded\r\n--"))) == b"\x00not decoded\r\n--"
    assert [(c, key, events[0].topic) for c, key, events in world.bus.released] == [
        ("receipts", identity, "astrolens.images.submitted.v1") for identity in body["receipts"]
    ]


async def test_the_same_batch_and_ref_arrive_once(world: Any, client: httpx.AsyncClient) -> None:
    first = (await post(client, ("a.jpg", b"a"), ("b.jpg", b"b"), batch="night-1")).json()
    again = (await post(client, ("a.jpg", b"a"), ("b.jpg", b"b"), batch="night-1")).json()
    other = (await post(client, ("a.jpg", b"a"), batch="night-2")).json()
    assert again["receipts"] == first["receipts"]
    assert (first["new"], again["new"], other["new"]) == (2, 0, 1)
    assert (await client.get("/api/status")).json()["received"] == 3
    assert len(world.bus.released) == 3


async def test_two_files_of_one_name_are_two_arrivals(client: httpx.AsyncClient) -> None:
    body = (await post(client, ("a.jpg", b"one"), ("a.jpg", b"two"), batch="twice")).json()
    assert len(set(body["receipts"])) == 2
    assert {each["ref"] for each in await receipts(client, batch="twice")} == {"a.jpg", "a.jpg (2)"}


async def test_a_file_that_is_too_large_is_rejected_with_its_reason_beside_the_others(
    make_world: Callable[..., Any],
) -> None:
    world = await make_world(max_image_bytes=2048)
    async with world.client() as client:
        body = (await post(client, ("big.tif", b"x" * 2049), ("fits.tif", b"y" * 2048), batch="sizes")).json()
        assert (body["new"], body["rejected"]) == (2, 1)
        (rejected,) = (await client.get("/api/rejected")).json()["items"]
        assert (rejected["ref"], rejected["reason"]["code"], rejected["size_bytes"]) == ("big.tif", "too-large", 2049)
        assert "ASTROLENS_MAX_IMAGE_BYTES" in rejected["reason"]["detail"]
        assert not await world.images.exists(original_key(content_digest(b"x" * 2049)))
        progress = (await client.get("/api/receipts/sizes/progress")).json()
        assert (progress["received"], progress["rejected"], progress["in_flight"]) == (2, 1, 1)


async def test_what_is_wrong_is_told_with_the_file(client: httpx.AsyncClient) -> None:
    body = {"observations": '[null, {"ra_deg": 1, "dec_deg": 100}]'}
    answer = await client.post("/api/images", files=[("file", ("a", b"a")), ("file", ("b.fits", b"b"))], data=body)
    assert answer.status_code == 422
    assert "file 2 ('b.fits'), dec_deg: Value error, is '100', but a declination lies" in answer.json()["detail"]


async def test_what_programs_write_for_unknown_is_unknown(world: Any, client: httpx.AsyncClient) -> None:
    given = '{"ra_deg": NaN, "dec_deg": NaN, "pixel_scale_arcsec": NaN, "observed_at": ""}'
    files = [("file", ("a", b"a")), ("file", ("b", b"b"))]
    known = '{"ra_deg": 360, "dec_deg": "-00:12:30", "observed_at": 58644.42}'
    answer = await client.post("/api/images", files=files, data={"observations": f"[{given}, {known}]"})
    assert answer.status_code == 202, answer.text
    stored = await world.records.get(Collection.RECEIPTS, answer.json()["receipts"])
    unknown, found = (stored[each]["observation"] for each in answer.json()["receipts"])
    assert (unknown["position"], unknown["pixel_scale_arcsec"], unknown["observed_at"]) == (None, None, None)
    assert (found["position"]["ra_deg"], found["position"]["dec_deg"]) == pytest.approx((0.0, -0.2083333), abs=1e-6)
    assert found["observed_at"] == "2019-06-10T10:04:48.000000Z"


async def test_a_full_pipeline_takes_nothing_of_a_request(make_world: Callable[..., Any]) -> None:
    world = await make_world(max_in_flight=2)
    async with world.client() as client:
        assert (await client.get("/api/intake")).json()["room"] == 2
        assert (await post(client, ("a", b"a"), ("b", b"b"), ("c", b"c"))).status_code == 202
        refused = await post(client, ("d", b"d"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "ASTROLENS_MAX_IN_FLIGHT" in refused.json()["detail"]
        assert (await client.get("/api/intake")).json()["room"] == -1
        assert (await client.get("/api/status")).json()["received"] == 3
        assert not await world.images.exists(original_key(content_digest(b"d")))


async def test_addresses_are_taken_in_for_the_ingestor_to_fetch(world: Any, client: httpx.AsyncClient) -> None:
    urls = [
        "https://skyserver.sdss.org/a/getjpeg?ra=1",
        {"url": "http://example.org/b.fits", "survey": "sdss", "name": "B"},
    ]
    answer = await client.post("/api/images", json={"urls": urls, "batch": "links"})
    assert answer.status_code == 202, answer.text
    found = {each["ref"]: each for each in await receipts(client, batch="links")}
    assert set(found) == {"https://skyserver.sdss.org/a/getjpeg?ra=1", "http://example.org/b.fits"}
    stored = await world.records.get(Collection.RECEIPTS, answer.json()["receipts"])
    assert all(each["observation"]["url"] == each["ref"] and each["sha256"] is None for each in stored.values())
    assert found["http://example.org/b.fits"]["name"] == "B"


@pytest.mark.parametrize(
    ("request_of", "status", "word"),
    [
        ({"json": {"urls": ["file:///etc/passwd"]}}, 422, "http"),
        ({"json": {"urls": []}}, 422, "urls"),
        ({"json": {"urls": ["https://x.org/a"], "batch": "a/b"}}, 422, "batch"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422, "JSON"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "multipart/form-data"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 422, "boundary"),
        ({"content": b"--b\r\n", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 422, "body"),
        ({"data": {"batch": "x"}, "files": {"observations": (None, "[]")}}, 422, "file"),
        ({"files": [("file", ("a", b"a"))], "data": {"observations": "{}"}}, 422, "observations"),
        ({"files": [("file", ("a", b"a"))], "data": {"observations": '[{"ra_deg": 400}]'}}, 422, "ra_deg"),
        *(
            ({"files": [("file", ("a", b"a"))], "data": {"observations": f"[{given}]"}}, 422, word)
            for given, word in (
                ('{"observed_at": "0001-01-01T00:00:00+14:00"}', "observed_at"),
                ('{"observed_at": "0001-01-02T00:00:00Z"}', "1800"),
                ('{"observed_at": "9999-12-31T23:59:59-12:00"}', "observed_at"),
                ('{"observed_at": "2200-01-01T00:00:00Z"}', "1800"),
                ('{"pixel_scale_arcsec": Infinity}', "pixel_scale_arcsec"),
                ('{"ra_deg": "12:61:00", "dec_deg": 1}', "minutes and seconds"),
                ('{"ra_deg": 1, "dec_deg": 100}', "declination"),
                ('{"observed_at": 1560161088}', "seconds since 1970"),
                ('{"url": "javascript:alert(1)"}', "http or https"),
                ('{"url": " https://x.org"}', "http or https"),
            )
        ),
        ({"files": [("file", ("a", b"a"))], "data": {"observations": "[null, null]"}}, 422, "2 files"),
        ({"files": [("file", ("a", b"a"))], "data": {"survey": "Not A Slug!"}}, 422, "survey"),
        ({"files": [("file", ("a", b"a"))], "data": {"batch": "../up"}}, 422, "batch"),
        ({"files": [("file", (f"{n}", b"a")) for n in range(257)]}, 422, "256 files"),
        ({"files": {"batch": (None, "x" * (2**20 + 1))}}, 422, "longer"),
        ({"files": [("file", ("a", b"a")), *((f"n{n}", (None, "x" * 2**20)) for n in range(3))]}, 422, "text fields"),
        ({"files": [("file", ("a", b"a")), *(("same", (None, "x" * 2**20)) for _ in range(3))]}, 422, "text fields"),
        ({"files": [("file", ("a", b"a")), *((f"n{n}", (None, "")) for n in range(33))]}, 422, "text fields"),
    ],
)
async def test_bodies_that_cannot_be_used_leave_no_trace(
    world: Any, client: httpx.AsyncClient, request_of: dict[str, Any], status: int, word: str
) -> None:
    answer = await client.post("/api/images", **request_of)
    assert answer.status_code == status, answer.text
    assert word in answer.json()["detail"]
    assert (await client.get("/api/status")).json()["received"] == 0
    assert world.bus.released == []


async def test_a_body_cut_short_is_refused_whole(world: Any, client: httpx.AsyncClient) -> None:
    whole = client.build_request(
        "POST", "/api/images", files=[("file", ("a.jpg", b"x" * 500)), ("file", ("b.jpg", b"y"))]
    )
    body = whole.read()
    answer = await client.post(
        "/api/images", content=body[:-30], headers={"content-type": whole.headers["content-type"]}
    )
    assert answer.status_code == 422
    assert (await client.get("/api/status")).json()["received"] == 0


async def test_an_upload_that_stalls_ends_and_frees_its_place(
    world: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_bodies, "MAX_SILENCE_S", 0.05)
    head = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.jpg"\r\n\r\nx'

    async def stalled() -> AsyncIterator[bytes]:
        yield head
        await asyncio.Event().wait()

    headers = {"content-type": "multipart/form-data; boundary=b"}
    async with asyncio.timeout(20):
        uploads = [client.post("/api/images", content=stalled(), headers=headers) for _ in range(8)]
        answers = await asyncio.gather(*uploads)
        label = await client.post("/api/labels", content=stalled(), headers={"content-type": "application/json"})
    for answer in (*answers, label):
        assert (answer.status_code, answer.headers["connection"]) == (408, "close")
        assert "too slowly" in answer.json()["detail"]
    assert (await post(client, ("a.jpg", b"a"))).status_code == 202
    assert (await client.get("/api/status")).json()["received"] == 1


async def trickle(clock: list[float], *, every_s: float, size: int) -> float:
    """Seconds until a body that comes in chunks is ended."""

    async def receive() -> dict[str, Any]:
        clock[0] += every_s
        return {"type": "http.request", "body": b"x" * size, "more_body": True}

    async def application(_scope: Any, receive: Any, _send: Any) -> None:
        while clock[0] < 10_000:
            await receive()

    deadlines = slow_bodies.BodyDeadlines(application, clock=lambda: clock[0])
    with pytest.raises(slow_bodies.SlowBody):
        await deadlines({"type": "http"}, receive, lambda _: None)  # type: ignore[arg-type, return-value]
    return clock[0]


async def test_a_body_that_trickles_ends_and_one_that_flows_has_half_an_hour() -> None:
    assert await trickle([0.0], every_s=20.0, size=1) < 60.0
    assert 1800.0 <= await trickle([0.0], every_s=1.0, size=2**20) < 1810.0


async def test_only_so_many_uploads_are_read_at_once(
    make_world: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "MAX_UPLOADS", 0)
    world = await make_world()
    async with world.client() as client:
        answer = await post(client, ("a", b"a"))
        assert answer.status_code == 429
        assert "uploads are being read" in answer.json()["detail"]


async def test_names_from_strangers_are_only_text(client: httpx.AsyncClient) -> None:
    name = '../../<script>"ü\x7f.jpg'
    known = json.dumps([{"ref": name}])
    assert (await post(client, ("file", b"a"), batch="names", observations=known)).status_code == 202
    (receipt,) = await receipts(client, batch="names")
    assert receipt["ref"] == name


async def test_a_disk_that_is_nearly_full_is_named_before_the_body_is_read(make_world: Callable[..., Any]) -> None:
    world = await make_world(min_free_disk_mib=10**12)

    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with world.client() as client:
        for content_type in ("multipart/form-data; boundary=x", "application/json"):
            refused = await client.post("/api/images", content=body(), headers={"content-type": content_type})
            assert (refused.status_code, refused.json()["title"]) == (507, "Insufficient storage")
            detail = refused.json()["detail"]
            assert re.search(r"The disk of \S+ is nearly full: \d+ MiB are free, 1000000000000 are wanted", detail)
            assert "free some space there. Nothing of this request was taken in." in detail
        capacity = (await client.get("/api/intake")).json()
        assert capacity["room"] <= 0
        assert capacity["disk"].startswith("the disk of")
