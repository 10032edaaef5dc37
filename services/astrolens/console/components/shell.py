"""The one element of every page: a Vue application fed by the JSON API, so that a client costs the server nothing."""

from pathlib import Path

from nicegui.element import Element

from astrolens.console.private_apis import serve_modules

STATIC = Path(__file__).resolve().parents[1] / "static"
"""Scripts and styles, served below NiceGUI's immutable addresses."""

_MODULE = "astrolens"
"""Scripts import each other as `astrolens/js/<file>`."""


class Shell(Element, component="console.js"):
    """Header, search, keys, and the page that the address names."""

    def __init__(self, *, base: str, elsewhere: list[str]) -> None:
        """Build the element.

        Args:
            base: Prefix that a proxy puts before every path, without a slash at its end.
            elsewhere: Paths that this application leaves to documents of their own.
        """
        super().__init__()
        self.props["base"] = base
        self.props["elsewhere"] = elsewhere


def register_scripts() -> str:
    """Make the scripts importable in the browser.

    Returns:
        The path below which they are served; it changes with every change of a file, so that it may be cached for ever.
    """
    newest = max(path.stat().st_mtime for path in STATIC.rglob("*") if path.is_file())
    return serve_modules(_MODULE, STATIC, modified_at=newest)


def script_names() -> list[str]:
    """Every script, relative to the served path, so that a page can ask for all of them at once."""
    return sorted(path.relative_to(STATIC).as_posix() for path in (STATIC / "js").glob("*.js"))
