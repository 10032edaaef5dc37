"""Who asks: a token for scripts, accounts for people, and signed sessions that remember a log-in."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from itsdangerous import BadData, Signer, URLSafeSerializer

from astrolens.console.ended_sessions import EndedSessions
from astrolens.platform.errors import ConfigurationError, TransientError
from astrolens.platform.runtime.health_access import MIN_TOKEN_LENGTH
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.accounts import Accounts

SESSION_TTL_S = 7 * 24 * 3600
"""How long a session lasts: a run at the telescope, but not for ever."""

ACCOUNTS_CACHE_TTL_S = 5.0
"""How long accounts are remembered: a removed account is out after at most so many seconds."""

FORMER_SESSION_KEY = "console-session-key"
"""The document in META that held the key in earlier versions. Whoever read the records has it: it is removed."""

_SHA256 = {"key_derivation": "hmac", "digest_method": hashlib.sha256}


@dataclass(frozen=True)
class Identity:
    """Who asks."""

    user: str
    how: Literal["local", "token", "session"]


LOCAL = Identity("local", "local")
"""Whoever sits at this machine, where the console listens on loopback only."""


class Credentials:
    """Checks tokens and sessions; `start` before use.

    A session is signed JSON: the user, an id by which logging out ends it, the time of its end, and a signature of the
    user's secret, so that it ends with that secret, which is the account's password hash or the token. It holds its
    end, not the age of a signature, which a console whose clock is a second behind would take for one of the future.
    """

    def __init__(self, *, records: RecordStore, token: str | None, clock: Callable[[], float] = time.time) -> None:
        self.accounts = Accounts(records)
        self._records = records
        self._token = token or None
        self._clock = clock
        self._sessions: URLSafeSerializer | None = None
        self._secrets: Signer | None = None
        self._ended = EndedSessions(records, clock=clock)
        self._hashes: dict[str, str] = {}
        self._read_at = float("-inf")

    async def start(self, *, host: str, needed: bool, key: bytes) -> None:
        """Sign and believe sessions.

        Args:
            host: The address that the console listens on.
            needed: Whether others can reach it.
            key: Signs sessions; see `session_key`.

        Raises:
            ConfigurationError: Credentials are needed, but neither token nor account exists, or the token is short.
        """
        await self._records.delete(Collection.META, [FORMER_SESSION_KEY])
        self._sessions = URLSafeSerializer(key, salt="session", signer_kwargs=_SHA256)
        self._secrets = Signer(key, salt="secret", key_derivation="hmac", digest_method=hashlib.sha256)
        if needed and self._token is not None and len(self._token) < MIN_TOKEN_LENGTH:
            raise ConfigurationError(
                f"ASTROLENS_TOKEN has {len(self._token)} characters, but others can reach the console at {host!r}: "
                f"take at least {MIN_TOKEN_LENGTH} random ones, such as `openssl rand -hex 16` prints"
            )
        if needed and self._token is None and not await self._password_hashes():
            raise ConfigurationError(
                f"ASTROLENS_HOST is {host!r}, where others can reach the console, but neither a token nor an account "
                "exists: set ASTROLENS_TOKEN or run `astrolens account add NAME`"
            )

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long for a wrong one."""
        return self._token is not None and hmac.compare_digest(given.encode(), self._token.encode())

    async def login(self, *, name: str, password: str) -> bool:
        """Whether a name and a password belong together."""
        return await self.accounts.verify(name, password)

    async def session(self, user: str) -> str:
        """A signed session of a user (`token` for whoever holds the token), for a cookie.

        Raises:
            TransientError: The signing key is not read yet.
        """
        if self._sessions is None or self._secrets is None:
            raise TransientError("the console is starting and cannot sign sessions yet")
        self._read_at = float("-inf")
        secret = await self._secret(user)
        return self._sessions.dumps(
            {
                "user": user,
                "id": secrets.token_hex(16),
                "until": int(self._clock()) + SESSION_TTL_S,
                "secret": self._secrets.get_signature(secret or "").decode(),
            }
        )

    async def user_of(self, session: str) -> str | None:
        """The user of a session, None where it is forged, over, or of a secret that changed."""
        if self._secrets is None or (signed := self._loaded(session)) is None:
            return None
        if await self._ended.contains(signed["id"], until=signed["until"]):
            return None
        secret = await self._secret(signed["user"])
        valid = secret is not None and self._secrets.verify_signature(secret, signed["secret"])
        return signed["user"] if valid else None

    async def end(self, session: str) -> None:
        """End a session, for all consoles of the record store within `ENDED_CACHE_TTL_S`; one that is over stays so."""
        if (signed := self._loaded(session)) is not None:
            await self._ended.add(signed["id"], until=signed["until"])

    def _loaded(self, session: str) -> dict[str, Any] | None:
        """The content of a session that is signed and not over."""
        if self._sessions is None:
            return None
        try:
            signed: dict[str, Any] = self._sessions.loads(session)
        except BadData:
            return None
        return signed if "id" in signed and signed["until"] >= self._clock() else None

    async def _secret(self, user: str) -> str | None:
        return self._token if user == "token" else (await self._password_hashes()).get(user)

    async def _password_hashes(self) -> dict[str, str]:
        if time.monotonic() - self._read_at >= ACCOUNTS_CACHE_TTL_S:
            self._hashes = await self.accounts.hashes()
            self._read_at = time.monotonic()
        return self._hashes
