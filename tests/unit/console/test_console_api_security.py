"""Who may come in, and from where."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import limits.storage.memory
import pytest
from astrolens.console import ended_sessions, login_limiter
from astrolens.console.credentials import MIN_TOKEN_LENGTH, SESSION_KEY, SESSION_S, Credentials
from astrolens.console.ended_sessions import ENDED_SESSIONS, EndedSessions
from astrolens.console.login_limiter import LoginLimiter
from astrolens.console.security import SecurityMiddleware, address_of
from astrolens.platform.errors import ConfigurationError, TransientError
from astrolens.platform.stores.collections import Collection
from itsdangerous import URLSafeSerializer
from limits.storage import MemoryStorage
from starlette.responses import PlainTextResponse
from starlette.types import Message

TOKEN = "a-long-secret-token"
PASSWORD = "correct horse battery"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with a cost for tests."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(
        "astrolens.usecases.accounts.PasswordHasher",
        lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
    )


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


async def test_a_session_ends_with_time_password_or_account(world: Any, quick: None) -> None:
    now = 1_000_000.0
    credentials = Credentials(records=world.records, token=None, clock=lambda: now)
    await credentials.accounts.add("vera", PASSWORD)
    await credentials.start(host="0.0.0.0", needed=True)
    session = await credentials.session("vera")
    assert await credentials.user_of(session) == "vera"
    body, signature = session.rsplit(".", 1)
    other_key = URLSafeSerializer(b"x" * 32, salt="session").dumps(URLSafeSerializer(b"").load_payload(body.encode()))
    forgeries = (
        "",
        ".",
        "x.y",
        f"{body}.{signature[:-2]}AA",
        f"{body[:-2]}AA.{signature}",
        f"{body}.",
        "é.ü",
        other_key,
    )
    for forged in (*forgeries, other_key):
        assert await credentials.user_of(forged) is None, forged
    now += SESSION_S
    assert await credentials.user_of(session) == "vera"
    now += 1
    assert await credentials.user_of(session) is None
    session = await credentials.session("vera")
    await credentials.accounts.add("vera", "another long password")
    credentials._read_at = float("-inf")
    assert await credentials.user_of(session) is None
    session = await credentials.session("vera")
    assert await credentials.accounts.remove("vera")
    credentials._read_at = float("-inf")
    assert await credentials.user_of(session) is None


async def test_before_its_key_is_read_no_session_is_believed(world: Any) -> None:
    unready = Credentials(records=world.records, token=TOKEN)
    assert await unready.user_of(await world_session(world)) is None
    with pytest.raises(TransientError, match="starting"):
        await unready.session("token")


async def world_session(world: Any) -> str:
    ready = Credentials(records=world.records, token=TOKEN)
    await ready.start(host="0.0.0.0", needed=True)
    return await ready.session("token")


async def test_a_session_of_the_format_before_logs_out(world: Any) -> None:
    """Until 0.1 a session was JSON and its HMAC, both made by our own code with the key itself."""
    credentials = Credentials(records=world.records, token=TOKEN)
    await credentials.start(host="0.0.0.0", needed=True)
    document = (await world.records.get(Collection.META, [SESSION_KEY]))[SESSION_KEY]
    key = bytes.fromhex(document["key"])
    proof = hmac.new(key, TOKEN.encode(), hashlib.sha256).hexdigest()[:16]
    payload = json.dumps({"user": "token", "until": int(time.time()) + 1000, "of": proof}).encode()
    body = base64.urlsafe_b64encode(payload).decode().rstrip("=")
    signature = base64.urlsafe_b64encode(hmac.new(key, body.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    assert await credentials.user_of(f"{body}.{signature}") is None


async def test_sessions_hold_across_restarts_and_consoles(world: Any) -> None:
    one, other = (Credentials(records=world.records, token=TOKEN) for _ in range(2))
    await one.start(host="0.0.0.0", needed=True)
    await other.start(host="0.0.0.0", needed=True)
    assert await other.user_of(await one.session("token")) == "token"
    changed = Credentials(records=world.records, token="a-new-secret-token")
    await changed.start(host="0.0.0.0", needed=True)
    assert await changed.user_of(await one.session("token")) is None


async def test_guessing_is_slowed_down(make_world: Callable[..., Any], quick: None) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    async with world.client("http://observatory.example") as client:
        for _ in range(LoginLimiter.PER_ADDRESS):
            assert (await client.post("/api/login", json={"token": "guess"})).status_code == 401
        answer = await client.post("/api/login", json={"token": TOKEN})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 60


async def test_guesses_sent_at_once_are_slowed_down_too(make_world: Callable[..., Any], quick: None) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    await world.context.credentials.accounts.add("vera", PASSWORD)
    async with world.client("http://observatory.example") as client:
        guesses = [client.post("/api/login", json={"name": "vera", "password": f"guess {n}"}) for n in range(20)]
        statuses = [answer.status_code for answer in await asyncio.gather(*guesses)]
    assert sorted(statuses) == [401] * LoginLimiter.PER_ADDRESS + [429] * (20 - LoginLimiter.PER_ADDRESS)


async def test_guessing_tokens_is_slowed_down_for_that_address_alone(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    right = {"authorization": f"Bearer {TOKEN}"}
    async with world.client("http://observatory.example") as client:
        for n in range(LoginLimiter.PER_ADDRESS):
            assert (await client.get("/api/status", headers={"authorization": f"Bearer {n}"})).status_code == 401
        for headers in ({"authorization": "Bearer 9"}, right):
            answer = await client.get("/api/status", headers=headers)
            assert answer.status_code == 429
            assert 0 < int(answer.headers["retry-after"]) <= 60
    elsewhere = httpx.ASGITransport(world.app, client=("10.0.0.9", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://observatory.example") as client:
        assert (await client.get("/api/status", headers=right)).status_code == 200


async def test_a_script_with_an_old_token_locks_nobody_out(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    async with world.client("http://observatory.example") as client:
        for _ in range(5 * LoginLimiter.PER_ADDRESS):
            answer = await client.get("/api/status", headers={"authorization": "Bearer the-old-token-here"})
            assert answer.status_code == 401
        answer = await client.get("/api/status", headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200


@pytest.mark.parametrize("token", ["a", "x" * (MIN_TOKEN_LENGTH - 1)])
async def test_a_token_that_can_be_guessed_is_refused_where_others_can_reach_the_console(
    make_world: Callable[..., Any], token: str
) -> None:
    with pytest.raises(ConfigurationError, match="at least 16 random") as refused:
        await make_world(host="0.0.0.0", token=token)
    assert f"'{token}'" not in str(refused.value)
    await make_world(host="127.0.0.1", token=token)


async def fail_to_log_in(client: httpx.AsyncClient, times: int, address: str) -> list[int]:
    body = {"token": "guess"}
    headers = {"x-forwarded-for": address}
    return [(await client.post("/api/login", json=body, headers=headers)).status_code for _ in range(times)]


async def test_behind_a_trusted_proxy_each_client_has_a_counter_of_its_own(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN, trusted_proxies="127.0.0.1, 10.9.0.0/24")
    async with world.client("http://observatory.example") as client:
        # What a client puts before the address that the proxy adds is not believed.
        tries = [(await fail_to_log_in(client, 1, f"1.2.3.{n}, 192.0.2.1, 10.9.0.7"))[0] for n in range(6)]
        assert tries == [401] * 5 + [429]
        assert await fail_to_log_in(client, 1, "192.0.2.2") == [401]
        headers = {"x-forwarded-for": "192.0.2.3", "x-forwarded-proto": "https"}
        answer = await client.post("/api/login", json={"token": TOKEN}, headers=headers)
        assert "; Secure" in answer.headers["set-cookie"]


async def test_without_trusted_proxies_nobody_chooses_an_address_or_scheme(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    async with world.client("http://observatory.example") as client:
        headers = {"x-forwarded-for": "192.0.2.3", "x-forwarded-proto": "https"}
        answer = await client.post("/api/login", json={"token": TOKEN}, headers=headers)
        assert "; Secure" not in answer.headers["set-cookie"]
        tries = [(await fail_to_log_in(client, 1, f"1.2.3.{n}"))[0] for n in range(6)]
        assert tries == [401] * 5 + [429]


async def test_over_https_the_cookie_stays_on_https(make_world: Callable[..., Any]) -> None:
    world = await make_world(host="0.0.0.0", token=TOKEN)
    async with world.client("https://observatory.example") as client:
        answer = await client.post("/api/login", json={"token": TOKEN})
        assert "; Secure" in answer.headers["set-cookie"]


def test_an_ipv6_client_has_one_counter_for_its_whole_network() -> None:
    hosts = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "::ffff:10.0.0.1", "10.0.0.1", "testclient")
    found = [address_of({"client": (host, 1)}) for host in hosts]
    assert found[0] == found[1] != found[2]
    assert found[3] == found[4] == "10.0.0.1"
    assert (found[5], address_of({})) == ("testclient", "unknown")


async def test_a_log_out_ends_one_session_at_every_console(world: Any) -> None:
    here, there = (Credentials(records=world.records, token=TOKEN) for _ in range(2))
    for console in (here, there):
        await console.start(host="0.0.0.0", needed=True)
    session, other = await here.session("token"), await here.session("token")
    await here.end(session)
    assert [await console.user_of(session) for console in (here, there)] == [None, None]
    assert [await console.user_of(other) for console in (here, there)] == ["token", "token"]
    await here.end("forged")


async def test_ended_sessions_are_bounded_and_none_comes_back(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_sessions, "MAX_ENDED", 3)
    now = 1000.0
    ended = EndedSessions(world.records, clock=lambda: now)
    for n in range(6):
        await ended.add(f"session {n}", until=2000 + n)
    assert [await ended.contains(f"session {n}", until=2000 + n) for n in range(6)] == [True] * 6
    assert await ended.contains("another", until=2001), "ended with those that are forgotten"
    assert not await ended.contains("another", until=2010)
    now = 3000.0
    await ended.add("session 7", until=4000)
    document = (await world.records.get(Collection.META, [ENDED_SESSIONS]))[ENDED_SESSIONS]
    assert document["ended"] == {"session 7": 4000}


async def test_log_outs_at_the_same_time_all_hold(world: Any) -> None:
    one, two = EndedSessions(world.records), EndedSessions(world.records)
    until = int(time.time()) + 1000
    await asyncio.gather(*(each.add(f"{n}", until=until) for n, each in enumerate((one, two) * 4)))
    document = (await world.records.get(Collection.META, [ENDED_SESSIONS]))[ENDED_SESSIONS]
    assert set(document["ended"]) == {f"{n}" for n in range(8)}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that `limits` reads."""
    clock = SimpleNamespace(now=1_000_000.0)
    clock.time = lambda: clock.now
    monkeypatch.setattr(limits.storage.memory, "time", clock)
    return clock


def test_the_limiter_forgets_after_its_window_and_counts_all_addresses_together(clock: SimpleNamespace) -> None:
    limiter = LoginLimiter(clock=clock.time)
    for _ in range(limiter.PER_ADDRESS):
        limiter.record_failure("10.0.0.1")
    assert limiter.wait_s("10.0.0.1") == 60.0
    assert limiter.wait_s("10.0.0.2") == 0.0
    for n in range(limiter.ALTOGETHER):
        limiter.record_failure(f"10.1.0.{n}")
    assert limiter.wait_s("10.0.0.2") == 60.0
    clock.now += 60.001
    assert limiter.wait_s("10.0.0.1") == 0.0
    assert limiter.wait_s("10.0.0.2") == 0.0


def test_the_limiter_says_when_the_oldest_failure_leaves_the_window(clock: SimpleNamespace) -> None:
    limiter = LoginLimiter(clock=clock.time)
    for _ in range(limiter.PER_ADDRESS):
        limiter.record_failure("10.0.0.1")
        clock.now += 10.0
    assert limiter.wait_s("10.0.0.1") == 10.0
    clock.now += 10.001
    assert limiter.wait_s("10.0.0.1") == 0.0
    limiter.record_failure("10.0.0.1")
    assert limiter.wait_s("10.0.0.1") == pytest.approx(10.0, abs=0.01)


def test_the_limiter_remembers_a_bounded_number_of_addresses(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_limiter, "_MAX_ADDRESSES", 3)
    limiter = LoginLimiter(clock=clock.time)
    for n in range(50):
        for _ in range(limiter.PER_ADDRESS):
            limiter.record_failure(f"10.0.0.{n}")
            clock.now += 2.0
    storage = limiter._limiter.storage
    assert isinstance(storage, MemoryStorage)
    assert len(storage.events) == 3 + 1, "three addresses, and all of them together"
    assert limiter.wait_s("10.0.0.49") > 0.0


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
