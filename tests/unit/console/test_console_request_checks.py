"""Requests that the OpenAPI document does not know: parameters, methods, bodies; and HEAD."""

import asyncio

import httpx
import pytest
from astrolens.console.head_requests import HeadRequests
from starlette.types import Message, Receive, Scope, Send


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


async def test_another_method_says_which_are_taken(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/api/images")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, POST"
    assert "not DELETE" in answer.json()["detail"]
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
