"""What a page is, and what it is given when somebody opens it.

A page is an async function that adds NiceGUI elements. It is called again whenever its address changes, so that what
it shows follows from the address: filters, the tab, what is opened. docs/console.md shows a whole one.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import structlog
from nicegui import ui

from astrolens.console.components.keys import Keys, Press, Shortcut
from astrolens.console.context import AppContext
from astrolens.console.pages.window import LoggedOut, Window
from astrolens.platform.errors import TransientError
from astrolens.usecases.errors import UseCaseError
from astrolens.usecases.status import Status

log = structlog.get_logger(__name__)


Bound = tuple[tuple[str, ...] | str, str, Press]
"""A key or several, what they do in words, and the handler."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page of the console.

    Args:
        path: Its address; `{name}` stands for one part, which is found in `Visit.parameters`.
        title: In the navigation, the window's title, and the overlay of keys.
        build: Adds its elements.
        key: Goes there from everywhere; pages with a key are in the navigation.
    """

    path: str
    title: str
    build: "Callable[[Visit], Awaitable[None]]"
    key: str = ""


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
        ui.navigate.to(to or self.address(**changes))

    async def status(self) -> Status:
        """The books and the state of everything."""
        return await self.context.stream.current()

    def on_status(self, show: Callable[[Status], Awaitable[None] | None]) -> None:
        """Call `show` after every change of the status, at most twice a second, while this page is open."""
        self.window.live.subscribe(show)

    def keys(self, *shortcuts: Shortcut, title: str) -> None:
        """Bind keys while this page is open."""
        Keys(title, shortcuts)

    def notify(self, text: str, *, trouble: bool = False) -> None:
        """A sentence below the header for a few seconds."""
        notify(text, trouble=trouble)

    def handler(self, work: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """A handler for events of elements that reads or changes something: `work(user, …)` with who is logged in.

        The browser's events come through NiceGUI's socket, past the checks of REST calls: the session is checked here,
        at every event. What a use case refuses is told as a sentence.

        Args:
            work: Gets the user's name, and the event's arguments where it takes some.
        """
        wants_event = len(inspect.signature(work).parameters) > 1

        async def handle(event: Any = None) -> None:
            try:
                user = await self.window.user()
                await (work(user, event) if wants_event else work(user))
            except LoggedOut:
                self.window.open_login()
            except UseCaseError as refusal:
                self.notify(f"{refusal.detail.rstrip('.')}.", trouble=True)
            except TransientError as error:
                log.warning("a handler failed for now", path=self.path, error=str(error))
                self.notify(f"That did not work: {error}. Try again shortly.", trouble=True)

        return handle


def notify(text: str, *, trouble: bool = False) -> None:
    """A sentence below the header for a few seconds: buttons are at the foot."""
    classes = "notice trouble" if trouble else "notice"
    ui.notify(text, position="top", classes=classes, timeout=6000 if trouble else 3000)


def shortcuts(*bound: Bound) -> tuple[Shortcut, ...]:
    """Shortcuts from (keys, label, handler)."""
    return tuple(Shortcut((keys,) if isinstance(keys, str) else keys, label, press) for keys, label, press in bound)
