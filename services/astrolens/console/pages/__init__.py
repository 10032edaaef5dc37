"""The console's pages, mounted on NiceGUI; docs/console.md says how to add one."""

from typing import Any, Final

from nicegui import ui

from astrolens.console.context import AppContext
from astrolens.console.pages import compare, discoveries, gallery, image, maps, model, system, tonight, triage, upload
from astrolens.console.pages.frame import Frame, serve_styles
from astrolens.console.pages.login import mount_login
from astrolens.console.pages.page import Page

PAGES: Final[tuple[Page, ...]] = (
    tonight.PAGE,
    gallery.PAGE,
    triage.PAGE,
    image.PAGE,
    compare.PAGE,
    maps.PAGE,
    discoveries.PAGE,
    model.PAGE,
    system.PAGE,
    upload.PAGE,
)
"""Every page but the log-in, in the order of the navigation."""

FAVICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="5" fill="#0b1016"/>'
    '<circle cx="12" cy="12" r="8.5" fill="none" stroke="#6cb6ff" stroke-width="1.6"/>'
    '<path d="M12 5.5 13.4 10.6 18.5 12 13.4 13.4 12 18.5 10.6 13.4 5.5 12 10.6 10.6Z" fill="#6cb6ff"/></svg>'
)

RECONNECT_S: Final = 10.0
"""A laptop that changes its network is back within this time and keeps its page."""

RUN_OPTIONS: Final[dict[str, Any]] = {
    "title": "AstroLens",
    "favicon": FAVICON,
    "dark": True,
    "language": "en-US",
    # Nothing here uses its classes, and its compiler would cost every page 260 kB and tens of milliseconds.
    "tailwind": False,
    # `compression` does it, with Brotli and once a file.
    "gzip_middleware_factory": None,
    "cache_control_directives": "public, max-age=31536000, immutable",
    # Pages have no bindings that are polled.
    "binding_refresh_interval": None,
    "reconnect_timeout": RECONNECT_S,
    "show_welcome_message": False,
}


def mount(context: AppContext, pages: tuple[Page, ...] = PAGES) -> dict[str, Any]:
    """Register pages.

    Args:
        context: The console's use cases.
        pages: Every page but the log-in, in the order of the navigation.

    Returns:
        What `ui.run_with` needs for them.
    """

    async def frame() -> None:
        await Frame(context, pages).show()

    serve_styles()
    for page in pages:
        ui.page(page.path, title=f"{page.title} · AstroLens", favicon=FAVICON)(frame)
    mount_login(context, FAVICON)
    # An address that is none is answered by the frame too, which says so.
    return RUN_OPTIONS | {"root": frame}
