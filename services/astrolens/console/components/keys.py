"""Keys of a page: pressing one calls a Python handler, clicks a link, or focuses a field."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from nicegui.element import Element
from nicegui.events import GenericEventArguments

from astrolens.console.components.key_meanings import require_meaning

Press = Callable[[], Awaitable[None] | None]
PressFor = Callable[[str], Awaitable[None] | None]


@dataclass(frozen=True)
class Shortcut:
    """What keys do.

    Args:
        keys: Any of these, such as `("ArrowRight", "j")`, `("Shift+A",)`, `("space",)`.
        label: What the overlay says they do.
        press: What is called here when one is pressed.
        target: Without a round trip: selector of what is focused where it is a field or has `data-focus`, and clicked
            otherwise.
        press_for: As `press`, with the image (`data-image`) that has the focus; not where its picture was not seen.

    Raises:
        ValueError: A key means something else on another page.
    """

    keys: tuple[str, ...]
    label: str
    press: Press | None = None
    target: str = ""
    press_for: PressFor | None = None

    def __post_init__(self) -> None:
        require_meaning(self.keys, self.label)


class Keys(Element, component="keys.js", dependencies=["lib/*.js"]):
    """Binds keys while it is on the page; the scripts of `lib/` are importable once an element names them.

    Keys of an element that was made later win. All are inert where a person types and while a dialog is open.
    """

    def __init__(self, title: str, shortcuts: Sequence[Shortcut]) -> None:
        """Bind keys.

        Args:
            title: Their heading in the overlay.
            shortcuts: What each does.
        """
        super().__init__()
        self._shortcuts = tuple(shortcuts)
        self.props["title"] = title
        self.props["shortcuts"] = [
            {
                "keys": list(each.keys),
                "label": each.label,
                "target": each.target,
                "presses": each.press is not None or each.press_for is not None,
            }
            for each in shortcuts
        ]
        self.on("press", self._pressed)

    async def _pressed(self, event: GenericEventArguments) -> None:
        # A client chooses what it sends.
        match event.args:
            case [int(index), str(image)] if 0 <= index < len(self._shortcuts):
                shortcut = self._shortcuts[index]
            case _:
                return
        result = shortcut.press() if shortcut.press is not None else None
        if shortcut.press_for is not None and image:
            result = shortcut.press_for(image)
        if result is not None:
            await result


class KeyTable(Element, component="key_table.js"):
    """Every key that is bound now, those of Vue components too, in words; a press on one and another key changes it.

    The browser remembers what was chosen. A key that does something else on this page is refused; what is called alike
    on two pages has one key.
    """
