"""What a person means by a text: an id or its beginning, an object's id, a position, a name however it is written."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, RecordStore
from astrolens.usecases.coordinates import Cone, impossible_position, parse_position
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.image_queries import SEARCH_RADIUS_ARCSEC, ImageFilter
from astrolens.usecases.sky_positions import degrees_text

LOOKUP_TIMEOUT_S: Final = 2.0
"""Longest look whether there is any image with a name or id; what takes longer counts as there."""

_IMAGE_ID = re.compile(r"^[0-9a-fA-F]{32,64}$")
"""Of a longer digest the id is the beginning."""
_ID_PREFIX = re.compile(r"^[0-9a-fA-F]{6,31}$")
_SHORT_ID_PREFIX = re.compile(r"^[0-9a-fA-F]{4,5}$")
"""So few digits are the number of a name rather than an id, which they are where no name has them."""
_OBJECT_ID_WITHOUT_DIGITS = re.compile(r"^[A-Za-z][\w.+:-]{2,99}$", re.ASCII)
_OBJECT_ID = re.compile(r"^(?=.*[0-9])[\w.+:-]{3,100}$", re.ASCII)
_EXTENSION = re.compile(r"\.(jpe?g|png|tiff?|fits?|fits\.gz)$", re.IGNORECASE)
_DIGITS: Final = {"PGC": 7, "LEDA": 7, "UGC": 5, "NGC": 4, "IC": 4}
"""Digits of the numbers of catalogues whose files are named with leading zeros."""
_NUMBERED = re.compile(rf"^({'|'.join(_DIGITS)})\s*0*([0-9]+)$", re.IGNORECASE)
_LETTER_DIGIT_GAP = re.compile(r"(?<=[A-Za-z])\s*(?=[0-9])")
"""Between the letters and the digits of a name, such as NGC 4567."""


@dataclass(frozen=True)
class ParsedSearch:
    """What a text names.

    Attributes:
        description: In words.
        wanted: The images that it names.
        one: Whether it can only be one image.
        impossible: Why the text is no position, a clause, where it is written as one and no image is called so.
    """

    description: str
    wanted: ImageFilter
    one: bool = False
    impossible: str = ""


async def parse_search_text(
    records: RecordStore, text: str, *, radius_arcsec: float = SEARCH_RADIUS_ARCSEC, within: ImageFilter | None = None
) -> ParsedSearch:
    """The images that a person means; of several meanings the first that some image has.

    Args:
        records: The record store.
        text: As typed.
        radius_arcsec: Around a position.
        within: Other conditions that the images fulfil.
    """
    text = text.strip()
    wanted = replace(within or ImageFilter(), text=None)
    if (parsed := await _by_id(records, text, wanted)) is not None:
        return parsed
    if position := parse_position(text):
        cone = Cone(ra_deg=position[0], dec_deg=position[1], radius_arcsec=radius_arcsec)
        return ParsedSearch(f"within {radius_arcsec:g}″ of {degrees_text(*position)}", replace(wanted, cone=cone))
    spellings = _spellings(text)
    # The beginning of a name is found by the index of names; a part of one costs a look at all of them.
    for name in dict.fromkeys(cased for each in spellings for cased in _cases(each)):
        if await _any(records, Clause("observation.name", "prefix", name)):
            return ParsedSearch(f"names that begin with “{name}”", replace(wanted, name_prefix=name))
    if _OBJECT_ID_WITHOUT_DIGITS.match(text) and (parsed := await _by_survey_id(records, text, wanted)) is not None:
        return parsed
    if (parsed := await _by_part(records, text, spellings, wanted)) is not None:
        return parsed
    impossible = impossible_position(text) or ""
    return ParsedSearch(f"names with “{text}”", replace(wanted, name=text), impossible=impossible)


async def _by_id(records: RecordStore, text: str, wanted: ImageFilter) -> ParsedSearch | None:
    """What an id names: of an image, of an object of the sky, or a survey's of its object; or the beginning of one."""
    if _IMAGE_ID.match(text):
        identity = text.lower()[:32]
        if await _any(records, Clause("object_id", "eq", identity)):
            return ParsedSearch("images of this object", replace(wanted, object_id=identity))
        return ParsedSearch("this image", replace(wanted, image_id=identity), one=True)
    if _ID_PREFIX.match(text) and await _any(records, Clause("image_id", "prefix", text.lower())):
        return ParsedSearch(f"ids that begin with {text.lower()}", replace(wanted, id_prefix=text.lower()))
    if _OBJECT_ID.match(text) or _padded(text):
        return await _by_survey_id(records, text, wanted)
    return None


async def _by_part(
    records: RecordStore, text: str, spellings: Sequence[str], wanted: ImageFilter
) -> ParsedSearch | None:
    for name in spellings:
        if await _any(records, Clause("observation.name", "contains", name)):
            return ParsedSearch(f"names with “{name}”", replace(wanted, name=name))
    if _SHORT_ID_PREFIX.match(text) and await _any(records, Clause("image_id", "prefix", text.lower())):
        return ParsedSearch(f"ids that begin with {text.lower()}", replace(wanted, id_prefix=text.lower()))
    return None


async def _by_survey_id(records: RecordStore, text: str, wanted: ImageFilter) -> ParsedSearch | None:
    for identity in dict.fromkeys((text, text.upper(), text.lower(), _as_broker(text), _padded(text) or text)):
        if await _any(records, Clause(SURVEY_OBJECT, "prefix", identity)):
            return ParsedSearch(
                f"object ids that begin with {identity}", replace(wanted, survey_object_prefix=identity)
            )
    return None


async def with_parsed_text(records: RecordStore, wanted: ImageFilter) -> ImageFilter:
    """A filter whose text, if it has one, has become conditions.

    Raises:
        InvalidRequest: The text is a position that cannot be.
    """
    if wanted.text is None:
        return wanted
    parsed = await parse_search_text(records, wanted.text, radius_arcsec=wanted.text_radius_arcsec, within=wanted)
    if parsed.impossible:
        raise InvalidRequest("Impossible position", impossible_sentence(wanted.text, parsed.impossible))
    return parsed.wanted


def impossible_sentence(text: str, impossible: str) -> str:
    """The sentence about a position that cannot exist."""
    return f"{text[:60]!r} is no place on the sky, and no image is called so: {impossible}."


SURVEY_OBJECT: Final = "observation.extra.object_id"


async def _any(records: RecordStore, clause: Clause) -> bool:
    return await records.count(Collection.IMAGES, (clause,), limit=1, within_s=LOOKUP_TIMEOUT_S) != 0


def _as_broker(text: str) -> str:
    """As brokers write the ids of alert streams: ZTF18abcdefg."""
    head = re.match(r"[A-Za-z]*", text)
    return text if head is None else head[0].upper() + text[head.end() :].lower()


def _cases(text: str) -> tuple[str, ...]:
    """A name in the cases that catalogues and files write."""
    return text, text.upper(), text.lower(), text.capitalize(), text.title()


def _padded(text: str) -> str:
    """A number of a catalogue with the zeros that its files write: PGC0021776; empty for what is none."""
    found = _NUMBERED.match(text)
    return f"{found[1].upper()}{found[2].zfill(_DIGITS[found[1].upper()])}" if found else ""


def _spellings(text: str) -> list[str]:
    """A name as typed, without the ending of a file, and with and without the blank before its number."""
    bare = _EXTENSION.sub("", text)
    spellings = [
        text,
        bare,
        _LETTER_DIGIT_GAP.sub("", bare),
        _LETTER_DIGIT_GAP.sub(" ", bare),
        bare.replace(" ", ""),
        _padded(bare),
    ]
    return list(dict.fromkeys(each for each in spellings if each))
