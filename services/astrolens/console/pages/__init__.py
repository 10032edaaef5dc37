"""The console's pages, mounted on NiceGUI; docs/console.md says how to add one."""

from functools import cache
from typing import Any, Final
from urllib.parse import quote

from fastapi import Request
from nicegui import ui
from nicegui.elements import echart  # noqa: F401 - importing it registers ECharts for the charts' lazy import

from astrolens.console.components.shell import Shell, register_scripts, script_names
from astrolens.console.context import AppContext
from astrolens.console.pages import compare, gallery, image, system, triage
from astrolens.console.pages.frame import Frame, serve_styles
from astrolens.console.pages.page import Page

PAGES: Final[tuple[Page, ...]] = (gallery.PAGE, triage.PAGE, image.PAGE, compare.PAGE, system.PAGE)
"""Every page, in the order of the navigation."""

OLD_PAGES: Final = {
    "/": ("Tonight", "Shift+T"),
    "/model": ("Model", "Shift+M"),
    "/login": ("Log in", ""),
}
"""Addresses, titles and keys of what the Vue application of `static/js` shows still."""

FAVICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="5" fill="#0b1016"/>'
    '<circle cx="12" cy="12" r="8.5" fill="none" stroke="#6cb6ff" stroke-width="1.6"/>'
    '<path d="M12 5.5 13.4 10.6 18.5 12 13.4 13.4 12 18.5 10.6 13.4 5.5 12 10.6 10.6Z" fill="#6cb6ff"/></svg>'
)

RECONNECT_S: Final = 10.0
"""A laptop that changes its network is back within this time and keeps its page."""

_scripts = cache(register_scripts)
"""Once a process: a request does not read files, which may be in the midst of an update."""


def _old_page(request: Request) -> None:
    # A client chooses this header: it goes into the document, so nothing may break out of an attribute.
    base = quote(request.headers.get("x-forwarded-prefix", ""), safe="/").rstrip("/")
    links = [f'<link rel="stylesheet" href="{base}{serve_styles()}/{style}">' for style in ("console.css", "pages.css")]
    links += [f'<link rel="modulepreload" href="{base}{_scripts()}/{name}">' for name in script_names()]
    ui.add_head_html("\n".join([*links, '<meta name="theme-color" content="#0b1016">']))
    Shell(base=base, elsewhere=[page.path for page in PAGES])


def _page_not_found(request: Request) -> None:
    ui.status_code(404)
    _old_page(request)


RUN_OPTIONS: Final[dict[str, Any]] = {
    "root": _page_not_found,
    "title": "AstroLens",
    "favicon": FAVICON,
    "dark": True,
    "language": "en-US",
    # Nothing here uses its classes, and its compiler would cost every page 260 kB and tens of milliseconds.
    "tailwind": False,
    # Pages have no bindings that are polled.
    "binding_refresh_interval": None,
    "reconnect_timeout": RECONNECT_S,
    "show_welcome_message": False,
}
"""What `ui.run_with` needs for these pages."""


def mount(context: AppContext, pages: tuple[Page, ...] = PAGES) -> None:
    """Register pages.

    Args:
        context: The console's use cases.
        pages: Every page that NiceGUI shows, in the order of the navigation.
    """
    old = tuple(Page(path=path, title=title, build=_never, key=key) for path, (title, key) in OLD_PAGES.items())

    async def frame() -> None:
        await Frame(context, pages, old).show()

    serve_styles()
    for page in pages:
        ui.page(page.path, title=f"{page.title} · AstroLens", favicon=FAVICON)(frame)
    for path, (title, _) in OLD_PAGES.items():
        ui.page(path, title=f"{title} · AstroLens", favicon=FAVICON)(_old_page)


async def _never(_: object) -> None:
    """Old pages are not built here."""
