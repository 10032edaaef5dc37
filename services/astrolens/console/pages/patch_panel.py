"""Where in its picture an image is strange, in words: the map itself lies over the picture."""

from base64 import b64decode
from html import escape
from math import isqrt
from typing import Final
from urllib.parse import quote

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


_STOPS: Final = ((70, 20, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Purple, red, orange, pale yellow: rising lightness, so that the order is seen without colours."""
_UNIT: Final = 64
"""Value of a cell that is as far from ordinary patches as their farthest 1 %."""
_OPAQUE: Final = 0.6


def patch_overlay(cells: str) -> str:
    """The map over its square, as the address of an SVG; cells beyond the farthest 1 % of ordinary ones are outlined.

    Args:
        cells: As `PatchMap.cells` has them: Base64, row by row; empty where the text is no square map.
    """
    values = b64decode(cells)
    side = isqrt(len(values))
    if side * side != len(values) or not values:
        return ""
    squares, edges = [], []
    for place, value in enumerate(values):
        row, column = divmod(place, side)
        squares.append(f'<rect x="{column}" y="{row}" width="1.02" height="1.02" fill="{_colour(value)}"/>')
        if value < _UNIT:
            continue
        for away_row, away_column, line in (
            (-1, 0, f"M{column} {row}h1"),
            (1, 0, f"M{column} {row + 1}h1"),
            (0, -1, f"M{column} {row}v1"),
            (0, 1, f"M{column + 1} {row}v1"),
        ):
            r, c = row + away_row, column + away_column
            if not (0 <= r < side and 0 <= c < side and values[r * side + c] >= _UNIT):
                edges.append(line)
    # Dark below light: seen on bright and on dark sky.
    outline = "".join(
        f'<path d="{"".join(edges)}" fill="none" stroke="{stroke}" stroke-width="{width}" '
        'vector-effect="non-scaling-stroke"/>'
        for stroke, width in (("#000a", 3), ("#fffd", 1.2))
    )
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}">{"".join(squares)}{outline}</svg>'
    return f"data:image/svg+xml,{quote(drawn)}"


def _colour(value: int) -> str:
    """The colour of a cell; ordinary patches stay as they are."""
    at = value / 255 * (len(_STOPS) - 1)
    low = min(len(_STOPS) - 2, int(at))
    rgb = (round(a + (b - a) * (at - low)) for a, b in zip(_STOPS[low], _STOPS[low + 1], strict=True))
    return f"rgb({' '.join(map(str, rgb))} / {_OPAQUE * min(1.0, value / _UNIT):.2f})"


def place_words(at: StrangestPatch) -> str:
    """Where a patch is, for people: `at the upper left`."""
    across = "left" if at.x < 0.5 - _MIDDLE else "right" if at.x > 0.5 + _MIDDLE else ""
    along = "upper" if at.y < 0.5 - _MIDDLE else "lower" if at.y > 0.5 + _MIDDLE else ""
    if not across and not along:
        return "in the middle"
    if across and along:
        return f"at the {along} {across}"
    return f"at the {across}" if across else {"upper": "at the top", "lower": "at the bottom"}[along]
