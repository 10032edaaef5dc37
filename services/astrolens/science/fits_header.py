"""Read the headers of a FITS file: cut into cards here, each value parsed by astropy when it is asked for.

`fits.Header` parses the same cards at 100 times the cost of the lookups that a picture needs.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from astropy.io import fits

from astrolens.science.rejection import DecodeLimits, ImageRejected

BLOCK_BYTES = 2880
_CARD_BYTES = 80
_MAX_HEADER_BYTES = 400 * BLOCK_BYTES
"""14,400 cards: the longest real headers, with all their processing history, have a few hundred blocks."""
_MAX_HDUS = 128
_MAX_AXES = 8
_BITPIX = frozenset({8, 16, 32, 64, -32, -64})
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e]")
_PLAIN_NUMBER = re.compile(rb" *(?:([+-]?\d+)|([+-]?(?:\d+\.?\d*|\.\d+)(?:[EeDd][+-]?\d+)?)) *(?:/|$)")
_PLAIN_TEXT = re.compile(rb" *'([\x20-\x25\x28-\x7e]*)' *(?:/|$)")
"""Without a quote in it, nor the ampersand of a text that goes on."""
_D_IS_E = bytes.maketrans(b"Dd", b"Ee")

Buffer = bytes | bytearray


@dataclass(slots=True)
class Cards:
    """The cards of one header by keyword, the first of each.

    Attributes:
        by_keyword: The whole card, 80 bytes.
    """

    by_keyword: dict[bytes, bytes]
    _values: dict[str, object] = field(default_factory=dict)

    def __contains__(self, keyword: str) -> bool:
        return keyword.encode() in self.by_keyword

    def value(self, keyword: str) -> object:
        """The value of a keyword; None where it is missing, empty or cannot be read."""
        if keyword not in self._values:
            card = self.by_keyword.get(keyword.encode())
            self._values[keyword] = None if card is None else _parsed(card)
        return self._values[keyword]

    def text(self, keyword: str) -> str:
        """The value of a keyword as text without spaces at its ends; empty where there is none."""
        value = self.value(keyword)
        return value.strip() if isinstance(value, str) else ""

    def number(self, keyword: str) -> float | None:
        """The value of a keyword as a finite number, also where it is written as text; None where it is none."""
        value = self.value(keyword)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        try:
            number = float(value.replace("D", "E").replace("d", "e") if isinstance(value, str) else value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None


def _parsed(card: bytes) -> object:
    # Nearly all cards are one of these, which take a microsecond instead of 20.
    if plain := _PLAIN_NUMBER.match(card, 10):
        whole, text = plain.groups()
        return int(whole) if whole is not None else float(text.translate(_D_IS_E))
    if plain := _PLAIN_TEXT.match(card, 10):
        return plain[1].decode().rstrip()
    try:
        value = fits.Card.fromstring(_UNPRINTABLE.sub(b"?", card)).value
    except (fits.VerifyError, ValueError):
        return None
    return None if isinstance(value, fits.card.Undefined) else value


@dataclass(frozen=True, slots=True)
class Hdu:
    """One header-data unit.

    Attributes:
        index: Position in the file, from 0.
        cards: Its header.
        data_start: Offset of the data in the file, bytes.
    """

    index: int
    cards: Cards
    data_start: int

    @property
    def is_compressed(self) -> bool:
        """Whether it is a table that holds a tile-compressed image."""
        return self.cards.value("ZIMAGE") is True

    @property
    def is_image(self) -> bool:
        """Whether it is an image with data."""
        if not self.is_compressed and (self.cards.text("XTENSION") or "IMAGE") != "IMAGE":
            return False
        shape = self.shape()
        return len(shape) >= 2 and math.prod(shape) > 0

    @property
    def name(self) -> str:
        """EXTNAME with EXTVER as astropy writes it, such as `SCI,1`; `PRIMARY` or `HDU n` where it has none."""
        name = self.cards.text("EXTNAME").upper()
        if not name or (name == "COMPRESSED_IMAGE" and self.is_compressed):
            return "PRIMARY" if self.index == 0 else f"HDU {self.index}"
        version = self.cards.value("EXTVER")
        return f"{name},{version}" if isinstance(version, int) else name

    def integer(self, keyword: str, default: int | None = None) -> int:
        """The value of a keyword.

        Raises:
            ImageRejected: `unreadable` where it is missing or no integer.
        """
        value = self.cards.value(keyword) if keyword in self.cards else default
        if not isinstance(value, int) or isinstance(value, bool):
            found = "has no" if keyword not in self.cards else f"has {str(value)[:30]!r} for"
            found = "has no readable" if value is None and keyword in self.cards else found
            raise ImageRejected("unreadable", f"The FITS header {found} {keyword}, which must be an integer.")
        return value

    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes of its image in numpy's order, the slowest first."""
        return self._shape("Z" if self.is_compressed else "")

    def _shape(self, prefix: str) -> tuple[int, ...]:
        axes = self.integer(f"{prefix}NAXIS", 0)
        if not 0 <= axes <= _MAX_AXES:
            raise ImageRejected("unreadable", f"The FITS header has {axes} axes; at most {_MAX_AXES} are read.")
        lengths = tuple(self.integer(f"{prefix}NAXIS{axis}") for axis in range(axes, 0, -1))
        if any(length < 0 for length in lengths):
            raise ImageRejected("unreadable", "The FITS header has an axis of negative length.")
        return lengths

    def data_bytes(self) -> int:
        """Size of the data without their padding (FITS standard 4.0, equation 2; random groups have NAXIS1 = 0)."""
        lengths = self._shape("")
        bitpix = self.integer("BITPIX")
        if bitpix not in _BITPIX:
            raise ImageRejected("unreadable", f"BITPIX is {bitpix}; 8, 16, 32, 64, -32 and -64 are read.")
        if not lengths:
            return 0
        if lengths[-1] == 0 and self.cards.value("GROUPS") is True:
            lengths = lengths[:-1]
        groups, parameters = self.integer("GCOUNT", 1), self.integer("PCOUNT", 0)
        if groups < 0 or parameters < 0:
            raise ImageRejected("unreadable", "The FITS header promises data of negative length.")
        return abs(bitpix) // 8 * groups * (parameters + math.prod(lengths))

    def check_length(self, data: Buffer) -> None:
        """Refuse a file that ends before its data do.

        Raises:
            ImageRejected: `truncated`.
        """
        promised, present = self.data_bytes(), max(0, len(data) - self.data_start)
        if promised > present:
            raise ImageRejected(
                "truncated", f"The FITS data end too early: {present} bytes of the {promised} that the header promises."
            )


def read_hdu(data: Buffer, start: int = 0, index: int = 0) -> Hdu:
    """Parse the header at an offset.

    Raises:
        ImageRejected: `truncated` where the file ends in it, `unreadable`.
    """
    cards: dict[bytes, bytes] = {}
    end = min(len(data), start + _MAX_HEADER_BYTES)
    for at in range(start, end - _CARD_BYTES + 1, _CARD_BYTES):
        card = bytes(data[at : at + _CARD_BYTES])
        keyword = card[:8].rstrip()
        if keyword == b"END":
            used = at + _CARD_BYTES - start
            return Hdu(index, Cards(cards), start + -(-used // BLOCK_BYTES) * BLOCK_BYTES)
        if card[8:10] == b"= ":
            cards.setdefault(keyword, card)
    if len(data) - start < _MAX_HEADER_BYTES:
        raise ImageRejected("truncated", "The FITS header ends too early: it has no END.")
    raise ImageRejected("unreadable", f"The FITS header has no END in its first {_MAX_HEADER_BYTES} bytes.")


def hdus(data: Buffer) -> Iterator[Hdu]:
    """The header-data units in their order; no data are read."""
    start = 0
    for index in range(_MAX_HDUS):
        if start >= len(data):
            return
        hdu = read_hdu(data, start, index)
        yield hdu
        start = hdu.data_start + -(-hdu.data_bytes() // BLOCK_BYTES) * BLOCK_BYTES


def check_first_header(head: bytes, limits: DecodeLimits, *, file_bytes: int) -> None:
    """Refuse a file by its first header, before the rest of it is inflated.

    Args:
        head: Beginning of the file; a header that does not end in it passes.
        limits: Bounds on the image.
        file_bytes: Size of the file as received, bytes.

    Raises:
        ImageRejected: `too-large`, `bomb`, `unreadable`.
    """
    try:
        hdu = read_hdu(head)
    except ImageRejected:
        return
    shape = hdu.shape()
    # A first image that is too small may be followed by the picture.
    if len(shape) >= 2 and math.prod(shape) > 0 and not is_too_small(shape, limits):
        check_size(shape, limits, file_bytes=file_bytes)


def check_size(shape: Sequence[int], limits: DecodeLimits, *, file_bytes: int) -> None:
    """Refuse an image by the lengths of its axes, numpy's order, whichever of them are rows and columns.

    Raises:
        ImageRejected: `too-large`, `bomb`, `too-small`.
    """
    height, width = _sides(shape, limits)
    planes = math.prod(shape) // max(1, height * width)
    limits.check_pixels(width, height, planes=planes, file_bytes=file_bytes)


def is_too_small(shape: Sequence[int], limits: DecodeLimits) -> bool:
    """Whether an image has fewer pixels a side than are needed."""
    return min(_sides(shape, limits)) < limits.min_side


def _sides(shape: Sequence[int], limits: DecodeLimits) -> tuple[int, int]:
    """Height and width: the fastest two axes that are long enough, else the fastest two that are none of length 1."""
    for shortest in (limits.min_side, 2, 1):
        long = [length for length in shape if length >= shortest]
        if len(long) >= 2:
            return long[-2], long[-1]
    return shape[-2], shape[-1]
