"""What a page is, and what it is given when somebody opens it.

A page is an async function that adds NiceGUI elements. It is called again whenever its address changes, so that what
it shows follows from the address: filters, the tab, what is opened. docs/console.md shows a whole one.
"""

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import structlog
from nicegui import ui

from astrolens.console.components.keys import Keys, Press, Shortcut
from astrolens.console.context import AppContext
from astrolens.console.pages.parts import button, marked_keys
from astrolens.console.pages.window import HINTS_COOKIE, SIMULATED_COOKIE, LoggedOut, Window
from astrolens.platform.errors import TransientError
from astrolens.usecases.errors import UseCaseError
from astrolens.usecases.status import Status

log = structlog.get_logger(__name__)


Bound = tuple[tuple[str, ...] | str, str, Press]
"""A key or several, what they do in words, and the handler."""


HINTS: Final = frozenset({"tonight", "gallery", "triage"})
"""Pages with a hint for a first visit."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the console.

    Args:
        path: Its address; `{name}` stands for one part, which is found in `Visit.parameters`.
        title: In the navigation, the window's title, and the overlay of keys.
        build: Adds its elements.
        key: Goes there from everywhere; pages with a key are in the navigation.
        query: Names that its address may have after `?`; whoever opens it with another is told so.
    """

    path: str
    title: str
    build: "Callable[[Visit], Awaitable[None]]"
    key: str = ""
    query: tuple[str, ...] = ()


def address(path: str, **query: object) -> str:
    """An address of the console; empty values are left out, so that equal views have equal addresses."""
    given = {name: str(value) for name, value in query.items() if value not in {None, ""}}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


class Visit:
    """One opening of a page by one window.

    Attributes:
        context: The console's use cases: call them directly.
        query: What the address says after `?`.
        parameters: The parts of the path that the page's `{name}` stand for.
    """

    def __init__(
        self, window: Window, path: str, *, query: Mapping[str, str], parameters: Mapping[str, str] | None = None
    ) -> None:
        self.context: AppContext = window.context
        self.window = window
        self.path = path
        self.query = dict(query)
        self.parameters = dict(parameters or {})

    def address(self, **changes: object) -> str:
        """This page's address with some query values changed; None or "" leaves one out."""
        return address(self.path, **(self.query | changes))

    def go(self, to: str = "", **changes: object) -> None:
        """Open another address, or this page's with changed query values: a new step in the browser's history."""
        # The dialog that a handler was called from may be gone by now.
        with self.window.client:
            ui.navigate.to(to or self.address(**changes))

    def rebuild(self) -> None:
        """Build this page anew for the same address."""
        self.window.rebuild()

    @property
    def simulated(self) -> bool:
        """Whether simulated images are asked for: by the address, else by the one switch for all pages."""
        return self.query["simulated"] in {"true", "any"} if "simulated" in self.query else self.window.simulated

    def show_simulated(self, on: bool) -> None:
        """Turn the switch, for all pages of this browser, and build this page anew."""
        self.window.simulated = on
        self.window.remember(SIMULATED_COOKIE, str(int(on)))
        self.go(simulated="") if "simulated" in self.query else self.rebuild()

    def hint(self, name: Literal["tonight", "gallery", "triage"], text: str) -> None:
        """Show one quiet line for a first visit until it is dismissed; three pages have one, no more."""
        if name in self.window.hints_read:
            return

        def dismiss() -> None:
            self.window.hints_read.add(name)
            self.window.remember(HINTS_COOKIE, ".".join(sorted(self.window.hints_read & HINTS)))
            line.delete()

        with ui.element("p").classes("muted hint") as line:
            ui.html(marked_keys(text), sanitize=False, tag="span")
            button("Got it", dismiss, tiny=True)

    async def status(self) -> Status:
        """The books and the state of everything."""
        return await self.context.stream.current()

    def on_status(self, show: Callable[[Status], Awaitable[None] | None]) -> None:
        """Call `show` after every change of the status, at most twice a second, while this page is open."""
        self.window.status_feed.subscribe(show)

    def refresh(
        self, read: Callable[[], Awaitable[None]], *, every_s: float, of: Callable[[Status], object] | None = None
    ) -> None:
        """Read and show something again as the status changes, while this page is open.

        Args:
            read: Reads and shows it; the page has done so once.
            every_s: Shortest time between two calls, seconds.
            of: What of the status must have changed since the last call; by default anything.
        """
        read_at, before = time.monotonic(), None

        async def on_status(status: Status) -> None:
            nonlocal read_at, before
            now = of(status) if of else None
            if time.monotonic() - read_at < every_s or (of is not None and now == before):
                return
            read_at, before = time.monotonic(), now
            await read()

        self.on_status(on_status)

    def keys(self, *shortcuts: Shortcut, title: str) -> None:
        """Bind keys while this page is open."""
        Keys(title, shortcuts)

    def notify(self, text: str, *, is_error: bool = False) -> None:
        """A sentence below the header for a few seconds."""
        notify(self.window, text, is_error=is_error)

    def handler(self, work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """A handler for events of elements that reads or changes something: `work(user, …)` with who is logged in.

        The browser's events come through NiceGUI's socket, past the checks of REST calls: the session is checked here,
        at every event. What a use case refuses is told as a sentence.

        Args:
            work: Gets the user's name, and the event's arguments where it takes some.
        """
        return guarded(self.window, work)


def guarded(window: Window, work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """A handler for whoever is logged in in this window; see `Visit.handler`."""

    async def guard(*event: Any) -> None:
        try:
            await work(await window.user(), *event)
        except LoggedOut:
            window.open_login()
        except UseCaseError as refusal:
            notify(window, f"{refusal.detail.rstrip('.')}.", is_error=True)
        except TransientError as error:
            log.warning("a handler failed for now", path=window.path, error=str(error))
            notify(window, f"That did not work: {error}. Try again shortly.", is_error=True)

    async def with_event(event: Any) -> None:
        await guard(event)

    async def without_event() -> None:
        await guard()

    # NiceGUI looks at a handler's parameters before it calls it.
    return with_event if len(inspect.signature(work).parameters) > 1 else without_event


def notify(window: Window, text: str, *, is_error: bool = False) -> None:
    """A sentence below the header for a few seconds: buttons are at the foot.

    Args:
        window: Where it is shown, though the element whose event led to it may be gone by now.
        text: The sentence.
        is_error: Whether something went wrong.
    """
    classes = "notice error" if is_error else "notice"
    with window.client:
        ui.notify(text, position="top", classes=classes, timeout=6000 if is_error else 3000)


def shortcuts(*bound: Bound) -> tuple[Shortcut, ...]:
    """Shortcuts from (keys, label, handler)."""
    return tuple(Shortcut((keys,) if isinstance(keys, str) else keys, label, press) for keys, label, press in bound)
