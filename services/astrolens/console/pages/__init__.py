"""The console's pages, mounted on NiceGUI.

Every address serves the same element: the browser shows what the address names and fetches it from `/api`, so a page
costs the server one small document, whatever it shows and however large the archive is.
"""

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import ui
from nicegui.elements import echart  # noqa: F401 - importing it registers ECharts for the charts' lazy import

from astrolens.console.components.shell import Shell, register_scripts, script_names

PAGES = {
    "/": "Tonight",
    "/gallery": "Gallery",
    "/triage": "Triage",
    "/image/{image_id}": "Image",
    "/compare": "Compare",
    "/model": "Model",
    "/system": "System",
    "/login": "Log in",
}
"""Every address and its title."""

STYLES = ("console.css", "pages.css")

FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="5" fill="#0b1016"/>'
    '<circle cx="12" cy="12" r="8.5" fill="none" stroke="#6cb6ff" stroke-width="1.6"/>'
    '<path d="M12 5.5 13.4 10.6 18.5 12 13.4 13.4 12 18.5 10.6 13.4 5.5 12 10.6 10.6Z" fill="#6cb6ff"/></svg>'
)

RECONNECT_S = 10.0
"""A laptop that changes its network is back within this time and keeps its page."""


_scripts = cache(register_scripts)
"""Once a process: a request does not read files, which may be in the midst of an update."""


def _page_not_found(request: Request) -> None:
    ui.status_code(404)
    _page(_scripts())(request)


RUN_OPTIONS: dict[str, Any] = {
    "root": _page_not_found,
    "title": "AstroLens",
    "favicon": FAVICON,
    "dark": True,
    "language": "en-US",
    # Nothing here uses its classes, and its compiler would cost every page 260 kB and tens of milliseconds.
    "tailwind": False,
    # Pages have no server-side bindings.
    "binding_refresh_interval": None,
    "reconnect_timeout": RECONNECT_S,
    "show_welcome_message": False,
}
"""What `ui.run_with` needs for these pages."""


def mount(context: object) -> None:
    """Register every page.

    Args:
        context: The console's collaborators. Pages need none of them: they live on the API.
    """
    del context
    scripts = _scripts()
    for path, title in PAGES.items():
        ui.page(path, title=f"{title} · AstroLens", favicon=FAVICON)(_page(scripts))


def _page(scripts: str) -> Callable[..., None]:
    def page(request: Request) -> None:
        # A client chooses this header: it goes into the document, so nothing may break out of an attribute.
        base = quote(request.headers.get("x-forwarded-prefix", ""), safe="/").rstrip("/")
        ui.add_head_html(_head(base + scripts))
        Shell(base=base)

    return page


def _head(scripts: str) -> str:
    """Styles, and hints that fetch all scripts at once instead of one after the other finds it."""
    links = [f'<link rel="stylesheet" href="{scripts}/{style}">' for style in STYLES]
    links += [f'<link rel="modulepreload" href="{scripts}/{name}">' for name in script_names()]
    return "\n".join([*links, '<meta name="theme-color" content="#0b1016">'])
