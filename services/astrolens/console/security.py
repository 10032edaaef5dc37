"""The security middleware: where a request comes from, who sends it, and what browsers may do with answers.

On loopback nobody needs to log in, and whoever does is that person. But a page of another site must not reach the
console through the visitor's browser: the Host header defeats DNS rebinding, the Origin header cross-site requests
(WebSockets too). Elsewhere a token or a session is needed for all but the login page and its assets.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from math import ceil
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from astrolens.console.credentials import LOCAL, Credentials, Identity
from astrolens.console.login_limiter import LoginLimiter
from astrolens.console.problems import Problem, too_many, unavailable
from astrolens.platform.errors import TransientError

OPEN_PATHS = ("/api/health", "/api/login", "/login", "/favicon.ico", "/_nicegui/", "/_nicegui_ws/", "/static/")
"""What the login page needs. A NiceGUI socket serves only a client whose unguessable id a page was given before."""

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_PAGE_POLICY = (
    "default-src 'self'",
    # Vue compiles templates in the browser, and NiceGUI starts its client from inline scripts.
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
    "font-src 'self' data:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)
_PICTURES = "img-src 'self' data: blob:"
_DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""For API answers: should one ever be opened as a page, it can do nothing."""

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
}

_FILE_PATHS = ("/_nicegui/", "/static/")
_FILE_HEADERS = {name: _HEADERS[name] for name in ("x-content-type-options", "cross-origin-resource-policy")}
_FILES = ("text/javascript", "text/css", "font/")
"""Scripts, styles and fonts are no pages: the other headers mean nothing on them, and would be a tenth of what a first
visit loads."""


class SecurityMiddleware:
    """ASGI middleware; pure, so that uploads, streams and sockets pass through without a copy."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        credentials: Credentials,
        limiter: LoginLimiter,
        login_needed: bool,
        host: str,
        port: int,
        picture_origin: str = "",
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            credentials: Knows tokens and sessions.
            limiter: Limits guessing tokens.
            login_needed: Whether people must log in.
            host: Address that is listened on.
            port: Port that is listened on.
            picture_origin: Where pages get pictures from beside the console itself; empty: from nowhere else.
        """
        self._app = app
        self._credentials = credentials
        self._limiter = limiter
        self._login_needed = login_needed
        self._hosts = frozenset({"localhost", "127.0.0.1", "::1", host.lower()})
        self._cookie = cookie_name(port)
        self._page_policy = "; ".join((*_PAGE_POLICY, f"{_PICTURES} {picture_origin}".strip()))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check_site(scope, headers)
            identity = await self._identify(scope, headers)
        except Problem as problem:
            await self._refuse(problem.response(), scope, receive, send)
            return
        except TransientError as error:
            unidentified = unavailable(
                "Unavailable for now", f"Nobody can be identified now: {error}; ask again shortly."
            )
            await self._refuse(unidentified.response(), scope, receive, send)
            return
        if identity is None and not scope["path"].startswith(OPEN_PATHS):
            await self._refuse(_login_required(scope, headers), scope, receive, send)
            return
        scope.setdefault("state", {})["identity"] = identity
        await self._app(scope, receive, self._with_headers(send, scope["path"]))

    def _check_site(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        name = _hostname(host)
        # With a login, rebinding gains nothing: cookies and tokens belong to the true name.
        if not self._login_needed and name not in self._hosts and not name.endswith(".localhost"):
            raise Problem(
                403,
                "Unexpected host",
                f"The request names the host {host[:100]!r}, but this console serves localhost only: "
                "open it as http://localhost, or set ASTROLENS_HOST and a token.",
            )
        origin = headers.get("origin")
        if origin is not None and not _same_origin(origin, host):
            raise Problem(
                403,
                "Cross-site request",
                f"The request comes from {origin[:100]!r}, not from {host[:100]!r}: open the console itself.",
            )
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if changes and headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            raise Problem(
                403, "Cross-site request", "Another site sent this, says the browser: open the console itself."
            )

    async def _identify(self, scope: Scope, headers: Headers) -> Identity | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self._login_needed and scheme.lower() == "bearer":
            self._limit_guesses(address := address_of(scope))
            if self._credentials.is_token(token.strip()):
                return Identity("token", "token")
            self._limiter.record_wrong_token(address, token)
        session = _cookie(headers, self._cookie)
        user = await self._credentials.user_of(session) if session else None
        if user:
            return Identity(user, "session")
        return None if self._login_needed else LOCAL

    def _limit_guesses(self, address: str) -> None:
        # The right token is refused too: else an answer would tell whether a guess was right.
        if (wait_s := self._limiter.token_wait_s(address)) > 0:
            raise too_many(
                "Too many attempts",
                f"Too many wrong tokens or logins came from {address}: try again in {ceil(wait_s)} s.",
                retry_after_s=ceil(wait_s),
            )

    async def _refuse(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            return
        await response(scope, receive, self._with_headers(send, scope["path"]))

    def _with_headers(self, send: Send, path: str) -> Send:
        policy = _DATA_POLICY if path.startswith("/api/") else self._page_policy

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _each_header(path, policy, headers.get("content-type", "")):
                    headers.setdefault(name, value)
            await send(message)

        return send_with_headers


def address_of(scope: Scope) -> str:
    """Where a request comes from, for counting: an IPv6 client has a whole /64 to itself."""
    host = scope["client"][0] if scope.get("client") else "unknown"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), 64), strict=False))
    return str(address)


def cookie_name(port: int) -> str:
    """The session cookie's name: cookies know no ports, and two consoles may run on one machine."""
    return f"astrolens_session_{port}"


def identity_of(state: Mapping[str, object]) -> Identity | None:
    """Who sent a request, from its `scope["state"]`; None on pages that need no login."""
    identity = state.get("identity")
    return identity if isinstance(identity, Identity) else None


def _login_required(scope: Scope, headers: Headers) -> Response:
    if scope["type"] == "http" and scope["method"] in _SAFE_METHODS and not scope["path"].startswith("/api/"):
        path = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope.get("query_string") else "")
        return RedirectResponse(f"/login?next={quote(path, safe='')}", status_code=303)
    given = "a token or session that is not valid" if _has_credentials(headers) else "no token and no session"
    return Problem(
        401,
        "Login needed",
        f"The request carries {given}: send `Authorization: Bearer <ASTROLENS_TOKEN>` or log in at /login.",
        headers={"WWW-Authenticate": 'Bearer realm="astrolens"'},
    ).response()


def _has_credentials(headers: Headers) -> bool:
    return "authorization" in headers or "astrolens_session_" in headers.get("cookie", "")


def _each_header(path: str, policy: str, kind: str) -> Iterable[tuple[str, str]]:
    if path.startswith(_FILE_PATHS) and kind.startswith(_FILES):
        yield from _FILE_HEADERS.items()
        return
    yield "content-security-policy", policy
    yield from _HEADERS.items()


def _hostname(netloc: str) -> str:
    try:
        return (urlsplit(f"//{netloc}").hostname or "").lower()
    except ValueError:
        return ""


def _same_origin(origin: str, host: str) -> bool:
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    standard = {"http": 80, "https": 443}.get(parts.scheme)
    if standard is None or not parts.hostname:
        return False
    # A proxy that ends TLS leaves the port out of Host: compare with the origin's own standard port.
    try:
        asked = urlsplit(f"//{host}")
        return parts.hostname == (asked.hostname or "").lower() and (port or standard) == (asked.port or standard)
    except ValueError:
        return False


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return morsel.value if morsel else None
