"""The pages' Python side: every address, one element, scripts under addresses that change with them."""

import re
from pathlib import Path

from astrolens.console.components import shell
from astrolens.console.pages import PAGES, _head, mount

SCRIPTS = sorted((shell.STATIC / "js").rglob("*.js"))


def test_mount_registers_every_address() -> None:
    from nicegui import app

    mount(object())
    served = {getattr(route, "path", "") for route in app.routes}
    assert set(PAGES) <= served


def test_the_scripts_address_is_stable_while_nothing_changes() -> None:
    assert shell.register_scripts() == shell.register_scripts()


def test_a_page_asks_for_all_scripts_at_once() -> None:
    head = _head("/served")
    for name in shell.script_names():
        assert f'href="/served/{name}"' in head
    assert 'rel="stylesheet" href="/served/console.css"' in head


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
