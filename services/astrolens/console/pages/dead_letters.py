"""Dead letters: see one whole, send it again, drop it with a reason."""

import base64
import binascii
import json
from typing import Final

from nicegui import ui

from astrolens.console.components.records import Cell, Records, opener, state, text, time_ago
from astrolens.console.format import words
from astrolens.console.pages.page import Bound, Visit, shortcuts
from astrolens.console.pages.parts import button, empty_state, heading, panel, select, tagged
from astrolens.console.pages.record_lists import PAGE_ROWS, add_turning
from astrolens.usecases.dead_letter_views import DeadLetterView
from astrolens.usecases.dead_letters import DropRequest
from astrolens.usecases.errors import InvalidRequest

_STATES: Final = {"open": "open", "resent": "sent again", "dropped": "dropped", "all": "any"}
_SHOWN_BYTES: Final = 4000
_SHOWN_BINARY: Final = 512
_MIN_REASON: Final = 3


def readable(encoded: str) -> str:
    """Bytes in base64 as indented JSON or text where they are that, else as hexadecimal."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return "(not readable)"
    try:
        content = data[:_SHOWN_BYTES].decode()
    except UnicodeDecodeError:
        return data[:_SHOWN_BINARY].hex(" ")
    try:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
    except ValueError:
        return content


async def build_dead_letters(visit: Visit) -> None:
    """The letters of one state, and the one that the address opens."""
    wanted = visit.query.get("state", "open")
    if wanted not in _STATES:
        raise InvalidRequest("No such state", f"{wanted[:40]!r} is no state: choose of {', '.join(_STATES)}")
    page = await visit.context.archive.dead_letters(
        state=None if wanted == "all" else wanted, limit=PAGE_ROWS, after=visit.query.get("after")
    )
    with panel("Dead letters", total=page.total) as head:
        with head:
            select(visit.window, "State", _STATES, wanted, lambda value: visit.go(state=value, open="", after=""))
        if not page.items:
            empty_state(
                "No dead letter waits" if wanted == "open" else "No such dead letter",
                "A record that no service can use ends here, whole, until a person sends it again or drops it.",
            )
            return
        table = Records(visit.window.base, "Dead letters", ("State", "Error", "What", "Service", "Since"))
    ids = [each.dead_letter_id for each in page.items]
    opened = next((each for each in page.items if each.dead_letter_id == visit.query.get("open")), None)
    table.show(
        {each.dead_letter_id: _row(each) for each in page.items}, {opened.dead_letter_id: "opened"} if opened else {}
    )
    table.on_open(lambda letter: visit.go(open="" if opened and letter == opened.dead_letter_id else letter))
    at = ids.index(opened.dead_letter_id) if opened else -1

    def move(by: int) -> None:
        visit.go(open=ids[max(0, min(len(ids) - 1, at + by))])

    bound: list[Bound] = [
        ("j", "Next letter", lambda: move(1)),
        ("k", "Previous letter", lambda: move(-1)),
    ]
    if opened is not None:
        bound += _Opened(visit, opened).bound
    add_turning(visit, page.next, title="List of dead letters")
    visit.keys(*shortcuts(*bound), title="Dead letters")


class _Opened:
    """The letter that is open: all of it, and what can be done about it."""

    def __init__(self, visit: Visit, letter: DeadLetterView) -> None:
        self._visit = visit
        self._letter = letter
        self.bound: list[Bound] = []
        with ui.element("section").classes("panel letter").props('aria-label="The dead letter"'):
            heading(2, letter.error_type)
            facts = {
                "Topic": f"{letter.topic}, partition {letter.partition}, offset {letter.offset}",
                "Error": letter.error,
                "Key": readable(letter.key) if letter.key else "",
                "Note": letter.note or "",
                **{name: readable(value) for name, value in letter.headers},
            }
            with ui.element("dl").classes("facts"):
                for name, value in facts.items():
                    if value:
                        tagged("dt", name)
                        tagged("dd", value)
            tagged("pre", readable(letter.body)).props('tabindex="0" aria-label="The record’s bytes"')
            if letter.state == "open":
                self._add_choices()

    def _add_choices(self) -> None:
        resend = self._visit.handler(self._resend)
        with ui.element("p").classes("choices"):
            button("Send again", resend, primary=True, key="r")
            button("Drop", self._ask, key="d")
        self.bound = [("r", "Send the open letter again", resend), ("d", "Drop the open letter", self._ask)]

    async def _resend(self, _user: str) -> None:
        await self._visit.context.dead_letters.resend(self._letter.dead_letter_id)
        self._visit.notify("Sent again: it is back in the flow.")
        self._visit.go(open="")

    def _ask(self) -> None:
        """Ask for the reason; it stays with the letter."""
        with (
            ui.dialog(value=True) as dialog,
            ui.card().classes("al dialog").props('aria-label="Drop this dead letter"'),
        ):
            dialog.on("hide", dialog.delete)
            heading(2, "Drop this dead letter")
            reason = (
                ui.input("Why? The reason stays with it.").props("autofocus outlined maxlength=500").classes("wide")
            )

            async def drop(_user: str) -> None:
                given = (reason.value or "").strip()
                if len(given) < _MIN_REASON:
                    self._visit.notify("Say in a few words why: the reason stays with the letter.", is_error=True)
                    return
                dialog.close()
                await self._visit.context.dead_letters.drop(
                    self._letter.dead_letter_id, DropRequest(reason=given).reason
                )
                self._visit.notify("Dropped; the reason stays with it.")
                self._visit.go(open="")

            handler = self._visit.handler(drop)
            reason.on("keydown.enter", handler, [])
            with ui.element("p").classes("choices"):
                button("Drop", handler, primary=True)
                button("Keep", dialog.close)


def _row(letter: DeadLetterView) -> tuple[Cell, ...]:
    tone = "bad" if letter.state == "open" else "away"
    return (
        [state(words(_STATES[letter.state]), tone)],
        [opener(letter.error_type, letter.dead_letter_id, "letter-head")],
        [text(letter.error, "letter-error")],
        [text(letter.service)],
        [time_ago(letter.dead_lettered_at)],
    )
