"""Who may read the health endpoints: everybody on this machine, and whoever has the token.

Anybody else learns from `/livez` and `/readyz` yes or no, for the kubelet cannot send a secret, and nothing from
`/metrics`.
"""

import hmac
from collections.abc import Sequence
from typing import Final

from starlette.requests import Request

from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings

MIN_TOKEN_LENGTH: Final = 16
"""Shortest token where others reach a service: 16 random letters or digits are beyond guessing."""
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host")
"""Headers of a proxy on this machine, whose clients are elsewhere."""


class HealthAccess:
    """Decides what a request may read.

    Args:
        is_loopback: Whether the service listens on this machine only.
        tokens: Each opens everything.
    """

    def __init__(self, *, is_loopback: bool, tokens: Sequence[str] = ()) -> None:
        self._is_loopback = is_loopback
        self._tokens = [token.encode() for token in tokens]

    @classmethod
    def of(cls, settings: Settings) -> "HealthAccess":
        """As the settings want it.

        Raises:
            ConfigurationError: The token for metrics is short, where others reach the service.
        """
        given = settings.metrics_token
        if given is not None and not settings.is_loopback and len(given.get_secret_value()) < MIN_TOKEN_LENGTH:
            raise ConfigurationError(
                f"ASTROLENS_METRICS_TOKEN has {len(given.get_secret_value())} characters, but others reach this "
                f"service at {settings.host!r}: take at least {MIN_TOKEN_LENGTH} random ones, such as "
                "`openssl rand -hex 16` prints"
            )
        tokens = [each.get_secret_value() for each in (given, settings.token) if each is not None]
        return cls(is_loopback=settings.is_loopback, tokens=[each for each in tokens if each])

    def is_authorized(self, request: Request) -> bool:
        """Whether this request gets metrics and reasons."""
        if self._is_loopback and not any(header in request.headers for header in _FORWARDED):
            return True
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return False
        given = token.strip().encode()
        return any(hmac.compare_digest(given, known) for known in self._tokens)
