"""Guessing passwords and tokens is slowed down, for the right address."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import limits.storage.memory
import pytest
from astrolens.console import login_limiter
from astrolens.console.login_limiter import LoginLimiter
from astrolens.console.security import address_of
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.health_access import MIN_TOKEN_LENGTH
from limits.storage import MemoryStorage

from tests.unit.console.secrets_of_tests import PASSWORD, TOKEN


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
