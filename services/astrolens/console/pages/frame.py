"""The frame of every page: header, navigation, keys, and the place where NiceGUI shows the page of the address.

`ui.sub_pages` changes pages over the socket, without loading the document again. The first page is built before the
document is sent, so that it comes with its content.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

import structlog
from nicegui import PageArguments, __version__, app, ui

from astrolens.console.components.images import Answers
from astrolens.console.components.keys import Keys, KeyTable, Shortcut
from astrolens.console.context import AppContext
from astrolens.console.pages.address_query import read_query
from astrolens.console.pages.page import Page, Visit, address
from astrolens.console.pages.parts import add_key_hint, button, empty_state, heading, tagged
from astrolens.console.pages.search import SearchBox
from astrolens.console.pages.window import LoggedOut, Window
from astrolens.console.security import identity_of
from astrolens.platform.errors import TransientError
from astrolens.usecases.errors import NotFound, UseCaseError

log = structlog.get_logger(__name__)

STATIC: Final = Path(__file__).resolve().parents[1] / "static"

STYLES: Final = ("console.css", "pages.css")

BUILD_TIMEOUT_S: Final = 2.5
"""Longest wait for the first page's content; what comes later comes through the socket. NiceGUI gives up at 3 s."""

RETRY_INTERVAL_S: Final = 3.0
"""When a page that could not be read is read again."""

_YEAR_S: Final = 365 * 24 * 3600

PRELOAD: Final = """<script>{
  const { imports } = JSON.parse(document.querySelector("script[type=importmap]").textContent);
  for (const name of Object.keys(imports).filter((each) => each.startsWith("astrolens-")))
    document.head.append(Object.assign(document.createElement("link"), { rel: "modulepreload", href: imports[name] }));
}</script>"""
"""Fetches the components' shared scripts at once: each imports others, which would be found one round trip later."""

LARGEST_FILE: Final = f"/_nicegui/{__version__}/static/quasar.umd.prod.js"
"""NiceGUI's largest file by far. The document names it last, and browsers begin with it when the line has been idle for
half a second of a slow first visit; a test fails where a newer NiceGUI serves it elsewhere."""

LOGO: Final = (
    '<svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="12" cy="12" r="8.5" fill="none" stroke="currentColor" '
    'stroke-width="1.6"/><path d="M12 5.5 13.4 10.6 18.5 12 13.4 13.4 12 18.5 10.6 13.4 5.5 12 10.6 10.6Z" '
    'fill="currentColor"/></svg>'
)


@cache
def serve_styles() -> str:
    """Serve the styles below an address that changes with them, so that browsers may keep them; return the address.

    Once a process: a request reads no files, which may be in the midst of an update.
    """
    digest = hashlib.sha256(b"".join((STATIC / name).read_bytes() for name in STYLES)).hexdigest()[:16]
    served = f"/static/{digest}"
    app.add_static_files(served, STATIC, max_cache_age=_YEAR_S)
    return served


def add_head(base: str) -> None:
    """Styles of a document, and what is loaded before its turn.

    Args:
        base: Prefix that a proxy puts before every path.
    """
    links = [f'<link rel="stylesheet" href="{base}{serve_styles()}/{name}">' for name in STYLES]
    links.insert(0, f'<link rel="preload" as="script" href="{base}{LARGEST_FILE}">')
    ui.add_head_html("\n".join([*links, PRELOAD, '<meta name="theme-color" content="#0b1016">']))


def mark_when_ready() -> None:
    """Mark the document once its handlers are heard."""
    ui.context.client.on_connect(lambda: ui.run_javascript("document.documentElement.classList.add('al-ready')"))


class Frame:
    """The frame of one window.

    Args:
        context: The console's use cases.
        pages: All pages, in the order of the navigation.
    """

    def __init__(self, context: AppContext, pages: Sequence[Page]) -> None:
        self._pages = (*pages, _MISSING)
        self._navigation = [page for page in pages if page.key]
        self.window = Window(context, ui.context.client)
        self._links: dict[str, ui.link] = {}
        self._built = asyncio.Event()

    async def show(self) -> None:
        """Build the frame with the page of the address; returns when that is complete, or after `BUILD_TIMEOUT_S`."""
        add_head(self.window.base)
        mark_when_ready()
        with ui.header(wrap=False).classes("al top"):
            self._header()
        with ui.element("div").classes("al page") as main:
            main.props('id="main" tabindex="-1"')
            routes: dict[str, Callable[..., Awaitable[None]]] = {
                page.path: partial(self._open, page) for page in self._pages
            }
            ui.sub_pages(routes, show_404=False)
        ui.skip_link("Skip to the content", target=main)
        try:
            async with asyncio.timeout(BUILD_TIMEOUT_S):
                await self._built.wait()
        except TimeoutError:
            log.warning("a page is slow", path=self.window.path, after_s=BUILD_TIMEOUT_S)
        self.window.is_sent = True

    def _header(self) -> None:
        with ui.link(target="/").classes("brand").props('aria-label="AstroLens, tonight"'):
            ui.html(LOGO + "<span>AstroLens</span>", sanitize=False, tag="span")
        with ui.element("nav").props('aria-label="Pages"'):
            for page in self._navigation:
                link = ui.link(page.title, page.path)
                add_key_hint(link, page.title, page.key)
                self._links[page.path] = link
        SearchBox(self.window)
        with ui.element("div").classes("top-state"):
            ui.element("span").classes("pulse").props('role="img" aria-label="Live updates" title="Live updates"')
            self._follow_answers()
            identity = identity_of(self.window.client.request.scope.get("state", {}))
            if identity is not None and identity.how == "session":
                button("Log out", self.window.log_out, tiny=True)
            add_key_hint(button("?", self._show_keys, tiny=True).props('aria-label="Keys"'), "Keys", "?")
        Keys(
            "Everywhere",
            [
                Shortcut(("?",), "Show these keys", self._show_keys),
                Shortcut(("/",), "Search: id, name or position", target=".search input"),
                *(
                    Shortcut((page.key,), f"Go to {page.title}", target=f'nav [data-key="{page.key}"]')
                    for page in self._navigation
                ),
            ],
        )

    def _follow_answers(self) -> None:
        """How many answers are on their way, and what others answer."""
        identity = identity_of(self.window.client.request.scope.get("state", {}))
        answers = Answers(identity.user if identity else "", instance=self.window.context.instance)
        self.window.client.on_delete(self.window.context.answers.subscribe(answers.show_recorded))

    async def _open(self, page: Page, arguments: PageArguments) -> None:
        """Build a page for an address, which the browser may have changed by a link, by back or by forward."""
        window = self.window
        query, faults = read_query(page, arguments.query_parameters)
        window.path = address(arguments.path, **arguments.query_parameters)
        window.status_feed.forget_page()
        window.rebuild = arguments.frame.refresh
        self._mark(page)
        try:
            await window.user()
            if faults and page is not _MISSING:
                self._tell_faults(faults, address(arguments.path, **query))
            visit = Visit(window, arguments.path, query=query, parameters=arguments.path_parameters)
            await (_no_such_page if arguments.remaining_path else page.build)(visit)
        except LoggedOut:
            window.open_login()
        except NoSuchPage:
            text = f"The address {window.path[:200]} names none. `Tonight` is the first page."
            self._show_problem(arguments, 404, "There is no page here", text)
        except NotFound as error:
            self._show_problem(arguments, 404, error.title, f"{error.detail}.")
        except UseCaseError as error:
            self._show_problem(arguments, 422, error.title, f"{error.detail.rstrip('.')}.")
        except TransientError as error:
            log.warning("a page cannot be read now", path=window.path, error=str(error))
            self._show_problem(arguments, 503, "This page cannot be read now", f"{error}. It is tried again by itself.")
            ui.timer(RETRY_INTERVAL_S, arguments.frame.refresh, once=True)
        except Exception:
            log.exception("a page cannot be built", path=window.path)
            text = "The fault is in the console itself: its log says more; please report it."
            self._show_problem(arguments, 500, "This page cannot be shown", text)
        finally:
            self._built.set()

    @staticmethod
    def _tell_faults(faults: Sequence[str], without: str) -> None:
        """Say above a page what of its address it cannot use."""
        with ui.element("p").classes("banner").props('role="alert"'):
            tagged("span", " ".join(faults))
            ui.link("The address without it", without).classes("btn tiny q-ml-sm")

    def _mark(self, page: Page) -> None:
        """Say in the header and the window's title which page is open."""
        ui.page_title(f"{page.title} · AstroLens")
        for path, link in self._links.items():
            link.props(add='aria-current="page"') if path == page.path else link.props(remove="aria-current")

    def _show_problem(self, arguments: PageArguments, status: int, title: str, text: str) -> None:
        if not self._built.is_set():
            ui.status_code(status)
        arguments.frame.clear()
        with arguments.frame:
            ui.element("h1").classes("visually-hidden").props(f'aria-label="{status}"')
            empty_state(title, text, is_error=True)
            with ui.element("p").classes("choices"):
                if arguments.query_parameters:
                    ui.link("This page without its conditions", arguments.path).classes("btn")
                ui.link("Tonight", "/").classes("btn")

    def _show_keys(self) -> None:
        """The overlay of all keys."""
        with ui.dialog(value=True).props('aria-label="Keys"') as dialog, ui.card().classes("al dialog wide"):
            dialog.on("hide", dialog.delete)
            with ui.element("div").classes("row items-center justify-between"):
                heading(2, "Keys")
                button("Esc", dialog.close, tiny=True).props('aria-label="Esc: close"')
            KeyTable()


class NoSuchPage(Exception):
    """The address names no page."""


async def _no_such_page(_: Visit) -> None:
    raise NoSuchPage


_MISSING: Final = Page(path="/{missing}", title="Not found", build=_no_such_page)
"""Whatever no other page's path matches."""
