"""The pages' Python side: every address, one element, scripts under addresses that change with them."""

import re
from pathlib import Path

import httpx
import pytest
from astrolens.console import private_apis
from astrolens.console.components import shell
from astrolens.console.pages import OLD_PAGES, PAGES, mount
from astrolens.console.pages.frame import STYLES, serve_styles
from astrolens.platform.private_apis import PrivateApiMoved, check_private_apis
from fastapi import FastAPI

SCRIPTS = sorted((shell.STATIC / "js").rglob("*.js"))


def test_mount_registers_every_address() -> None:
    from nicegui import app

    mount(object())  # type: ignore[arg-type] - nothing is opened yet
    served = {getattr(route, "path", "") for route in app.routes}
    assert {page.path for page in PAGES} | set(OLD_PAGES) <= served


def test_the_scripts_address_is_stable_while_nothing_changes() -> None:
    assert shell.register_scripts() == shell.register_scripts()


async def test_nicegui_serves_the_scripts_where_pages_ask_for_them() -> None:
    from nicegui import app

    served = shell.register_scripts()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.get(f"{served}/{shell.script_names()[0]}")
    assert answer.status_code == 200
    assert answer.text == (shell.STATIC / shell.script_names()[0]).read_text()


def test_a_nicegui_that_moved_what_the_console_needs_fails_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    check_private_apis()
    with monkeypatch.context() as patch:
        patch.setattr(private_apis, "app", FastAPI())
        with pytest.raises(PrivateApiMoved, match=r"nicegui \d.*does not serve /_nicegui/"):
            shell.register_scripts()
    with monkeypatch.context() as patch:
        patch.setattr(private_apis, "esm_modules", {})
        with pytest.raises(PrivateApiMoved, match="does not list"):
            shell.register_scripts()
    with monkeypatch.context() as patch:
        patch.delattr("nicegui.dependencies.register_esm")
        with pytest.raises(PrivateApiMoved, match="has no register_esm any more"):
            check_private_apis()


async def test_styles_are_served_where_pages_ask_for_them_and_may_be_kept() -> None:
    from nicegui import app

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for name in STYLES:
            answer = await client.get(f"{serve_styles()}/{name}")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000"


def test_every_import_leads_to_a_script() -> None:
    for script in SCRIPTS:
        for name in re.findall(r'from "astrolens/(js/[\w/]+\.js)"', script.read_text()):
            assert (shell.STATIC / name).is_file(), f"{script.name} imports {name}"


def test_no_script_makes_markup_of_text() -> None:
    dangerous = re.compile(r"v-html|innerHTML|insertAdjacentHTML|outerHTML|document\.write|\beval\(|new Function")
    for script in SCRIPTS:
        assert not dangerous.search(script.read_text()), script.name


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in (*SCRIPTS, *shell.STATIC.glob("*.css")):
        if path.name == "sky.js":
            continue  # links to the archives, which are followed, never loaded
        found = re.findall(r"https?://[^\s\"'`)]+", path.read_text())
        assert all(url.startswith("http://www.w3.org/") for url in found), (path.name, found)


def test_scripts_stay_small() -> None:
    for path in (*SCRIPTS, *Path(shell.__file__).parent.glob("*.py")):
        assert len(path.read_text().splitlines()) < 400, path.name
