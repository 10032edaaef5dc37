"""One text for everything that names an image: an id or its beginning, a position, a name however it is written."""

import re
from dataclasses import dataclass

from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.coordinates import parse_position
from astrolens.usecases.image_queries import SEARCH_RADIUS_ARCSEC, ImageFilter, Sort, find_images
from astrolens.usecases.sky_positions import degrees_text
from astrolens.usecases.views import ImageCard

SHOWN = 6
"""Images found that are shown: as many as a person looks through."""

_IMAGE_ID = re.compile(r"^[0-9a-fA-F]{32}$")
_ID_PREFIX = re.compile(r"^[0-9a-fA-F]{6,31}$")
_EXTENSION = re.compile(r"\.(jpe?g|png|tiff?|fits?|fits\.gz)$", re.IGNORECASE)
_SEAM = re.compile(r"(?<=[A-Za-z])\s*(?=[0-9])")
"""Between the letters and the digits of a name, such as NGC 4567."""


@dataclass(frozen=True)
class Found:
    """What a text names.

    Attributes:
        says: What was understood, for people.
        query: As an address of the gallery filters by it; empty where the text names one image.
        cards: The newest images that fit, at most `SHOWN`.
    """

    says: str
    query: dict[str, str]
    cards: list[ImageCard]


async def search(records: RecordStore, text: str) -> Found:
    """The images that a person means.

    Args:
        records: The record store.
        text: As typed.
    """
    text = text.strip()
    if not text:
        return Found("", {}, [])
    if _IMAGE_ID.match(text):
        return Found("this image", {}, await _cards(records, ImageFilter(image_id=text.lower())))
    if _ID_PREFIX.match(text) and (cards := await _cards(records, ImageFilter(id_prefix=text.lower()))):
        return Found(f"ids that begin with {text.lower()}", {"q": text.lower()} if len(cards) > 1 else {}, cards)
    if position := parse_position(text):
        query = {
            "ra_deg": f"{position[0]:.6f}",
            "dec_deg": f"{position[1]:.6f}",
            "radius_arcsec": f"{SEARCH_RADIUS_ARCSEC:g}",
        }
        says = f"within {SEARCH_RADIUS_ARCSEC:g}″ of {degrees_text(*position)}"
        return Found(says, query, await _cards(records, ImageFilter().narrowed_by(text)))
    for name in _spellings(text):
        if cards := await _cards(records, ImageFilter(name=name)):
            return Found(f"names with “{name}”", {"q": name}, cards)
    return Found(f"names with “{text}”", {"q": text}, [])


def _spellings(text: str) -> list[str]:
    """A name as typed, without the ending of a file, and with and without the blank before its number."""
    bare = _EXTENSION.sub("", text)
    spellings = [text, bare, _SEAM.sub("", bare), _SEAM.sub(" ", bare), bare.replace(" ", "")]
    return list(dict.fromkeys(each for each in spellings if each))


async def _cards(records: RecordStore, wanted: ImageFilter) -> list[ImageCard]:
    found = await find_images(records, wanted, sort=Sort.NEWEST, limit=SHOWN)
    return [
        ImageCard.of(document, distance_arcsec=distance)
        for document, distance in zip(found.documents, found.distances, strict=True)
    ]
