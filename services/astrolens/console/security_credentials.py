"""Who may come in: a token for scripts, accounts for people, signed sessions, and a limit on guessing."""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.accounts import Accounts

SESSION_S = 7 * 24 * 3600
"""How long a session lasts: a run at the telescope, but not for ever."""

ACCOUNTS_FRESH_S = 5.0
"""How long accounts are remembered: a removed account is out after at most so many seconds."""

SESSION_KEY = "console-session-key"
"""The document in META that holds the key which signs sessions, shared by all consoles of one record store."""


@dataclass(frozen=True)
class Identity:
    """Who asks."""

    user: str
    how: Literal["local", "token", "session"]


LOCAL = Identity("local", "local")
"""Whoever sits at this machine, where the console listens on loopback only."""


class Credentials:
    """Checks tokens and sessions; `start` before use."""

    def __init__(self, *, records: RecordStore, token: str | None, clock: Callable[[], float] = time.time) -> None:
        self.accounts = Accounts(records)
        self._records = records
        self._token = token or None
        self._clock = clock
        self._key = b""
        self._hashes: dict[str, str] = {}
        self._read_at = float("-inf")

    async def start(self, *, host: str, needed: bool) -> None:
        """Read the signing key, making one where there is none yet.

        Raises:
            ConfigurationError: Credentials are needed, but neither token nor account exists.
        """
        fresh = {"name": SESSION_KEY, "key": secrets.token_hex(32)}
        await self._records.insert(Collection.META, [fresh])
        document = (await self._records.get(Collection.META, [SESSION_KEY]))[SESSION_KEY]
        self._key = bytes.fromhex(document["key"])
        if needed and self._token is None and not await self._known():
            raise ConfigurationError(
                f"ASTROLENS_HOST is {host!r}, where others can reach the console, but neither a token nor an account "
                "exists: set ASTROLENS_TOKEN or run `astrolens account add NAME`"
            )

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for a wrong one."""
        return self._token is not None and _same(given, self._token)

    async def login(self, *, name: str, password: str) -> bool:
        """Whether a name and a password belong together."""
        return await self.accounts.verify(name, password)

    async def session(self, user: str) -> str:
        """A signed session of a user (`token` for whoever holds the token), for a cookie."""
        self._read_at = float("-inf")
        payload = {"user": user, "until": int(self._clock()) + SESSION_S, "of": await self._fingerprint(user)}
        body = _encode(json.dumps(payload, separators=(",", ":")).encode())
        return f"{body}.{self._signature(body)}"

    async def user_of(self, session: str) -> str | None:
        """The user of a session, None where it is forged, over, or of a password that changed."""
        body, _, signature = session.partition(".")
        if not self._key or not _same(signature, self._signature(body)):
            return None
        try:
            payload = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (ValueError, binascii.Error):
            return None
        if payload["until"] < self._clock():
            return None
        now = await self._fingerprint(payload["user"])
        return payload["user"] if now and _same(payload["of"], now) else None

    async def _fingerprint(self, user: str) -> str:
        secret = self._token if user == "token" else (await self._known()).get(user)
        return hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()[:16] if secret else ""

    async def _known(self) -> dict[str, str]:
        if time.monotonic() - self._read_at >= ACCOUNTS_FRESH_S:
            self._hashes = await self.accounts.hashes()
            self._read_at = time.monotonic()
        return self._hashes

    def _signature(self, body: str) -> str:
        return _encode(hmac.new(self._key, body.encode(), hashlib.sha256).digest())


class LoginLimiter:
    """Bounds wrong passwords: a few a minute from one address, some more from all together."""

    PER_ADDRESS = 5
    ALTOGETHER = 60
    WINDOW_S = 60.0
    _ADDRESSES = 10_000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()

    def wait_s(self, address: str) -> float:
        """Seconds until this address may try again, 0 where it may now."""
        mine = self._recent(self._failures.get(address, deque()))
        everyone = self._recent(self._all)
        now = self._clock()
        waits = [0.0]
        if len(mine) >= self.PER_ADDRESS:
            waits.append(mine[0] + self.WINDOW_S - now)
        if len(everyone) >= self.ALTOGETHER:
            waits.append(everyone[0] + self.WINDOW_S - now)
        return max(waits)

    def failed(self, address: str) -> None:
        """Count a wrong password."""
        self._failures.setdefault(address, deque()).append(self._clock())
        self._failures.move_to_end(address)
        self._all.append(self._clock())
        while len(self._failures) > self._ADDRESSES:
            self._failures.popitem(last=False)

    def _recent(self, times: deque[float]) -> deque[float]:
        while times and times[0] <= self._clock() - self.WINDOW_S:
            times.popleft()
        return times


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
