"""The private APIs of NiceGUI that the console needs; see `platform/private_apis.py`."""

from astrolens.platform.private_apis import PrivateApi, declare_private_apis, private_imports

with private_imports("nicegui"):
    from nicegui.dependencies import esm_modules, register_esm

__all__ = ["esm_modules", "register_esm"]

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
