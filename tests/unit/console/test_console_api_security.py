"""Who may come in, from where, and what answers say to browsers."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from astrolens.console.security import SecurityMiddleware
from astrolens.platform.errors import ConfigurationError
from starlette.responses import PlainTextResponse
from starlette.types import Message

from tests.unit.console.secrets_of_tests import PASSWORD, TOKEN


async def test_on_loopback_nobody_logs_in_but_only_its_own_name_is_served(world: Any) -> None:
    for host in ("localhost:8080", "127.0.0.1:9999", "[::1]:8080", "astro.localhost"):
        async with world.client(f"http://{host}") as client:
            assert (await client.get("/api/health")).status_code == 200
    async with world.client("http://evil.example") as client:
        answer = await client.get("/api/status")
        assert answer.status_code == 403
        assert "evil.example" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"origin": "http://localhost:8080"}, True),
        ({"origin": "http://LOCALHOST:8080"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://localhost:3000"}, False),
        ({"origin": "https://localhost"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://localhost:8080.evil.example"}, False),
        ({"origin": "http://localhost:port"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
    ],
)
async def test_other_sites_change_nothing(world: Any, headers: dict[str, str], allowed: bool) -> None:
    image = await world.add_image("m51")
    async with world.client() as client:
        body = {"image_id": image, "answer": "artefact"}
        answer = await client.post("/api/labels", json=body, headers=headers)
        assert answer.status_code == (200 if allowed else 403)
        labels = (await client.get(f"/api/images/{image}")).json()["labels"]
        assert len(labels) == (1 if allowed else 0)


async def _open_socket(middleware: SecurityMiddleware, headers: dict[str, str]) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "path": "/_nicegui_ws/socket.io/",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await middleware(scope, receive, send)
    return sent


async def test_sockets_of_other_sites_are_closed(world: Any) -> None:
    async def inner(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    middleware = SecurityMiddleware(
        inner,
        credentials=world.context.credentials,
        limiter=world.context.login_limiter,
        login_needed=False,
        host="127.0.0.1",
        port=8080,
    )
    own = await _open_socket(middleware, {"host": "localhost:8080", "origin": "http://localhost:8080"})
    assert own[0]["type"] == "websocket.accept"
    strange = await _open_socket(middleware, {"host": "localhost:8080", "origin": "http://evil.example"})
    assert [message["type"] for message in strange] == ["websocket.close"]
    rebound = await _open_socket(middleware, {"host": "evil.example", "origin": "http://evil.example"})
    assert [message["type"] for message in rebound] == ["websocket.close"]


async def test_off_loopback_it_refuses_to_start_without_token_or_account(make_world: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"astrolens account add") as refused:
        await make_world(host="0.0.0.0")
    assert "0.0.0.0" in str(refused.value)
    await make_world(host="0.0.0.0", token=TOKEN)


async def test_a_token_opens_the_api(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    async with world.client("http://observatory.example") as client:
        refused = await client.get("/api/status")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert (await client.get("/api/health")).json()["login_needed"] is True
        for value in ("Bearer wrong", f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN}x", "Bearer ünïcode".encode()):
            answer = await client.get("/api/status", headers={"authorization": value})
            assert answer.status_code == 401
        assert (await client.get("/api/status", headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200
        assert (await client.get("/api/session", headers={"authorization": f"bearer {TOKEN}"})).json()[
            "user"
        ] == "token"


async def test_pages_lead_to_the_login_and_come_back(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    async with world.client("http://observatory.example") as client:
        answer = await client.get("/gallery?survey=sdss&sort=newest")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=%2Fgallery%3Fsurvey%3Dsdss%26sort%3Dnewest"
        assert (await client.get("/login")).status_code == 404, "let through; pages are not mounted here"


async def test_whoever_logs_in_on_loopback_answers_under_that_name(world: Any, quick: None) -> None:
    await world.context.credentials.accounts.add("ann", PASSWORD)
    image = await world.add_image("m51")
    async with world.client() as client:
        assert (await client.get("/api/session")).json() == {"user": "local", "login_needed": False}
        assert (await client.post("/api/login", json={"name": "ann", "password": PASSWORD})).json()["user"] == "ann"
        assert (await client.get("/api/session")).json() == {"user": "ann", "login_needed": False}
        await client.post("/api/labels", json={"image_id": image, "answer": "ordinary"})
        copy = dict(client.cookies)
        assert (await client.post("/api/logout")).status_code == 204
        client.cookies.update(copy)
        assert (await client.get("/api/session")).json()["user"] == "local"
        await client.post("/api/labels", json={"image_id": image, "answer": "artefact"})
        answers = (await client.get(f"/api/images/{image}")).json()["card"]["answers"]
        assert answers == {"ann": "ordinary", "local": "artefact"}


async def test_people_log_in_with_an_account(make_world: Callable[..., Any], quick: None) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    await world.context.credentials.accounts.add("vera", PASSWORD)
    image = await world.add_image("m51")
    async with world.client("http://observatory.example") as client:
        assert (await client.post("/api/login", json={"name": "vera", "password": "wrong"})).status_code == 401
        answer = await client.post("/api/login", json={"name": "vera", "password": PASSWORD})
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert PASSWORD not in cookie
        await client.post("/api/labels", json={"image_id": image, "answer": "ordinary"})
        assert (await client.get(f"/api/images/{image}")).json()["labels"][0]["user"] == "vera"
        copy = dict(client.cookies)
        assert (await client.post("/api/logout")).status_code == 204
        assert (await client.get("/api/status")).status_code == 401
        header = "; ".join(f"{name}={value}" for name, value in copy.items())
        assert (await client.get("/api/status", headers={"cookie": header})).status_code == 401, "a copy is ended too"
        assert (await client.post("/api/login", json={"token": TOKEN})).json()["user"] == "token"


async def test_every_answer_says_to_the_browser_what_it_may_do(world: Any) -> None:
    async with world.client() as client:
        api = await client.get("/api/status")
        page = await client.get("/gallery")
        refused = await client.get("/api/status", headers={"origin": "http://evil.example"})
    for answer in (api, page, refused):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in api.headers["content-security-policy"]
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "access-control-allow-origin" not in api.headers


async def test_large_bodies_are_refused_where_no_upload_is(world: Any) -> None:
    async with world.client() as client:
        answer = await client.post("/api/login", json={"name": "x" * (2 * 2**20)})
        assert answer.status_code == 413


async def test_pages_may_show_pictures_of_the_object_store_and_of_nobody_else(world: Any) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("page")(scope, receive, send)

    policies = []
    for origin in ("", "https://pictures.example"):
        options = {"host": "127.0.0.1", "port": 8080, "login_needed": False, "picture_origin": origin}
        middleware = SecurityMiddleware(
            answer, credentials=world.context.credentials, limiter=world.context.login_limiter, **options
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(middleware), base_url="http://localhost") as client:
            policies.append((await client.get("/gallery")).headers["content-security-policy"].split("; "))
            assert "pictures" not in (await client.get("/api/status")).headers["content-security-policy"]
    assert "img-src 'self' data: blob:" in policies[0]
    assert set(policies[1]) - set(policies[0]) == {"img-src 'self' data: blob: https://pictures.example"}
