"""The bundles of the registry: state, gates, comparison with the one in use; promotion and rollback by a person."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from nicegui import ui

from astrolens.console.components.records import Cell, Part, Records, link, opener, reason, state, text, time_ago
from astrolens.console.format import count, figure
from astrolens.console.pages.page import Visit, address
from astrolens.console.pages.parts import button, fact_list, heading, panel, paragraph, prose
from astrolens.contracts.models import ModelState
from astrolens.usecases.errors import UseCaseError
from astrolens.usecases.models import MAX_WHY, ModelChangeView, ModelList, ModelView, ShadowView
from astrolens.usecases.plurals import plural
from astrolens.usecases.views import ImageCard

REFRESH_S: Final = 5.0
"""Bundles change seldom; a status comes twice a second."""
_MIN_WHY: Final = 3
"""Characters of a reason: fewer say nothing."""
_MAX_PICTURES: Final = 24
"""Pictures of each kind of difference; the gallery has the others."""

_STATES: Final = {
    ModelState.CANDIDATE: ("candidate", "wait"),
    ModelState.REFUSED: ("refused by its gates", "bad"),
    ModelState.SHADOW: ("compared in shadow", "wait"),
    ModelState.PROMOTED: ("promoted", "wait"),
    ModelState.RETIRED: ("another was promoted", "away"),
}


class Bundles:
    """The table of bundles, kept current, and the one that the address opens.

    Args:
        visit: The opened page.
    """

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._found: ModelList | None = None
        with panel("Bundles") as head:
            with head:
                self._back = button("Roll back", self._ask_rollback)
            columns = ("Bundle", "State", "Gates", "Compared in shadow", "Made", "Decision")
            self._table = Records(visit.window.base, "Bundles of the registry", columns)
            self._table.on_open(self._open)
            prose(
                "A promoted bundle is verified, loaded beside the one in use and swapped in without losing an image; "
                "then the archive is analysed again in idle time. Where it cannot be loaded the old one goes on, and "
                "System says why."
            )
        visit.refresh(self.load, every_s=REFRESH_S)

    async def load(self) -> None:
        """Read them and show them."""
        self._found = found = await self._visit.context.models.overview()
        self._table.show({each.digest: _row(each) for each in found.items})
        self._back.set_visibility(found.serving is not None and found.serving.previous_digest is not None)

    async def show_opened(self) -> None:
        """The gates of the bundle that the address opens, and what it would change, with pictures."""
        digest = self._visit.query.get("bundle")
        if not digest:
            return
        try:
            opened = await self._visit.context.models.show(digest)
        except UseCaseError as error:
            paragraph(error.detail)
            return
        with panel(f"{opened.name} {opened.version}") as head:
            with head:
                button("Close", lambda: self._visit.go(bundle=""))
            if opened.gates:
                heading(3, "Gates")
                fact_list({gate["name"]: _gate(gate) for gate in opened.gates.get("gates", ())})
            if opened.shadow is not None:
                await self._show_diff(opened)
            heading(3, "History")
            table = Records(self._visit.window.base, "History of the bundle", ("When", "State", "Who", "Why"))
            table.show({str(at): _change(each) for at, each in enumerate(opened.history)})

    async def _show_diff(self, opened: ModelView) -> None:
        diff = await self._visit.context.models.diff(opened.digest)
        heading(3, "What it would change")
        paragraph(shadow_words(diff.shadow))
        for title, cards in (
            ("Newly anomalous", diff.newly_anomalous),
            ("No longer anomalous", diff.no_longer_anomalous),
        ):
            if cards:
                table = Records(self._visit.window.base, title, (title, "Survey", "p-value by the bundle in use"))
                table.show({card.image_id: _picture(card) for card in cards[:_MAX_PICTURES]})

    def _open(self, wanted: str) -> None:
        action, _, digest = wanted.partition(":")
        known = {each.digest: each for each in self._found.items} if self._found else {}
        if (chosen := known.get(digest)) is None:
            return
        if action == "promote":
            self._ask_promote(chosen)
        elif action == "compare":
            self._ask_compare(chosen)

    def _ask_promote(self, chosen: ModelView) -> None:
        gates = "" if chosen.gates else " Nobody has measured its gates."
        beside = "It was not compared with the bundle in use." if chosen.shadow is None else shadow_words(chosen.shadow)

        async def promote(user: str, why: str) -> None:
            await self._visit.context.models.promote(chosen.digest, user=user, why=why)
            self._visit.notify(f"{chosen.name} {chosen.version} was promoted; model servers take it within seconds.")

        title = f"Let {chosen.name} {chosen.version} serve?"
        self._ask(title, f"{beside}{gates} All images are judged by it from then on.", "Promote", promote)

    def _ask_rollback(self) -> None:
        async def roll_back(user: str, why: str) -> None:
            await self._visit.context.models.rollback(user=user, why=why)
            self._visit.notify("The bundle before was promoted; model servers take it within seconds.")

        content = "All images are judged by it from then on, and the archive is analysed again in idle time."
        self._ask("Return to the bundle that served before?", content, "Roll back", roll_back)

    def _ask_compare(self, chosen: ModelView) -> None:
        images = self._visit.context.shadow_images

        async def compare(user: str, _: str) -> None:
            await self._visit.context.models.request_shadow(chosen.digest, user=user, images=images)
            self._visit.notify(f"{chosen.name} {chosen.version} is compared on {plural(images, 'image')}.")

        content = "It scores images beside the bundle in use; no verdict and no alert comes of it."
        self._ask(f"Compare {chosen.name} {chosen.version}?", content, "Compare", compare, why=False)

    def _ask(
        self, title: str, content: str, label: str, act: Callable[[str, str], Awaitable[None]], *, why: bool = True
    ) -> None:
        """Ask for a confirmation and a reason, which stays in the history."""
        with ui.dialog(value=True) as dialog, ui.card().classes("al dialog").props(f'aria-label="{label}"'):
            dialog.on("hide", dialog.delete)
            heading(2, title)
            paragraph(content)
            given = None
            if why:
                given = ui.input("Why? It stays in the history.").props(f"autofocus outlined maxlength={MAX_WHY}")
                given.classes("wide")

            async def confirmed(user: str) -> None:
                said = "" if given is None else (given.value or "").strip()
                if why and len(said) < _MIN_WHY:
                    self._visit.notify("Say in a few words why: it stays in the history.", is_error=True)
                    return
                dialog.close()
                await act(user, said)
                await self.load()

            handler = self._visit.handler(confirmed)
            with ui.element("p").classes("choices"):
                button(label, handler, primary=True)
                button("Cancel", dialog.close)


def _state(model: ModelView) -> tuple[str, str]:
    """What a bundle does now, and how it is shown; model servers say which serves."""
    if model.serves:
        return ("serves", "good") if model.state is ModelState.PROMOTED else ("still serves", "good")
    if model.state is ModelState.PROMOTED:
        return "promoted, not served", "bad"
    if model.state is ModelState.RETIRED:
        return ("has served" if model.first_served_at else "not seen serving"), "away"
    return _STATES[model.state]


def _row(model: ModelView) -> tuple[Cell, ...]:
    named, tone = _state(model)
    # What a gate refused says so under its gates.
    why = model.history[-1].why if model.history and model.state is not ModelState.REFUSED else ""
    decisions = []
    if model.can_promote:
        decisions.append(opener("promote", f"promote:{model.digest}", "btn"))
        if not model.installed:
            decisions.append(opener("compare", f"compare:{model.digest}", "btn"))
    if model.has_late_images:
        decisions.append(link("found by its second pass", address("/gallery", late_by=model.digest), classes="btn"))
    beside = [text("not compared", "muted")] if model.shadow is None else [text(shadow_words(model.shadow))]
    return (
        [
            link(f"{model.name} {model.version}", address("/model", bundle=model.digest)),
            text(model.digest[:12], "mono", title=model.digest),
        ],
        [state(named, tone), reason(why)],
        _gates(model),
        beside,
        [time_ago(model.created_at), text(f"by {model.created_by}", "muted")],
        decisions,
    )


def _change(change: ModelChangeView) -> tuple[Cell, ...]:
    named, tone = _STATES[change.state]
    return ([time_ago(change.at)], [state(named, tone)], [text(change.by)], [text(change.why)])


def _gates(model: ModelView) -> list[Part]:
    """How many gates failed, and which: a state is never broken into lines, so that the names stand below it."""
    if not model.gates:
        return [text("not measured", "muted")]
    measured = len(model.gates.get("gates", ()))
    if model.failed_gates:
        return [state(f"failed {len(model.failed_gates)} of {measured}", "bad"), reason(", ".join(model.failed_gates))]
    return [state("passed", "good")]


def _gate(gate: dict[str, Any]) -> str:
    return f"{'passed' if gate.get('passed') else 'FAILED'}: {gate.get('detail', '')}"


def shadow_words(found: ShadowView) -> str:
    """A comparison in one sentence, with the bundle that was in use then."""
    ranks = "" if found.rank_correlation is None else f", rank correlation {figure(found.rank_correlation)}"
    begun = "" if found.finished_at is not None else f"{count(found.images)} of "
    many = plural(found.wanted if begun else found.images, "image")
    return (
        f"{begun}{many} beside {found.champion_digest[:12]}: "
        f"{found.newly_anomalous} newly anomalous, {found.no_longer_anomalous} no longer{ranks}."
    )


def _picture(card: ImageCard) -> tuple[Cell, ...]:
    words = card.p_value_words.figure if card.p_value_words else ""
    return (
        [link(card.name or card.image_id[:12], address(f"/image/{card.image_id}"), picture=card.cutout_url)],
        [text(card.survey)],
        [text(words, "num")],
    )
