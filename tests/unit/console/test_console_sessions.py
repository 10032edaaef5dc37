"""Sessions: what signs them, when they end, and what is not believed."""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from astrolens.console import ended_sessions
from astrolens.console.credentials import FORMER_SESSION_KEY, SESSION_TTL_S, Credentials
from astrolens.console.ended_sessions import ENDED_SESSIONS, EndedSessions
from astrolens.console.session_key import session_key
from astrolens.platform.errors import ConfigurationError, TransientError
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from itsdangerous import URLSafeSerializer

from tests.unit.console.secrets_of_tests import PASSWORD, SESSION_KEY, TOKEN


async def test_a_session_ends_with_time_password_or_account(world: Any, quick: None) -> None:
    now = 1_000_000.0
    credentials = Credentials(records=world.records, token=None, clock=lambda: now)
    await credentials.accounts.add("vera", PASSWORD)
    await credentials.start(host="0.0.0.0", needed=True, key=SESSION_KEY)
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
    now += SESSION_TTL_S
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
    await ready.start(host="0.0.0.0", needed=True, key=SESSION_KEY)
    return await ready.session("token")


async def test_a_session_of_the_format_before_logs_out(world: Any) -> None:
    """Until 0.1 a session was JSON and its HMAC, both made by our own code with the key itself."""
    credentials = Credentials(records=world.records, token=TOKEN)
    await credentials.start(host="0.0.0.0", needed=True, key=SESSION_KEY)
    key = SESSION_KEY
    proof = hmac.new(key, TOKEN.encode(), hashlib.sha256).hexdigest()[:16]
    payload = json.dumps({"user": "token", "until": int(time.time()) + 1000, "of": proof}).encode()
    body = base64.urlsafe_b64encode(payload).decode().rstrip("=")
    signature = base64.urlsafe_b64encode(hmac.new(key, body.encode(), hashlib.sha256).digest()).decode().rstrip("=")
    assert await credentials.user_of(f"{body}.{signature}") is None


async def test_sessions_hold_across_restarts_and_consoles(world: Any) -> None:
    one, other = (Credentials(records=world.records, token=TOKEN) for _ in range(2))
    await one.start(host="0.0.0.0", needed=True, key=SESSION_KEY)
    await other.start(host="0.0.0.0", needed=True, key=SESSION_KEY)
    assert await other.user_of(await one.session("token")) == "token"
    changed = Credentials(records=world.records, token="a-new-secret-token")
    await changed.start(host="0.0.0.0", needed=True, key=SESSION_KEY)
    assert await changed.user_of(await one.session("token")) is None


async def test_a_log_out_ends_one_session_at_every_console(world: Any) -> None:
    here, there = (Credentials(records=world.records, token=TOKEN) for _ in range(2))
    for console in (here, there):
        await console.start(host="0.0.0.0", needed=True, key=SESSION_KEY)
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


async def test_the_key_lies_apart_from_the_records_and_is_private(world: Any, tmp_path: Path) -> None:
    key = session_key(world.context.settings)
    path = tmp_path / "keys" / "session.key"
    assert path.read_text() == key.hex()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert session_key(world.context.settings) == key, "it stays"
    assert [each.name for each in path.parent.iterdir()] == ["session.key"]


async def test_whoever_has_the_records_cannot_sign_a_session(world: Any, tmp_path: Path) -> None:
    """Until 0.1 the key lay in META: it is removed, and what it signed is not believed."""
    key = secrets.token_hex(32)
    await world.records.insert(Collection.META, [{"name": FORMER_SESSION_KEY, "key": key}])
    copy = Credentials(records=world.records, token=TOKEN)
    await copy.start(host="0.0.0.0", needed=True, key=bytes.fromhex(key))
    forged = await copy.session("token")
    assert await world.records.get(Collection.META, [FORMER_SESSION_KEY]) == {}
    honest = Credentials(records=world.records, token=TOKEN)
    await honest.start(host="0.0.0.0", needed=True, key=session_key(world.context.settings))
    assert await honest.user_of(forged) is None
    written = b"".join(path.read_bytes() for path in tmp_path.glob("records.sqlite*"))
    assert session_key(world.context.settings).hex().encode() not in written


def test_a_key_of_the_settings_is_the_same_for_every_console(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, session_key="s" * 32, _env_file=None)
    assert session_key(settings) == b"s" * 32
    assert not settings.keys.exists()
    with pytest.raises(ConfigurationError, match="ASTROLENS_SESSION_KEY"):
        session_key(Settings(home=tmp_path, session_key="short", _env_file=None))


def test_a_damaged_or_unreachable_key_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    settings.keys.mkdir()
    (settings.keys / "session.key").write_text("no key")
    with pytest.raises(ConfigurationError, match=r"session\.key, cannot be read or made .*ASTROLENS_KEYS"):
        session_key(settings)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="Not a directory"):
        session_key(Settings(home=tmp_path, keys=tmp_path / "file" / "keys", _env_file=None))


def test_consoles_that_start_together_share_one_key(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, _env_file=None)
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: session_key(settings), range(16)))
    assert len(keys) == 1
