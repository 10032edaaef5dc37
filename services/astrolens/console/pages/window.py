"""One browser window on the console: its user, and the changes pushed to it."""

import asyncio
from collections.abc import Awaitable, Callable
from html import escape
from typing import Final
from urllib.parse import quote

import structlog
from fastapi import Request
from nicegui import Client, background_tasks, ui

from astrolens.console.context import AppContext
from astrolens.console.security import address_of, cookie_name, identity_of
from astrolens.platform.errors import TransientError
from astrolens.usecases.errors import UseCaseError
from astrolens.usecases.status import Status

log = structlog.get_logger(__name__)

SIMULATED_COOKIE: Final = "astrolens_simulated"
"""A preference of the browser: `1` where simulated images are shown among the real ones."""

HINTS_COOKIE: Final = "astrolens_hints"
"""Pages whose hint this browser has seen enough of, with dots between them."""

_MAX_COOKIE_LENGTH: Final = 100
_YEAR_S: Final = 31_536_000

Show = Callable[[Status], Awaitable[None] | None]


class LoggedOut(Exception):
    """Nobody is logged in any more."""


def prefix_of(request: Request) -> str:
    """What a proxy puts before every path, without a slash at its end."""
    # A client chooses this header: it goes into addresses, and nothing may break out of an attribute.
    return quote(request.headers.get("x-forwarded-prefix", ""), safe="/").rstrip("/")


class Window:
    """What lives as long as a window's page: NiceGUI's client, and the session that opened it.

    Attributes:
        base: Prefix that a proxy puts before every path, without a slash at its end.
        status_feed: The stream of changes.
        focused: Name of the field that asked for the next address; it gets the focus again.
        simulated: Whether simulated images are shown among the real ones.
        hints_read: Pages whose hint was dismissed.
        rebuild: Builds the open page anew.
        is_sent: Whether the document is on its way; what changes from then on goes through the socket.
    """

    def __init__(self, context: AppContext, client: Client) -> None:
        self.context = context
        self.client = client
        self.base = prefix_of(client.request)
        self.path = "/"
        self.focused = ""
        self.simulated = client.request.cookies.get(SIMULATED_COOKIE) == "1"
        self.hints_read = set(client.request.cookies.get(HINTS_COOKIE, "")[:_MAX_COOKIE_LENGTH].split(".")) - {""}
        self.rebuild: Callable[[], None] = lambda: None
        self.is_sent = False
        self.status_feed = StatusFeed(self)

    def remember(self, cookie: str, value: str) -> None:
        """Keep a preference in the browser for a year; the value is one of ours, and no text from outside."""
        ui.run_javascript(f"document.cookie = '{cookie}={value}; path=/; max-age={_YEAR_S}; samesite=strict'")

    def preload(self, path: str) -> None:
        """Have the browser ask for data together with the scripts that will want it: a round trip less.

        Only of the document's first page; the script must ask for exactly this.

        Args:
            path: Of the API, with its query.
        """
        if not self.is_sent:
            url = escape(f"{self.base}/api{path}")
            ui.add_head_html(f'<link rel="preload" as="fetch" crossorigin="anonymous" href="{url}">')

    async def user(self) -> str:
        """Who is logged in here, as labels name them.

        Raises:
            LoggedOut: The session is over.
            TransientError: The session cannot be checked now.
        """
        identity = identity_of(self.client.request.scope.get("state", {}))
        if identity is None:
            raise LoggedOut
        if identity.how == "session":
            session = self._session()
            if session is None or await self.context.credentials.user_of(session) is None:
                raise LoggedOut
        return identity.user

    def open_login(self) -> None:
        """Leave for the login page, which leads back."""
        self.status_feed.stop()
        self.client.open(f"/login?next={quote(self.path, safe='')}")

    async def log_out(self) -> None:
        """End the session, for whoever may hold a copy of its cookie, too."""
        if session := self._session():
            await self.context.credentials.end(session)
        self.status_feed.stop()
        self.client.open("/login" if self.context.login_needed else "/")

    def _session(self) -> str | None:
        return self.client.request.cookies.get(cookie_name(self.context.settings.port))


class StatusFeed:
    """The one stream of changes of a window: each new status, at most two a second, to whatever the page shows."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._always: list[Show] = []
        self._page: list[Show] = []
        self._task: asyncio.Task[None] | None = None
        window.client.on_connect(self._start)
        window.client.on_disconnect(self._on_disconnect)
        window.client.on_delete(self.stop)

    def subscribe(self, show: Show, *, always: bool = False) -> None:
        """Call `show` with every status until another page is opened, or as long as the window lives."""
        (self._always if always else self._page).append(show)

    def forget_page(self) -> None:
        """Another page is opened."""
        self._page.clear()

    def stop(self) -> None:
        """End the stream."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = background_tasks.create(self._run(), name="live updates", context=self._window.client)

    def _on_disconnect(self) -> None:
        # A reconnecting browser may open its new socket before the old one is given up.
        if not self._window.client.has_socket_connection:
            self.stop()

    async def _run(self) -> None:
        stream = self._window.context.stream
        async for status in stream.listen(address_of(self._window.client.request.scope)):
            # A sign of life too: times like "2 min ago" go on while nothing happens.
            newest = status or stream.latest
            if newest is None:
                continue
            try:
                await self._window.user()
            except LoggedOut:
                self._window.open_login()
                return
            except TransientError:
                continue  # no answer of the record store is told by the status itself
            for show in (*self._always, *self._page):
                await self._show(show, newest)

    @staticmethod
    async def _show(show: Show, status: Status) -> None:
        try:
            result = show(status)
            if result is not None:
                await result
        except (TransientError, UseCaseError) as error:
            log.warning("a part of a page was not updated", error=str(error))
        except Exception:
            # One part of a page must not end the updates of the others.
            log.exception("a part of a page cannot be updated")
