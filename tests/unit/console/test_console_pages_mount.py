"""The Python side of pages: every address, styles under addresses that change with them, scripts that stay harmless."""

import re
from pathlib import Path

import httpx
from astrolens.console import components, pages
from astrolens.console.pages import PAGES, mount
from astrolens.console.pages.frame import LARGEST_FILE, STATIC, STYLES, serve_styles

COMPONENTS = Path(components.__file__).parent
PAGE_FILES = sorted(Path(pages.__file__).parent.glob("*.py"))
SCRIPTS = sorted(COMPONENTS.rglob("*.js"))


def test_mount_registers_every_address() -> None:
    from nicegui import app

    mount(object())  # type: ignore[arg-type] - nothing is opened yet
    served = {getattr(route, "path", "") for route in app.routes}
    assert {*(page.path for page in PAGES), "/login"} <= served


async def test_styles_are_served_where_pages_ask_for_them_and_may_be_kept() -> None:
    from nicegui import app

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        for name in STYLES:
            answer = await client.get(f"{serve_styles()}/{name}")
            assert answer.status_code == 200
            assert answer.headers["cache-control"] == "public, max-age=31536000"


async def test_what_is_loaded_before_its_turn_is_where_nicegui_serves_it() -> None:
    from nicegui import app

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.get(LARGEST_FILE)).status_code == 200


def test_every_import_leads_to_a_script() -> None:
    names = {path.stem for path in SCRIPTS}
    for script in SCRIPTS:
        for name in re.findall(r'from "(?:\./)?(astrolens-[\w-]+)(?:\.js)?"', script.read_text()):
            assert name in names, f"{script.name} imports {name}"


def test_no_script_makes_markup_of_text() -> None:
    dangerous = re.compile(r"v-html|innerHTML|insertAdjacentHTML|outerHTML|document\.write|\beval\(|new Function")
    for script in SCRIPTS:
        assert not dangerous.search(script.read_text()), script.name


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in (*SCRIPTS, *STATIC.glob("*.css")):
        found = re.findall(r"https?://[^\s\"'`)]+", path.read_text())
        assert all(url.startswith("http://www.w3.org/") for url in found), (path.name, found)


def test_no_private_api_of_nicegui_is_used() -> None:
    """Names that begin with an underscore, and the modules that NiceGUI does not document, are no part of its API."""
    private = re.compile(
        r"from nicegui\.(?!element\b|events\b|elements\b)|nicegui\.\w+\._|client\._|\.outbox\b|router\._"
    )
    for path in (*COMPONENTS.glob("*.py"), *PAGE_FILES):
        assert not private.search(path.read_text()), path.name


def test_scripts_stay_small() -> None:
    for path in (*SCRIPTS, *COMPONENTS.glob("*.py")):
        assert len(path.read_text().splitlines()) < 400, path.name
