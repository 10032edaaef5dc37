"""Starting a session: what the login page and REST share."""

from math import ceil

import structlog
from starlette.responses import Response

from astrolens.console.context import AppContext
from astrolens.console.credentials import SESSION_TTL_S
from astrolens.console.security import cookie_name

log = structlog.get_logger(__name__)


class WrongCredentials(Exception):
    """Name and password, or the token, do not match."""


class TooManyAttempts(Exception):
    """Too many wrong ones came from this address."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = ceil(wait_s)


async def log_in(
    context: AppContext, *, address: str, token: str | None = None, name: str = "", password: str = ""
) -> tuple[str, str]:
    """The user and a signed session for somebody who knows the token, or an account's name and password.

    Args:
        context: The console's collaborators.
        address: Where the request comes from: wrong ones are counted by it.
        token: The token, where that is given.
        name: The account's name.
        password: Its password.

    Raises:
        WrongCredentials: They do not match.
        TooManyAttempts: Too many wrong ones came from there.
        TransientError: The console is starting.
    """
    async with context.login_limiter.one_at_a_time:
        if (wait_s := context.login_limiter.wait_s(address)) > 0:
            raise TooManyAttempts(wait_s)
        if token is not None:
            user, right = "token", context.credentials.is_token(token)
        else:
            user, right = name, await context.credentials.login(name=name, password=password)
        if not right:
            context.login_limiter.record_failure(address)
            log.warning("login refused", address=address)
            raise WrongCredentials
    return user, await context.credentials.session(user)


def keep_session(response: Response, session: str, *, context: AppContext, secure: bool) -> None:
    """Let the browser keep a session: signed, HttpOnly, SameSite=Strict, and only by TLS where it came so."""
    response.set_cookie(
        cookie_name(context.settings.port),
        session,
        max_age=SESSION_TTL_S,
        path="/",
        httponly=True,
        samesite="strict",
        secure=secure,
    )
    response.headers["Cache-Control"] = "no-store"
