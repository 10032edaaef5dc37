"""The small pieces that pages are made of. Elements cost some 5 kB of memory each and window: a table is one."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from html import escape
from typing import Any, Final

from nicegui import ui
from nicegui.element import Element

from astrolens.console.pages.format import absolute, count, relative
from astrolens.console.pages.window import Window
from astrolens.contracts.base import utc_now

Handler = Callable[[], Awaitable[None] | None]
Part = dict[str, Any]
"""A piece of a table's cell, made by `text`, `link`, `opener`, `time_ago`, `state` and `reason`."""
Cell = Sequence[Part]


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
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(content))
    return ui.html(marked, sanitize=False, tag="p").classes("muted")


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


def empty_state(title: str, content: str, *, trouble: bool = False) -> None:
    """Why there is nothing, and what to do."""
    box = ui.element("div").classes("empty trouble" if trouble else "empty")
    with box.props('role="alert"' if trouble else 'role="status"'):
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
        element.props["title"], element.props["aria-keyshortcuts"] = f"{label} ({key})", key
        with element:
            tagged("kbd", key).props('aria-hidden="true"')
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
    if window.focused == label:
        window.focused = ""
        found.run_method("focus")
    return found


def text(content: str, classes: str = "", *, title: str = "") -> Part:
    """Text; `title` is shown on hover."""
    return {"text": content, "class": classes, "title": title or None}


def link(content: str, to: str, *, picture: str = "", classes: str = "") -> Part:
    """A link within the console, with a small picture before its text."""
    return {"text": content, "href": to, "src": picture or None, "class": classes}


def time_ago(at: datetime | None, *, never: str = "never", past: str = "") -> Part:
    """How long ago, the absolute time on hover; `past` instead of a time that has passed."""
    if at is None:
        return text(never, "muted")
    now = utc_now()
    return text(past if past and at <= now else relative(at, now), "when", title=absolute(at))


def state(name: str, tone: str) -> Part:
    """A state with its mark: `good`, `wait`, `bad` or `away`."""
    return text(name, f"state s-{tone}")


def opener(content: str, record: str, classes: str = "") -> Part:
    """A button that opens a record; see `Records.on_open`."""
    return {"text": content, "opens": record, "class": classes}


def reason(content: str) -> Part:
    """An explanation below what a cell says."""
    return text(content, "reason")


_CELLS: Final = """
<q-tr :props="props" :class="props.row.tone" :data-row="props.row.id">
  <q-td v-for="(cell, at) in props.row.cells" :key="at" :class="'text-' + props.cols[at].align"
    :data-head="at ? props.cols[at].label : null">
    <template v-for="(part, index) in cell" :key="index">
      <a v-if="part.href" :href="part.href" :class="part.class"><img v-if="part.src" :src="part.src" alt="" width="40"
        height="40" loading="lazy"/>{{ part.text }}</a>
      <button v-else-if="part.opens" type="button" :class="part.class"
        :aria-expanded="String(props.row.tone === 'opened')"
        @click="$parent.$emit('open', part.opens)">{{ part.text }}</button>
      <span v-else :class="part.class" :title="part.title">{{ part.text }}</span>{{ ' ' }}
    </template>
  </q-td>
</q-tr>
"""


class Records:
    """A table of records, one element whatever it holds; on a phone each record is a block.

    Args:
        window: The window.
        title: What it lists, for screen readers.
        columns: Headings; one that begins with `>` is set to the right, for numbers.
    """

    def __init__(self, window: Window, title: str, columns: Sequence[str]) -> None:
        self._base = window.base
        self._rows: list[dict[str, Any]] | None = None
        heads = [
            {"name": f"c{at}", "field": "id", "label": each.lstrip(">"), "align": "right" if each[0] == ">" else "left"}
            for at, each in enumerate(columns)
        ]
        self._table = ui.table(columns=heads, rows=[], row_key="id").classes("records")
        self._table.props("flat dense hide-bottom wrap-cells")
        self._table.props["aria-label"] = title
        self._table.add_slot("body", _CELLS)

    def on_open(self, opened: Callable[[str], None]) -> None:
        """Call `opened` with the id of the record whose `opener` is pressed."""
        self._table.on("open", lambda event: opened(str(event.args)))

    def show(self, rows: Mapping[str, Sequence[Cell]], tones: Mapping[str, str] | None = None) -> None:
        """Show records, by their ids.

        Args:
            rows: The cells of each.
            tones: Class of a record's row, such as `away`.
        """
        # Tuples: NiceGUI wraps every list and every dictionary in a list, at some hundred bytes each.
        shown = [
            {
                "id": key,
                "tone": (tones or {}).get(key, ""),
                "cells": tuple(tuple(self._based(part) for part in cell) for cell in cells),
            }
            for key, cells in rows.items()
        ]
        # An update sends all rows: not where nothing changed.
        if shown != self._rows:
            self._rows = shown
            self._table.rows = shown
            self._table.set_visibility(bool(shown))

    def _based(self, part: Part) -> Part:
        given = {name: part[name] for name in ("href", "src") if (part.get(name) or "").startswith("/")}
        return part | {name: self._base + value for name, value in given.items()}
