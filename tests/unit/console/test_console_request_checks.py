"""Requests that the OpenAPI document does not know: parameters, methods, bodies; and HEAD."""

import asyncio

import httpx
import pytest
from astrolens.console.api.request_checks import PageMethods
from astrolens.console.head_requests import HeadRequests
from starlette.types import Message, Receive, Scope, Send

from tests.unit.console.conftest import World


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/api/images?aftre=x", "'/api/images' has no parameter 'aftre', did you mean 'after'?"),
        ("/api/candidates?limits=3", "has no parameter 'limits', did you mean 'limit'?"),
        ("/api/status?verbose=1", "has no parameter 'verbose': it takes batch."),
        ("/api/intake?x=1", "has no parameter 'x': it takes none."),
    ],
)
async def test_an_unknown_parameter_is_refused_with_its_name(
    client: httpx.AsyncClient, path: str, sentence: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    assert sentence.removeprefix("'/api/images' ") in answer.json()["detail"]


async def test_known_parameters_pass(client: httpx.AsyncClient) -> None:
    for path in ("/api/images?limit=3&class=spiral&sort=newest", "/api/labels?answer=ordinary", "/api/health"):
        assert (await client.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/api/images?limit=1&limit=2", "/api/images takes one value of 'limit', and 2 are given"),
        ("/api/labels?limit=1&answer=ordinary&limit=1", "takes one value of 'limit'"),
        ("/api/images?radius_arcsec=5", "radius_arcsec is a distance from a place, and none is given"),
        ("/api/images?radius_arcsec=5&q=ngc+4567", "radius_arcsec is a distance from a place"),
    ],
)
async def test_what_would_go_unnoticed_is_refused_with_its_name(
    client: httpx.AsyncClient, path: str, sentence: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == 422
    assert sentence in answer.json()["detail"]


async def test_what_takes_several_values_and_a_radius_with_a_place_pass(client: httpx.AsyncClient) -> None:
    for path in (
        "/api/images?survey=sdss&survey=efigi&verdict=anomaly&verdict=near_miss",
        "/api/images?ra_deg=10&dec_deg=41&radius_arcsec=5",
        "/api/images?q=10.68+%2B41.27&radius_arcsec=5",
    ):
        assert (await client.get(path)).status_code == 200


async def test_simulated_takes_what_pages_take(world: World, client: httpx.AsyncClient) -> None:
    real = await world.add_image("real.jpg")
    invented = await world.add_image("invented.jpg", simulated=True)
    for value, expected in (("any", {real, invented}), ("true", {invented}), ("false", {real})):
        answer = await client.get(f"/api/images?simulated={value}")
        assert {each["image_id"] for each in answer.json()["items"]} == expected
    assert (await client.get("/api/images?simulated=some")).status_code == 422


@pytest.mark.parametrize("method", ["OPTIONS", "DELETE", "PUT", "PATCH", "TRACE", "PROPFIND"])
async def test_another_method_says_which_are_taken_in_one_shape_everywhere(
    client: httpx.AsyncClient, method: str
) -> None:
    for path, allowed in (
        ("/api/images", "GET, HEAD, POST"),
        ("/api/status", "GET, HEAD"),
        ("/api/login", "POST"),
        ("/gallery", "GET, HEAD"),
        ("/", "GET, HEAD"),
        ("/login", "GET, HEAD, POST"),
    ):
        answer = await client.request(method, path)
        assert answer.status_code == 405, path
        assert answer.headers["allow"] == allowed
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert set(problem) == {"type", "title", "status", "detail"}
        assert f"not {method}" in problem["detail"]
    answer = await client.request(method, "/api/nowhere")
    assert answer.status_code == 404
    assert answer.json()["title"] == "No such address"


async def test_the_start_of_the_application_passes() -> None:
    seen: list[str] = []

    async def application(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> Message:
        return {"type": "lifespan.startup"}

    for kind in ("lifespan", "websocket"):
        await PageMethods(application)({"type": kind}, nothing, nothing)
    assert seen == ["lifespan", "websocket"]


async def test_a_page_is_not_posted_to(client: httpx.AsyncClient) -> None:
    assert (await client.post("/gallery")).status_code == 405
    assert (await client.post("/api/status")).status_code == 405
    assert (await client.get("/api/nowhere")).status_code == 404


async def test_a_body_of_another_kind_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/labels", content=b"image_id=1", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert "send application/json" in answer.json()["detail"]


async def test_the_progress_of_an_unknown_batch_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/receipts/nothing/progress")
    assert answer.status_code == 404
    assert "No batch has the id 'nothing'" in answer.json()["detail"]


async def test_an_unknown_field_of_a_body_is_refused_with_its_name(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/labels", json={"image_id": "0" * 32, "answr": "ordinary"})
    assert answer.status_code == 422
    assert "answr" in answer.json()["detail"]


async def test_head_is_answered_as_get_without_the_body(client: httpx.AsyncClient) -> None:
    got, head = await client.get("/api/health"), await client.head("/api/health")
    assert head.status_code == got.status_code == 200
    assert head.headers["content-length"] == got.headers["content-length"]
    assert head.content == b""
    assert (await client.head("/api/nowhere")).status_code == 404


async def test_head_of_a_stream_without_end_ends() -> None:
    ended = asyncio.Event()

    async def stream(_: Scope, __: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.sleep(3600)
        finally:
            ended.set()

    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    async with asyncio.timeout(5):
        await HeadRequests(stream)({"type": "http", "method": "HEAD"}, nothing, keep)
    assert ended.is_set()
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
