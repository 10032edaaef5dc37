"""The one element of every page: a Vue application fed by the JSON API, so that a client costs the server nothing."""

from pathlib import Path

from nicegui.element import Element
from nicegui.version import __version__ as nicegui_version

from astrolens.console.private_apis import esm_modules, register_esm

STATIC = Path(__file__).resolve().parents[1] / "static"
"""Scripts and styles, served below NiceGUI's immutable addresses."""

_MODULE = "astrolens"
"""Scripts import each other as `astrolens/js/<file>`."""


class Shell(Element, component="console.js"):
    """Header, search, keys, and the page that the address names."""

    def __init__(self, *, base: str) -> None:
        """Build the element.

        Args:
            base: Prefix that a proxy puts before every path, without a slash at its end.
        """
        super().__init__()
        self.props["base"] = base


def register_scripts() -> str:
    """Make the scripts importable in the browser.

    Returns:
        The path below which they are served; it changes with every change of a file, so that it may be cached for ever.
    """
    newest = max(path.stat().st_mtime for path in STATIC.rglob("*") if path.is_file())
    register_esm(_MODULE, STATIC, max_time=newest)
    key = next(key for key, module in esm_modules.items() if module.name == _MODULE)
    return f"/_nicegui/{nicegui_version}/esm/{key}"


def script_names() -> list[str]:
    """Every script, relative to the served path, so that a page can ask for all of them at once."""
    return sorted(path.relative_to(STATIC).as_posix() for path in (STATIC / "js").glob("*.js"))
