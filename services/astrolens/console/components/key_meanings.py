"""What each key of the console means: one meaning everywhere, so that nobody learns a key anew on another page."""

from collections.abc import Iterable
from typing import Final

MEANINGS: Final[dict[str, str]] = {
    "?": "Show these keys",
    "/": "Search",
    "Enter": "Open the image",
    "Escape": "Back",
    # the way through what is listed
    "ArrowRight": "Next",
    "ArrowLeft": "Previous",
    "j": "Next",
    "k": "Previous",
    "ArrowDown": "A row down",
    "ArrowUp": "A row up",
    "PageDown": "A screen down",
    "PageUp": "A screen up",
    "Home": "First image",
    "l": "More of the list",
    "n": "Read the list again",
    "m": "Show this list on maps",
    "t": "Triage this list",
    # selection
    "x": "Select",
    "Shift+ArrowRight": "Select on",
    "Shift+ArrowLeft": "Select back",
    "Shift+ArrowDown": "Select a row on",
    "Shift+ArrowUp": "Select a row back",
    "a": "Select all that match",
    "b": "Compare",
    # answers
    "1": "Answer interesting",
    "2": "Answer artefact",
    "3": "Answer ordinary",
    "space": "Later",
    "u": "Undo the last answer",
    "#": "Tags of the answer",
    # the picture
    "z": "Zoom",
    "s": "Stretch",
    "p": "Clip",
    "i": "Invert",
    "w": "Show where it is strange",
    "0": "The picture as it came",
    "+": "Larger pictures",
    "=": "Larger pictures",
    "-": "Smaller pictures",
    # what is known of an image
    "c": "Copy the position",
    "g": "Similar images",
    "o": "Archives",
    "v": "Other images of the object",
    "e": "Analyse again",
    "f": "Fetch the original file",
    "q": "Ask the catalogues again",
    # dead letters
    "r": "Send the open letter again",
    "d": "Drop the open letter",
}
"""By key, the words with which the label of whatever it does begins. Scripts' keys are held against it by a test."""

_of_pages: dict[str, str] = {}
"""Labels of keys that pages of one's own bind, those that were bound first."""


def require_meaning(keys: Iterable[str], label: str) -> None:
    """Refuse a key that means something else; a key that nothing had yet belongs to its first label.

    Args:
        keys: As `Shortcut` takes them.
        label: What they do.

    Raises:
        ValueError: Another meaning has one of the keys.
    """
    for key in keys:
        meaning = MEANINGS.get(key) or _of_pages.setdefault(key, label)
        if not label.startswith(meaning):
            raise ValueError(f"the key {key!r} means “{meaning}” everywhere, and not “{label}”: choose another")
