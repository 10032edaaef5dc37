"""A key means one thing on every page."""

import ast
import re
from collections.abc import Iterator

import pytest
from astrolens.console.components import key_meanings
from astrolens.console.components.key_meanings import MEANINGS, require_meaning
from astrolens.console.components.keys import Shortcut

from tests.unit.console.test_console_pages_mount import PAGE_FILES, SCRIPTS

BOUND = re.compile(r'\["([^"]+)", "([A-Z][^"]+)", (?!")')
"""A binding of a script: keys, label, what it does."""


def bound_by_scripts() -> list[tuple[str, str, str]]:
    """File, key and label of what Vue components bind."""
    return [
        (path.name, key, label)
        for path in SCRIPTS
        for keys, label in BOUND.findall(path.read_text())
        for key in keys.split()
    ]


def bound_by_pages() -> Iterator[tuple[str, str, str]]:
    """File, key and label of what pages bind: `Shortcut(("a",), "Label", …)` and `("a", "Label", handler)`."""
    for path in PAGE_FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            is_shortcut = isinstance(node, ast.Call) and ast.unparse(node.func) == "Shortcut"
            given = node.args if is_shortcut else node.elts if isinstance(node, ast.Tuple) else []  # type: ignore[attr-defined]
            if len(given) < 2 or (len(given) != 3 and not is_shortcut):
                continue
            # Of an f-string what it begins with.
            words = given[1].values[0] if isinstance(given[1], ast.JoinedStr) else given[1]
            keys = [each.value for each in ast.walk(given[0]) if isinstance(each, ast.Constant)]
            if isinstance(words, ast.Constant) and all(isinstance(key, str) and key in MEANINGS for key in keys):
                yield from ((path.name, key, str(words.value)) for key in keys if str(words.value)[:1].isupper())


def test_every_key_of_scripts_and_pages_has_its_one_meaning() -> None:
    scripts, pages = bound_by_scripts(), list(bound_by_pages())
    for name, key, label in (*scripts, *pages):
        assert label.startswith(MEANINGS[key]), f"{name}: {key!r} is “{MEANINGS[key]}”, not “{label}”"
    # Both were found at all; a meaning that nothing has is dropped from the table.
    assert {"image_grid.js", "triage_deck.js", "astrolens-view.js"} <= {name for name, _, _ in scripts}
    assert {"image.py", "gallery.py", "system.py"} <= {name for name, _, _ in pages}
    answers = {"1", "2", "3"}
    assert MEANINGS.keys() - {key for _, key, _ in (*scripts, *pages)} == answers


def test_a_clash_cannot_be_bound() -> None:
    with pytest.raises(ValueError, match="the key 'm' means “Show this list on maps” everywhere"):
        Shortcut(("m",), "Compare with the most similar")
    Shortcut(("j", "ArrowRight"), "Next letter")


def test_a_key_of_a_page_of_ones_own_belongs_to_its_first_label(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_meanings, "_of_pages", {})
    require_meaning(["y"], "Yield")
    require_meaning(["y"], "Yield")
    with pytest.raises(ValueError, match="means “Yield” everywhere, and not “Years”"):
        require_meaning(["y"], "Years")
