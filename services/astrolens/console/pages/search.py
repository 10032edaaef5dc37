"""The search box of the header: ids, names and positions."""

from html import escape

from nicegui import ui
from nicegui.events import GenericEventArguments

from astrolens.console.pages.marks import name_of, verdict_mark
from astrolens.console.pages.page import address, notify
from astrolens.console.pages.window import LoggedOut, Window
from astrolens.platform.errors import TransientError
from astrolens.usecases.search import SearchResult, search

MAX_TEXT_LENGTH = 200
"""Longest text that is looked for."""

_LEAVE = "(event) => event.currentTarget.contains(event.relatedTarget) || emit()"


class SearchBox:
    """A field, and what it finds while one types."""

    def __init__(self, window: Window) -> None:
        self._window = window
        with ui.element("form").classes("search").props('role="search"') as form:
            self._field = ui.element("input")
            self._field.props('type="search" autocomplete="off" spellcheck="false" enterkeyhint="search"')
            self._field.props["aria-label"] = "Search: id, name or position"
            self._field.props["aria-keyshortcuts"] = "/"
            self._field.props["placeholder"] = "id, name, 10.68 +41.27"
            self._found = ui.html(sanitize=False).classes("found").props('aria-live="polite"')
        self._found.set_visibility(False)
        self._field.on(
            "input",
            self._on_input,
            js_handler="(event) => emit(event.target.value)",
            throttle=0.16,
            leading_events=False,
        )
        self._field.on("focus", self._on_input, js_handler="(event) => emit(event.target.value)")
        submit = "(event) => { event.preventDefault(); emit(event.target.querySelector('input').value); }"
        form.on("submit", self._on_submit, js_handler=submit)
        form.on("focusout", self._close, js_handler=_LEAVE)
        form.on("keydown.escape", self._close, js_handler="(event) => { document.activeElement.blur(); emit(); }")

    async def _look(self, given: object) -> SearchResult | None:
        # A client sends what it likes.
        if not isinstance(given, str) or not given.strip():
            return None
        try:
            await self._window.user()
            return await search(self._window.context.records, given[:MAX_TEXT_LENGTH])
        except LoggedOut:
            self._window.open_login()
        except TransientError as error:
            notify(self._window, f"The search does not work now: {error}. Try again shortly.", is_error=True)
        return None

    async def _on_input(self, event: GenericEventArguments) -> None:
        found = await self._look(event.args)
        if found is not None:
            self._found.set_content(self._listed(found))
        self._found.set_visibility(found is not None)

    async def _on_submit(self, event: GenericEventArguments) -> None:
        found = await self._look(event.args)
        if found is not None and found.problem:
            notify(self._window, found.problem, is_error=True)
            return
        self._close()
        if found is not None:
            self._field.run_method("blur")
            ui.navigate.to(_target(found))

    def _close(self) -> None:
        self._found.set_visibility(False)

    def _listed(self, found: SearchResult) -> str:
        base = self._window.base
        if found.problem:
            return f'<p class="found-all q-pa-sm" role="status">{escape(found.problem)}</p>'
        links = [
            f'<a href="{base}/image/{card.image_id}"><img src="{base}{card.cutout_url}" alt="" width="32" height="32">'
            f'<span class="name">{escape(name_of(card))}</span>{verdict_mark(card.verdict, bare=True)}</a>'
            for card in found.cards
        ]
        text = found.description if found.cards else f"Nothing found: {found.description}"
        everything = f'<a class="found-all" href="{escape(base + _target(found))}"><kbd>Enter</kbd> {escape(text)}</a>'
        return "".join([*links, everything])


def _target(found: SearchResult) -> str:
    if found.query or not found.cards:
        return address("/gallery", **found.query)
    return f"/image/{found.cards[0].image_id}"
