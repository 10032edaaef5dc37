"""Where in its picture an image is strange, in words: the map itself lies over the picture."""

from html import escape
from typing import Final

from astrolens.console.pages.image_panels import muted
from astrolens.contracts.patch_maps import PatchMap, StrangestPatch
from astrolens.contracts.verdicts import POOLED

_MIDDLE: Final = 0.2
"""Half the side of the middle part of a picture, share of its side."""


def strange_place(found: PatchMap | None, *, waits: bool) -> str:
    """A sentence on the strangest patch; nothing for images that get no map."""
    if found is None:
        waiting = "Where it is strange is mapped after some seconds, once 100 ordinary images have been analysed."
        return muted(waiting) if waits else ""
    if found.strangest is None:
        return muted(f"There is no map of where it is strange: {found.detail or 'it failed'}.")
    survey = "other surveys" if found.codebook_survey == POOLED else found.codebook_survey
    far = found.strangest.strangeness
    said = (
        f"{far:.1f} times as far from ordinary patches of {survey} as the farthest 1 % of them"
        if far >= 1.0
        else f"not farther from ordinary patches of {survey} than their farthest 1 %"
    )
    return (
        f'<p class="strange-place">The patch that stands out most is {place_words(found.strangest)}, {escape(said)}. '
        f'<span class="muted">Compared with {found.codebook_images} ordinary images; '
        "no verdict follows from it.</span></p>"
    )


def place_words(at: StrangestPatch) -> str:
    """Where a patch is, for people: `at the upper left`."""
    across = "left" if at.x < 0.5 - _MIDDLE else "right" if at.x > 0.5 + _MIDDLE else ""
    along = "upper" if at.y < 0.5 - _MIDDLE else "lower" if at.y > 0.5 + _MIDDLE else ""
    if not across and not along:
        return "in the middle"
    if across and along:
        return f"at the {along} {across}"
    return f"at the {across}" if across else {"upper": "at the top", "lower": "at the bottom"}[along]
