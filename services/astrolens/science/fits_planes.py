"""What the planes of a FITS image are, and which of them make the picture: the header alone decides about colour."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from astrolens.science.bands import filter_name, is_luminance, split_names, wavelengths_nm
from astrolens.science.fits_header import Cards

_MAX_ASSUMED_BANDS = 6
"""As many as ugrizy. More planes of which the header says nothing are a series, not the bands of a camera."""

_STOKES = {
    1: "I",
    2: "Q",
    3: "U",
    4: "V",
    -1: "RR",
    -2: "LL",
    -3: "RL",
    -4: "LR",
    -5: "XX",
    -6: "YY",
    -7: "XY",
    -8: "YX",
}
"""FITS standard 4.0, table 29."""

_NO_COLOURS = {
    "spectral": ("FREQ", "VELO", "VRAD", "VOPT", "ZOPT", "BETA", "FELO", "WAVE", "AWAV", "WAVN", "ENER", "VELOCITY"),
    "time": ("TIME", "UTC", "TAI", "TDB", "TT", "MJD", "FRAME"),
    "groups": ("GROUP", "GROUPS", "INTEGRATION", "INT", "READ", "RAMP", "AMP", "CHIP", "DET"),
}
_MEANT_TOGETHER = {"RGB": (650.0, 550.0, 450.0), "SHO": (672.0, 656.0, 501.0), "HO": (656.0, 501.0)}
"""Letters that mean colours or emission lines beside each other, and filters alone."""
_COLOUR_SPACES = ("RGB", "SRGB", "COLOR", "COLOUR")
_RED_FIRST_PROGRAMS = (
    "SIRIL",
    "PIXINSIGHT",
    "ASTROPIXELPROCESSOR",
    "DEEPSKYSTACKER",
    "MAXIM",
    "ASTAP",
    "SHARPCAP",
    "ASIAIR",
)
"""Programs of amateurs, which write the planes of a colour camera in the order of a screen."""
_PROGRAM_KEYWORDS = ("SWCREATE", "PROGRAM", "CREATOR", "SOFTWARE")
_COLOUR_AXIS = ("RGB", "BAND", "BANDS", "FILTER", "FILTERS", "COLOR", "COLOUR", "COLORS")
_PLAIN_AXIS = ("LINEAR", "PIXEL", "NONE", "PLANE", "PLANES", "LAYER")
"""What says as little as no CTYPE."""
LISTED_BANDS = ("BANDS", "FILTERS", "BANDLIST", "FILTER", "COLORS")
"""Keywords with the names of all planes."""
NUMBERED_BANDS = ("BAND", "FILTER", "FILT", "PLANE")
"""Keywords with the name of one plane, whose number follows, from 0 or 1."""
_FILTER_KEYWORDS = (
    "FILTER",
    "FILTER1",
    "FILTER2",
    "FILTNAM1",
    "FILTNAME",
    "FILTNAM",
    "FILTERID",
    "BAND",
    "INSFILTE",
    "PUPIL",
)


@dataclass(frozen=True, slots=True)
class Planes:
    """Which planes make the picture.

    Attributes:
        axis_3: What they are, as in `facts.FileFacts`; None for a single plane.
        shown: Numbers of the planes that are shown, from 0: three (red first) or two (red, blue) or one.
        candidates: Planes of which the first that shows an object is taken, where they are no colours.
        names: Of all planes, in the order of the file; `plane 1` where they have none.
        bands: Filters of the planes, or of the image; in the order of the file.
        notes: What was assumed or left out.
    """

    axis_3: str | None
    shown: tuple[int, ...]
    names: tuple[str, ...]
    bands: tuple[str, ...]
    candidates: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def planes_of(headers: Sequence[Cards], lengths: Sequence[int], axes: Sequence[int]) -> Planes:
    """Decide which planes make the picture.

    Args:
        headers: Of the image, then of the file.
        lengths: Number of planes on each further axis of more than one plane.
        axes: Their numbers in the header, from 1.
    """
    count = math.prod(lengths)
    bands = _filters(headers)
    if count == 1:
        return Planes(None, (0,), bands if len(bands) == 1 else ("plane 1",), bands)
    if len(lengths) == 1:
        return _on_one_axis(headers, axes[0], count, bands)
    stokes = _stokes_first(headers[0], axes, lengths)
    note = f"It has {' x '.join(map(str, lengths))} planes on {len(lengths)} axes: one plane is shown."
    return Planes("unknown", (0,), _numbered(count), bands, candidates=stokes or _spread(count), notes=(note,))


def _on_one_axis(headers: Sequence[Cards], axis: int, count: int, bands: tuple[str, ...]) -> Planes:
    kind = headers[0].text(f"CTYPE{axis}").upper()
    word = kind.split("-")[0]
    if word == "STOKES":
        return _stokes(headers[0], axis, count, bands)
    no_colour = next((axis_3 for axis_3, words in _NO_COLOURS.items() if word in words), None)
    names = _names(headers, count) if no_colour is None else ()
    if names:
        instrument = " ".join(cards.text(name) for cards in headers for name in ("TELESCOP", "INSTRUME"))
        return _bands(names, instrument)
    if count >= 3 and (kind == "RGB" or (count == 3 and no_colour is None and _is_rgb(headers))):
        colours = ("red", "green", "blue")
        return Planes("bands", (0, 1, 2), (*colours, *_numbered(count)[3:]), colours)
    says_nothing = not kind or kind in _COLOUR_AXIS or kind in _PLAIN_AXIS
    if no_colour is None and says_nothing and axis == 1 and count == 3:
        # The array of a picture, whose colours run fastest.
        note = "Its colours run fastest, of which the header says nothing: red, green and blue were assumed."
        return Planes("assumed-bands", (0, 1, 2), ("red", "green", "blue"), bands, notes=(note,))
    if no_colour is None and says_nothing and count <= _MAX_ASSUMED_BANDS:
        note = f"Its header does not say what its {count} planes are: bands by rising wavelength were assumed."
        return Planes("assumed-bands", _by_wavelength(range(count)), _numbered(count), bands, notes=(note,))
    return _one_of(no_colour or "unknown", count, "" if says_nothing else kind, bands)


def _is_rgb(headers: Sequence[Cards]) -> bool:
    """Whether the colour space is named, or the program writes red first."""
    if any(cards.text("COLORSPC").upper() in _COLOUR_SPACES for cards in headers):
        return True
    programs = [cards.text(name).upper().replace(" ", "") for cards in headers for name in _PROGRAM_KEYWORDS]
    return any(known in program for known in _RED_FIRST_PROGRAMS for program in programs)


def _stokes(cards: Cards, axis: int, count: int, bands: tuple[str, ...]) -> Planes:
    start, step = cards.number(f"CRVAL{axis}"), cards.number(f"CDELT{axis}")
    reference = cards.number(f"CRPIX{axis}")
    start, step = (1.0 if start is None else start), (1.0 if step is None else step)
    reference = 1.0 if reference is None else reference
    codes = [round(start + (number + 1 - reference) * step) for number in range(count)]
    names = tuple(_STOKES.get(code, f"plane {number + 1}") for number, code in enumerate(codes))
    shown = codes.index(1) if 1 in codes else 0
    note = (
        f"Its planes are polarisations ({', '.join(names[:8])}), which are no colours: Stokes {names[shown]} is shown."
    )
    return Planes("stokes", (shown,), names, bands, notes=(note,))


def _stokes_first(cards: Cards, axes: Sequence[int], lengths: Sequence[int]) -> tuple[int, ...]:
    """Of planes on several axes, those with Stokes I; empty where polarisation is none of the axes."""
    # The first of `axes` runs fastest.
    strides = [math.prod(lengths[:place]) for place in range(len(lengths))]
    for place, axis in enumerate(axes):
        if cards.text(f"CTYPE{axis}").upper().startswith("STOKES"):
            at = _stokes(cards, axis, lengths[place], ()).shown[0]
            numbers = [n for n in range(math.prod(lengths)) if n // strides[place] % lengths[place] == at]
            return tuple(numbers[i] for i in _spread(len(numbers)))
    return ()


def _one_of(axis_3: str, count: int, kind: str, bands: tuple[str, ...]) -> Planes:
    what = (
        f"Its axis of {count} planes is {kind[:20]}, which is no colour"
        if kind
        else f"Its header does not say what its {count} planes are"
    )
    return Planes(
        axis_3, (0,), _numbered(count), bands, candidates=_spread(count), notes=(f"{what}: one plane is shown.",)
    )


def _spread(count: int) -> tuple[int, ...]:
    """At most 16 planes, the first among them."""
    step = -(-count // 16)
    return tuple(range(0, count, step))


def _bands(names: tuple[str, ...], instrument: str) -> Planes:
    """Planes with names: by wavelength where all are known, else in the order of the file, which is noted."""
    colours = [number for number, name in enumerate(names) if not is_luminance(name)]
    notes = []
    if len(colours) in {2, 3, 4} and len(colours) < len(names):
        shown = ", ".join(names[number] for number in colours)
        notes.append(f"Of its planes {shown} are shown; the other has the light of all colours.")
    else:
        colours = list(range(len(names)))
    chosen = [names[number] for number in colours]
    wavelengths = wavelengths_nm(chosen, instrument)
    for letters, values in _MEANT_TOGETHER.items():
        if set(chosen) == set(letters) and len(chosen) == len(letters):
            wavelengths = [values[letters.index(name)] for name in chosen]
    known = [value for value in wavelengths if value is not None]
    if len(known) == len(chosen):
        order = sorted(range(len(chosen)), key=lambda number: known[number])
        return Planes("bands", tuple(colours[n] for n in _by_wavelength(order)), names, names, notes=tuple(notes))
    unknown = ", ".join(name for name, value in zip(chosen, wavelengths, strict=True) if value is None)
    rises = known == sorted(known) and len(set(known)) > 1
    order = list(range(len(chosen))) if rises else list(range(len(chosen)))[::-1]
    picked = tuple(colours[n] for n in _by_wavelength(order))
    how = "rising wavelength, as the others do" if rises else "falling wavelength (red first)"
    notes.append(f"The wavelength of {unknown[:60]} is not known: the order of the file was kept, as of {how}.")
    return Planes("bands", picked, names, names, notes=tuple(notes))


def _by_wavelength(order: Sequence[int]) -> tuple[int, ...]:
    """Red, green and blue among bands by rising wavelength: of ugriz i, r and g, as surveys show them."""
    match len(order):
        case 2:
            return order[1], order[0]
        case 3 | 4:
            return order[2], order[1], order[0]
        case _:
            return order[3], order[2], order[1]


def _names(headers: Sequence[Cards], count: int) -> tuple[str, ...]:
    """Names of the bands of each plane, where the header has as many as there are planes."""
    for cards in headers:
        for keyword in LISTED_BANDS:
            names = split_names(cards.text(keyword))
            if len(names) == count:
                return tuple(filter_name(name) or name[:40] for name in names)
        for pattern in NUMBERED_BANDS:
            for first in (0, 1):
                numbered = [filter_name(cards.text(f"{pattern}{first + number}")) for number in range(count)]
                if all(numbered) and len(set(numbered)) == count:
                    return tuple(name for name in numbered if name)
    return ()


def _filters(headers: Sequence[Cards]) -> tuple[str, ...]:
    """The filter of a single plane; two where two wheels hold one each."""
    for cards in headers:
        found = [name for keyword in _FILTER_KEYWORDS if (name := filter_name(cards.text(keyword)))]
        if found:
            names = tuple(dict.fromkeys(found))
            many = split_names(names[0])
            return tuple(many) if len(many) > 1 and "BANDS" in cards else names[:2]
    for cards in headers:
        if names := tuple(split_names(cards.text("BANDS"))):
            return names[:32]
    return ()


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"plane {number + 1}" for number in range(count))
