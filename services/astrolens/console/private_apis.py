"""The private APIs of NiceGUI that the console needs; see `platform/private_apis.py`.

An element's documented argument `esm=` gives a folder an address that stays the same when a file in it changes, and no
way to learn the address. Here the address changes with the newest file, so that browsers may cache scripts for ever,
and pages ask for all of them at once.
"""

from pathlib import Path

from nicegui import __version__ as _version
from nicegui import app

from astrolens.platform.private_apis import PrivateApi, PrivateApiMoved, declare_private_apis, private_imports

with private_imports("nicegui"):
    from nicegui.dependencies import esm_modules, register_esm

declare_private_apis(
    PrivateApi(
        package="nicegui",
        module="nicegui.dependencies",
        name="register_esm",
        reason="scripts that several pages share, below an address that changes with their content",
        parameters=("name", "path", "max_time"),
    ),
    PrivateApi(
        package="nicegui",
        module="nicegui.dependencies",
        name="esm_modules",
        reason="that address is found nowhere else",
        attributes=("items",),
    ),
)


def serve_modules(name: str, folder: Path, *, modified_at: float) -> str:
    """Make the scripts of a folder importable in browsers as `<name>/<file>`.

    Args:
        name: First part of what scripts import.
        folder: Where they are.
        modified_at: When the newest file changed; the address depends on it.

    Returns:
        The path below which they are served.

    Raises:
        PrivateApiMoved: NiceGUI does not register or serve them any more as it did.
    """
    register_esm(name, folder, max_time=modified_at)
    key = next((key for key, module in esm_modules.items() if module.name == name), None)
    if key is None:
        raise PrivateApiMoved("nicegui", "nicegui.dependencies.esm_modules does not list what was registered")
    served = f"/_nicegui/{_version}/esm"
    if not any(getattr(route, "path", "") == f"{served}/{{key}}/{{path:path}}" for route in app.routes):
        raise PrivateApiMoved("nicegui", f"it does not serve {served}/<key>/<path> any more")
    return f"{served}/{key}"
