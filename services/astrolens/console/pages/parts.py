"""The small pieces that pages are made of. Elements cost some 5 kB of memory each and window: a table is one."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Final

from nicegui import ui
from nicegui.element import Element

from astrolens.console.format import count
from astrolens.console.pages.window import Window

Handler = Callable[[], Awaitable[None] | None]

_CUT: Final = 16

ARROW_DOWN: Final = "M7 10l5 5 5-5z"
"""An icon as Quasar takes it: a path of SVG. One by name would load a font of 128 kB."""


def tagged(tag: str, content: str, classes: str = "") -> ui.label:
    """Text in an HTML element."""
    label = ui.label(content).classes(classes)
    label.tag = tag
    return label


def heading(level: int, title: str) -> ui.label:
    """A heading."""
    return tagged(f"h{level}", title)


def paragraph(content: str, classes: str = "muted") -> ui.label:
    """A paragraph of text."""
    return tagged("p", content, classes)


def prose(content: str) -> ui.html:
    """A paragraph of text, where `commands` stand between backquotes."""
    return ui.html(_marked(content), sanitize=False, tag="p").classes("muted")


def _marked(content: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(content))


def marked_keys(content: str) -> str:
    """Text as HTML, where `keys` stand between backquotes: those that the browser's person chose for them."""
    return re.sub(r"`([^`]+)`", r'<key-cap k="\1">\1</key-cap>', escape(content))


def add_key_hint(element: Element, title: str, key: str, *, hidden: bool = True) -> None:
    """Say on hover what an element does and by which key; `hidden` does not show the key itself.

    A person may have chosen another key: then that one is said. `data-key` stays what it is, for `Shortcut.target`.
    """
    element.props["data-title"], element.props["data-key"] = title, key
    with element:
        cap = ui.element("key-cap").props('aria-hidden="true"')
    cap.props["k"] = key
    if hidden:
        cap.classes("hidden")


def hint(element: Element, content: str) -> None:
    """Say something of an element on hover."""
    # A property that is set is sent, changed or not.
    if element.props.get("title") != content:
        element.props["title"] = content


@contextmanager
def panel(title: str, *, total: int | None = None) -> Iterator[Element]:
    """A box with a heading; yields the line of the heading, for a select or a button beside it.

    Args:
        title: The heading.
        total: How many there are of what it lists, where that is known.
    """
    with ui.element("section").classes("panel") as section:
        section.props["aria-label"] = title
        with ui.element("div").classes("section-head") as head:
            heading(2, title)
            if total is not None:
                ui.label(count(total)).classes("muted num")
        yield head


def fact_list(facts: Mapping[str, str]) -> None:
    """Names with values, where `commands` stand between backquotes; one element."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{_marked(value)}</dd>" for name, value in facts.items())
    ui.html(rows, sanitize=False, tag="dl").classes("facts wide")


def copyable(name: str, value: str) -> None:
    """A long value, cut where it is shown, with a button that copies it; for a list of facts."""
    tagged("dt", name)
    with ui.element("dd").classes("mono"):
        hint(tagged("span", value if len(value) <= _CUT else f"{value[:_CUT]}…"), value)
        copy = button("copy", tiny=True)
        copy.props["data-copy"], copy.props["aria-label"] = value, f"copy the {name.lower()}"


def empty_state(title: str, content: str, *, is_error: bool = False) -> None:
    """Why there is nothing, and what to do."""
    box = ui.element("div").classes("empty error" if is_error else "empty")
    with box.props('role="alert"' if is_error else 'role="status"'):
        heading(2, title)
        prose(content).classes("empty-body")


def button(
    label: str, press: Handler | None = None, *, primary: bool = False, tiny: bool = False, key: str = ""
) -> ui.label:
    """A button; `key` is shown beside its label, and bound by `Visit.keys`."""
    element = tagged("button", label, "btn primary" if primary else "btn tiny" if tiny else "btn")
    element.props('type="button"')
    if press is not None:
        element.on("click", press, [])
    if key:
        add_key_hint(element, label, key, hidden=False)
    return element


def select(
    window: Window, label: str, options: Mapping[str, str], value: str, changed: Callable[[str], None]
) -> ui.select:
    """A choice that is a part of the address; it keeps the focus when the page is built for the next address.

    Args:
        window: The window.
        label: Its label.
        options: Labels by value; a value that is none of them is shown as it is.
        value: What the address says.
        changed: Gets the new value.
    """
    known = dict(options) if value in options else {**options, value: value}

    def on_change(value: str) -> None:
        window.focused = label
        changed(value)

    found = ui.select(known, label=label, value=value, on_change=lambda event: on_change(event.value))
    found.props("dense outlined options-dense hide-bottom-space")
    found.props["dropdown-icon"] = ARROW_DOWN
    if window.focused == label:
        window.focused = ""
        found.run_method("focus")
    return found
