"""A table of records, one element whatever it holds; on a phone each record is a block."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from nicegui.element import Element

from astrolens.console.format import absolute, relative
from astrolens.contracts.base import utc_now

Part = dict[str, Any]
"""A piece of a cell, made by `text`, `link`, `opener`, `time_ago`, `state` and `reason`."""
Cell = Sequence[Part]


def text(content: str, classes: str = "", *, title: str = "") -> Part:
    """Text; `title` is shown on hover."""
    return {"text": content, "class": classes, "title": title or None}


def link(content: str, to: str, *, picture: str = "", classes: str = "") -> Part:
    """A link within the console, with a small picture before its text."""
    return {"text": content, "href": to, "src": picture or None, "class": classes}


def opener(content: str, record: str, classes: str = "") -> Part:
    """A button that opens a record; see `Records.on_open`."""
    return {"text": content, "opens": record, "class": classes}


def time_ago(at: datetime | None, *, never: str = "never", past: str = "") -> Part:
    """How long ago, the absolute time on hover; `past` instead of a time that has passed."""
    if at is None:
        return text(never, "muted")
    now = utc_now()
    return text(past if past and at <= now else relative(at, now), "when", title=absolute(at))


def state(name: str, tone: str) -> Part:
    """A state with its mark: `good`, `wait`, `bad` or `away`."""
    return text(name, f"state s-{tone}")


def reason(content: str) -> Part:
    """An explanation below what a cell says."""
    return text(content, "reason")


class Records(Element, component="records.js"):
    """The table.

    Events: `open` with the id of the record whose `opener` is pressed.
    """

    def __init__(self, base: str, title: str, columns: Sequence[str]) -> None:
        """Make an empty table.

        Args:
            base: Prefix that a proxy puts before every path.
            title: What it lists, for screen readers.
            columns: Headings; one that begins with `>` is set to the right, for numbers.
        """
        super().__init__()
        self._base = base
        self._rows: tuple[dict[str, Any], ...] | None = None
        self.props["aria-label"] = title
        # Tuples, here and in rows: NiceGUI wraps every list and what is in it, at some hundred bytes each.
        self.props["columns"] = tuple(
            {"name": f"c{at}", "field": "id", "label": each.lstrip(">"), "align": "right" if each[0] == ">" else "left"}
            for at, each in enumerate(columns)
        )
        self.show({})

    def on_open(self, opened: Callable[[str], None]) -> None:
        """Call `opened` with the id of the record whose `opener` is pressed."""
        self.on("open", lambda event: opened(str(event.args)))

    def show(self, rows: Mapping[str, Sequence[Cell]], tones: Mapping[str, str] | None = None) -> None:
        """Show records, by their ids; without any, the table is not there.

        Args:
            rows: The cells of each.
            tones: Class of a record's row, such as `away`.
        """
        shown = tuple(
            {
                "id": key,
                "tone": (tones or {}).get(key, ""),
                "cells": tuple(tuple(self._based(part) for part in cell) for cell in cells),
            }
            for key, cells in rows.items()
        )
        # An update sends all rows: not where nothing changed.
        if shown != self._rows:
            self._rows = shown
            self.props["rows"] = shown
            self.set_visibility(bool(shown))

    def _based(self, part: Part) -> Part:
        given = {name: part[name] for name in ("href", "src") if (part.get(name) or "").startswith("/")}
        return part | {name: self._base + value for name, value in given.items()}
