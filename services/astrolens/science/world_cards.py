"""The world coordinates of a header as wcslib is to read them: two axes, each number read and checked here.

wcslib passes over a card that it cannot read and takes the default instead: `8.36D1` became 8.36, a right ascension
written as text became 0, a header without a scale got a degree a pixel. So every card that a position depends on is
read here and written anew, and what is missing or makes no sense gives no position.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from astrolens.science.fits_header import Cards

_CELESTIAL = re.compile(r"(?:RA|DEC|[GESHT](?:LON|LAT)|[A-Z][A-Z](?:LN|LT))(?:-|$)")
_LATITUDE = re.compile(r"DEC|[A-Z]LAT|[A-Z]{2}LT")
_CTYPE = re.compile(r"(?P<name>[A-Z]{2,4})(?:-+(?P<projection>[A-Z]{3}))?(?:-+(?P<suffix>[A-Z]{3}))?$")
_UNITS = {
    **dict.fromkeys(("", "deg", "degs", "degree", "degrees"), "deg"),
    **dict.fromkeys(("arcsec", "arcsecs", "arcsecond", "arcseconds", "asec"), "arcsec"),
    **dict.fromkeys(("arcmin", "arcmins", "arcminute", "arcminutes", "amin"), "arcmin"),
    **dict.fromkeys(("rad", "radian", "radians"), "rad"),
    "mas": "mas",
}
_DEGREES = {"deg": 1.0, "arcsec": 1 / 3600, "arcmin": 1 / 60, "rad": 57.29577951308232, "mas": 1 / 3.6e6}
_PLATE = re.compile(
    rb"(?:[CV]?EQUINOX|RADESYS|(?:CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|CD[12]_[12]"
    rb"|AMD[XY]\d+|PPO\d|PLTRA[HMS]|PLTDEC[DMS]|PLTDECSN|[XY]PIXELSZ|CNPIX[12])$"
)
"""The keywords of a plate solution of the Digitized Sky Survey, with what may stand beside it."""
_SIP = re.compile(rb"[AB]_(?:ORDER|\d_\d)$")
_MAX_TAN_DEG = 180.0
"""On the plane, which ends at 90 degrees on the sky in infinity: capture programs write a degree a pixel by default."""
_SINGULAR = 1e-6
_STANDARD_TAN_PVS = 4
"""PVi_1 to PVi_4 of the longitude may turn a TAN (Calabretta & Greisen 2002, section 2.5)."""


class NoPlacement(Exception):
    """A header gives no position; its text says why, None where nothing in it is meant to give one."""

    def __init__(self, why: str | None) -> None:
        super().__init__(why or "")
        self.why = why


@dataclass(frozen=True, slots=True)
class WorldCards:
    """The world coordinates of an image.

    Attributes:
        axes: The numbers (from 1) of its axes on the sky, lower number first.
        text: A header of these two alone, as axes 1 and 2.
        has_sip: Whether it has a SIP distortion, which astropy applies.
        cards: The header that they come from.
        alternate: Empty, or the letter of the alternate description that they come from.
        notes: What was assumed or left out.
    """

    axes: tuple[int, int]
    text: bytes
    has_sip: bool
    cards: Cards
    alternate: str = ""
    notes: tuple[str, ...] = ()


def celestial_axes(cards: Cards, alternate: str = "") -> tuple[int, int] | None:
    """The numbers (from 1) of the axes with longitude and latitude by their CTYPE, lower number first."""
    found = [axis for axis in range(1, 9) if _CELESTIAL.match(cards.text(f"CTYPE{axis}{alternate}").upper())]
    return (found[0], found[1]) if len(found) == 2 else None


def world_cards(headers: Sequence[Cards], shape: Sequence[int]) -> WorldCards:
    """Read and check the world coordinates of an image.

    Args:
        headers: Of the image; then that of the file, where it holds for the image.
        shape: Lengths of all its axes in numpy's order, the slowest first.

    Raises:
        NoPlacement: There are none, or they give no position.
    """
    for place, cards in enumerate(headers):
        notes = ("Its world coordinates are those of the primary header.",) if place else ()
        if "AMDX1" in cards and "PPO3" in cards:
            return WorldCards((1, 2), _plate(cards), has_sip=False, cards=cards, notes=notes)
        for alternate in ("", *_alternates(cards)):
            axes = celestial_axes(cards, alternate)
            if axes is not None:
                return _Reader(cards, axes, alternate, [*notes]).read(_lengths(axes, shape))
    found = [name for axis in (1, 2) if (name := headers[0].text(f"CTYPE{axis}"))]
    raise NoPlacement(f"Its axes are {' and '.join(found)}, which is no position on the sky." if found else None)


def _alternates(cards: Cards) -> list[str]:
    """Letters of the further descriptions of the same image."""
    found = {chr(key[6]) for key in cards.by_keyword if len(key) == 7 and key.startswith(b"CTYPE")}
    return sorted(letter for letter in found if letter.isalpha())


def _lengths(axes: tuple[int, int], shape: Sequence[int]) -> list[int]:
    lengths = [shape[-axis] if axis <= len(shape) else 1 for axis in axes]
    if min(lengths) <= 1 < sum(length > 1 for length in shape):
        raise NoPlacement(f"Its axes {axes[0]} and {axes[1]} are the sky, which are not the axes of the picture.")
    return lengths


def _plate(cards: Cards) -> bytes:
    text = _card("NAXIS", 2)
    for keyword, card in cards.by_keyword.items():
        if _PLATE.match(keyword):
            name = keyword.decode()
            value = cards.value(name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            text += _card(name, value) if is_number else re.sub(rb"[^\x20-\x7e]", b" ", card)
    return text + b"END".ljust(80)


def _card(keyword: str, value: object) -> bytes:
    """A card as the standard has it: text from the 11th column, exponents in capitals."""
    shown = f"'{value:8}'" if isinstance(value, str) else f"{value!r:>20}".upper()
    return f"{keyword:8}= {shown}".ljust(80).encode()


@dataclass(slots=True)
class _Reader:
    """Reads the cards of one description of the world coordinates."""

    cards: Cards
    axes: tuple[int, int]
    alternate: str
    notes: list[str]
    _text: list[bytes] = field(default_factory=lambda: [_card("NAXIS", 2)])

    def read(self, lengths: Sequence[int]) -> WorldCards:
        types = [self._type(axis) for axis in self.axes]
        units = [self._unit(axis) for axis in self.axes]
        latitude = next((place for place, (name, _, _) in enumerate(types) if _LATITUDE.match(name)), 1)
        reach = self._reference(units, latitude, lengths)
        scale_deg = self._linear([_DEGREES[unit] for unit in units])
        projections = {projection for _, projection, _ in types}
        if "TAN" in projections and scale_deg * reach > _MAX_TAN_DEG:
            raise NoPlacement(
                f"Its pixels of {scale_deg:.3g} degrees reach more than {_MAX_TAN_DEG:g} degrees from CRPIX, "
                "which no tangent plane does."
            )
        powers = self._powers()
        has_sip = self._has_sip(types, powers, latitude)
        if not has_sip and "TAN" in projections and _is_polynomial(powers, latitude):
            types = [(name, "TPV" if projection == "TAN" else projection, suffix) for name, projection, suffix in types]
        self._powers_and_pole(types, powers, has_sip=has_sip)
        for number, ((name, projection, _), unit) in enumerate(zip(types, units, strict=True), start=1):
            ctype = f"{name:-<4}-{projection}{'-SIP' if has_sip else ''}" if projection else name
            self._text += [_card(f"CTYPE{number}", ctype), _card(f"CUNIT{number}", unit)]
        if has_sip:
            if not (self._has("CRPIX1") and self._has("CRPIX2")):
                raise NoPlacement("It has a SIP distortion without the CRPIX that this counts from.")
            self._sip()
        if projections & {"TNX", "ZPX"}:
            # Their polynomials are text.
            self._text += [card for keyword, card in self.cards.by_keyword.items() if keyword.startswith(b"WAT")]
        text = re.sub(rb"[^\x20-\x7e]", b" ", b"".join(self._text)) + b"END".ljust(80)
        return WorldCards(self.axes, text, has_sip, self.cards, self.alternate, tuple(self.notes))

    def _number(self, keyword: str, default: float | None = None) -> float | None:
        """The value of a keyword, `default` where there is no such card.

        Raises:
            NoPlacement: It has no value, or one that is no number.
        """
        name = keyword + self.alternate
        if name not in self.cards:
            return default
        number = self.cards.number(name)
        if number is None:
            value = self.cards.value(name)
            what = "has no value" if value in {None, ""} else f"is {str(value)[:30]!r}, which is no number"
            raise NoPlacement(f"{name} {what}: there is no position without it.")
        return number

    def _has(self, keyword: str) -> bool:
        return keyword + self.alternate in self.cards

    def _type(self, axis: int) -> tuple[str, str, str]:
        """Name of the coordinate, projection and suffix of its CTYPE, of which blanks and cases vary."""
        text = self.cards.text(f"CTYPE{axis}{self.alternate}").upper()
        found = _CTYPE.match(text)
        if found is None:
            raise NoPlacement(f"CTYPE{axis}{self.alternate} is {text[:20]!r}, which is no projection of the sky.")
        if found["projection"] is None:
            self.notes.append(f"CTYPE{axis}{self.alternate} names no projection: its degrees are taken as linear.")
        return found["name"], found["projection"] or "", found["suffix"] or ""

    def _unit(self, axis: int) -> str:
        text = self.cards.text(f"CUNIT{axis}{self.alternate}")
        unit = _UNITS.get(text.lower().rstrip("."))
        if unit is None:
            raise NoPlacement(
                f"CUNIT{axis}{self.alternate} is {text[:20]!r}, which is no unit of an angle that is read."
            )
        return unit

    def _reference(self, units: Sequence[str], latitude: int, lengths: Sequence[int]) -> float:
        """CRVAL and CRPIX, which are never taken for granted. Returns pixels from CRPIX to the farthest side."""
        values, pixels = [], []
        for number, axis in enumerate(self.axes, start=1):
            value = self._number(f"CRVAL{axis}")
            if value is None:
                raise NoPlacement(f"It has CTYPE{axis} but no CRVAL{axis}: there is no position without it.")
            pixel = self._number(f"CRPIX{axis}")
            if pixel is None:
                self.notes.append(f"CRPIX{axis} is missing and taken for 0, as the standard says.")
            values.append(value)
            pixels.append(pixel or 0.0)
            self._text += [_card(f"CRVAL{number}", value), _card(f"CRPIX{number}", pixel or 0.0)]
        if not any(values) and not any(pixels):
            raise NoPlacement("CRVAL and CRPIX are all 0: its world coordinates were never filled in.")
        degrees = [value * _DEGREES[unit] for value, unit in zip(values, units, strict=True)]
        if abs(degrees[latitude]) > 90 or abs(degrees[1 - latitude]) > 360:
            raise NoPlacement(f"CRVAL is {values[0]:g}, {values[1]:g}, which is no place on the sky.")
        return max(max(abs(pixel), abs(length - pixel)) for pixel, length in zip(pixels, lengths, strict=True))

    def _linear(self, degrees: Sequence[float]) -> float:
        """The matrix: CD, else PC with CDELT, else CDELT with CROTA. Returns degrees a pixel, for a look at it."""
        cd, pc = self._matrix("CD", 0.0), self._matrix("PC", None)
        if cd is not None and not any(map(any, cd)):
            self.notes.append("Its CD matrix is 0, and is ignored.")
            cd = None
        if cd is not None:
            if pc is not None:
                self.notes.append("It has a CD and a PC matrix, which exclude each other: CD is taken.")
            return self._emit_matrix("CD", cd, degrees)
        steps = []
        for number, axis in enumerate(self.axes, start=1):
            step = self._number(f"CDELT{axis}", 1.0 if pc is not None else None)
            if not step:
                raise NoPlacement(
                    f"CDELT{axis} is 0: its scale is not known."
                    if step == 0
                    else f"It has CRVAL{axis} but neither CDELT{axis} nor a CD matrix: its scale is not known."
                )
            steps.append(step)
            self._text.append(_card(f"CDELT{number}", step))
            if pc is None and (angle := self._number(f"CROTA{axis}")):
                self._text.append(_card(f"CROTA{number}", angle))
        if pc is None:
            return max(abs(step) * unit for step, unit in zip(steps, degrees, strict=True))
        return self._emit_matrix("PC", pc, [step * unit for step, unit in zip(steps, degrees, strict=True)])

    def _matrix(self, letters: str, diagonal: float | None) -> list[list[float]] | None:
        """The part of a matrix between both axes, by its names of today or of 1998; None where there is none."""
        for pattern in (f"{letters}{{}}_{{}}", f"{letters}{{:03}}{{:03}}"):
            names = [[pattern.format(row, column) for column in self.axes] for row in self.axes]
            if any(self._has(name) for line in names for name in line):
                ones = 1.0 if diagonal is None else diagonal
                return [
                    [self._number(name, ones if row == column else 0.0) or 0.0 for column, name in enumerate(line)]
                    for row, line in enumerate(names)
                ]
        return None

    def _emit_matrix(self, letters: str, matrix: Sequence[Sequence[float]], degrees: Sequence[float]) -> float:
        # wcslib would put a degree a pixel in the place of a row or column of zeros.
        (a, b), (c, d) = matrix
        if abs(a * d - b * c) <= _SINGULAR * max(abs(a), abs(b)) * max(abs(c), abs(d)):
            raise NoPlacement("Its world coordinates do not tell its axes apart.")
        self._text += [
            _card(f"{letters}{row}_{column}", value)
            for row, line in enumerate(matrix, start=1)
            for column, value in enumerate(line, start=1)
        ]
        return max(abs(value) * unit for line, unit in zip(matrix, degrees, strict=True) for value in line)

    def _powers(self) -> dict[tuple[int, int], float]:
        """PVi_m by axis (1 or 2 of the picture's) and number."""
        found: dict[tuple[int, int], float] = {}
        pattern = re.compile(rf"PV(\d)_(\d+){self.alternate}$".encode())
        for keyword in self.cards.by_keyword:
            if keyword[:2] == b"PV" and (match := pattern.match(keyword)) and int(match[1]) in self.axes:
                name = keyword.decode().removesuffix(self.alternate) if self.alternate else keyword.decode()
                found[self.axes.index(int(match[1])) + 1, int(match[2])] = self._number(name) or 0.0
        return found

    def _has_sip(
        self, types: Sequence[tuple[str, str, str]], powers: dict[tuple[int, int], float], latitude: int
    ) -> bool:
        """Whether SIP applies: not beside TPV, nor beside the polynomial of SCAMP where CTYPE does not say SIP."""
        if self.alternate or self.axes != (1, 2) or not ("A_ORDER" in self.cards or "B_ORDER" in self.cards):
            return False
        if any(projection == "TPV" for _, projection, _ in types):
            return False
        return any(suffix == "SIP" for _, _, suffix in types) or not (
            any(projection == "TAN" for _, projection, _ in types) and _is_polynomial(powers, latitude)
        )

    def _sip(self) -> None:
        for keyword in self.cards.by_keyword:
            if keyword[:2] in {b"A_", b"B_"} and _SIP.match(keyword):
                name = keyword.decode()
                value = self._number(name) or 0.0
                self._text.append(_card(name, int(value) if name.endswith("ORDER") else value))

    def _powers_and_pole(
        self, types: Sequence[tuple[str, str, str]], powers: dict[tuple[int, int], float], *, has_sip: bool
    ) -> None:
        if any(projection == "TPV" for _, projection, _ in types):
            # The convention's defaults; wcslib takes 0, which makes all pixels one place.
            powers = {(1, 1): 1.0, (2, 1): 1.0} | powers
        elif has_sip and any(projection == "TAN" for _, projection, _ in types):
            powers = {}
        self._text += [_card(f"PV{axis}_{number}", value) for (axis, number), value in powers.items()]
        for keyword in ("LONPOLE", "LATPOLE"):
            angle = self._number(keyword)
            if angle is not None:
                self._text.append(_card(keyword, angle))


def _is_polynomial(powers: dict[tuple[int, int], float], latitude: int) -> bool:
    """Whether the PV of a TAN are SCAMP's distortion (as TPV).

    The projection itself has none on the latitude, and on the longitude the place of its pole only, of which a first
    power of 1 makes no sense.
    """
    on_latitude = any(axis == latitude + 1 for axis, _ in powers)
    on_longitude = {number: value for (axis, number), value in powers.items() if axis == 2 - latitude}
    high = any(number > _STANDARD_TAN_PVS for number in on_longitude)
    linear = abs(on_longitude.get(1, 0.0) - 1.0) < 0.2 and abs(on_longitude.get(2, 0.0)) < 0.2
    return on_latitude or high or linear
