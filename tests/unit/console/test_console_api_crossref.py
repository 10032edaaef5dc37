"""What the catalogues know, over REST: the console asks by a document, and the crossref service answers."""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest
from astrolens.contracts import examples
from astrolens.contracts.base import utc_now
from astrolens.contracts.status import ServiceStatus
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Query
from astrolens.usecases.crossmatches import Crossmatches


async def test_an_image_tells_what_every_catalogue_said(world: Any, client: httpx.AsyncClient) -> None:
    image = await world.add_image("one", p_value=0.001)
    assert (await client.get(f"/api/crossref/{image}")).json()["state"] == "not_asked"
    record = examples.crossmatch_record().model_copy(update={"image_id": image})
    await world.records.insert(Collection.CROSSMATCHES, [record])
    found = (await client.get(f"/api/crossref/{image}")).raise_for_status().json()
    assert (found["status"], found["state"], found["possible_discovery"]) == ("known", "waiting", False)
    assert found["answers"][0]["counterparts"][0]["name"] == "M 51"
    assert (await client.get(f"/api/crossref/{'0' * 32}")).status_code == 404


async def test_asking_again_makes_it_due_past_the_cache(world: Any, client: httpx.AsyncClient) -> None:
    image = await world.add_image("one", p_value=0.5, position=(10.0, 41.0))
    for _ in range(2):
        answer = await client.post(f"/api/crossref/{image}")
        assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    (record,) = (await world.records.get(Collection.CROSSMATCHES, [image])).values()
    assert record["again"]
    assert record["next_try_at"] is not None
    nowhere = await world.add_image("nowhere", p_value=0.5)
    refused = await client.post(f"/api/crossref/{nowhere}")
    assert refused.status_code == 422
    assert "asked by position: this image came without one" in refused.json()["detail"]
    made = await world.add_image("made", p_value=0.5, position=(10.0, 41.0), simulated=True)
    assert "simulated" in (await client.post(f"/api/crossref/{made}")).json()["detail"]
    assert not await world.records.get(Collection.CROSSMATCHES, [nowhere, made])
    waiting = await world.add_image("two", p_value=None)
    assert (await client.post(f"/api/crossref/{waiting}")).status_code == 409
    assert (await client.post(f"/api/crossref/{'0' * 32}")).status_code == 404


async def test_a_place_is_answered_by_the_crossref_service(world: Any, client: httpx.AsyncClient) -> None:
    async def service() -> None:
        while not (page := await world.records.find(Collection.POSITION_QUERIES, Query())).documents:
            await asyncio.sleep(0.01)
        (asked,) = page.documents
        answer = {"state": "answered", "crossmatch": examples.matched().model_dump(mode="json")}
        await world.records.apply(Collection.POSITION_QUERIES, [Change(id=asked["query_id"], set=answer)])

    answering = asyncio.create_task(service())
    found = (
        (await client.get("/api/crossref", params={"ra_deg": 10.6847, "dec_deg": 41.2687})).raise_for_status().json()
    )
    await answering
    assert (found["status"], found["answers"][1]["status"]) == ("known", "failed")
    assert not (await world.records.find(Collection.POSITION_QUERIES, Query())).documents
    assert (await client.get("/api/crossref", params={"ra_deg": 10.0})).status_code == 422
    assert (await client.get("/api/crossref", params={"ra_deg": 10.0, "dec_deg": 91})).status_code == 422


async def test_without_the_crossref_service_a_question_ends_in_a_sentence(world: Any) -> None:
    from astrolens.usecases.errors import Overloaded

    with pytest.raises(Overloaded, match="does not answer"):
        await Crossmatches(records=world.records, answer_timeout_s=0.3).at(10.0, 41.0)


async def test_the_summary_counts_and_shows_each_catalogue(world: Any, client: httpx.AsyncClient) -> None:
    await world.records.insert(Collection.CROSSMATCHES, [examples.crossmatch_record()])
    info = {
        "catalogues": {"simbad": {"required": True, "host": "h", "release": "r", "breaker": "open", "reason": "away"}}
    }
    for number, seen_at in enumerate((utc_now(), utc_now() - timedelta(hours=1))):
        status = ServiceStatus(
            service="crossref",
            instance=f"crossref-{number}",
            pid=1,
            version="0.1.0",
            started_at=seen_at,
            seen_at=seen_at,
            ready=True,
            state="running",
            info=info,
        )
        await world.records.insert(Collection.SERVICES, [status])
    found = (await client.get("/api/crossref/summary")).raise_for_status().json()
    assert (found["known"], found["unmatched"], found["undetermined"], found["waiting"]) == (1, 0, 0, 1)
    simbad = found["catalogues"]["simbad"]
    assert (simbad["required"], simbad["host"]) == (True, "h")
    assert simbad["instances"] == {"crossref-0": {"breaker": "open", "reason": "away"}}


async def test_lists_are_filtered_by_what_is_known(world: Any, client: httpx.AsyncClient) -> None:
    known, new = [await world.add_image(name, p_value=0.001) for name in ("known", "new")]
    for image, status in ((known, "known"), (new, "unmatched")):
        await world.records.apply(Collection.IMAGES, [Change(id=image, set={"crossmatch_status": status})])
    for path in ("/api/images", "/api/candidates"):
        page = (await client.get(path, params={"crossmatch": "unmatched"})).raise_for_status().json()
        assert [(card["image_id"], card["crossmatch_status"]) for card in page["items"]] == [(new, "unmatched")]
