"""The images that a text names, for the search box."""

from dataclasses import dataclass

from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.image_queries import Sort, find_images
from astrolens.usecases.search_text import impossible_sentence, parse_search_text
from astrolens.usecases.views import ImageCard

MAX_RESULTS = 6
"""Images found that are shown: as many as a person looks through."""


@dataclass(frozen=True)
class SearchResult:
    """What a text names.

    Attributes:
        description: What was understood, for people.
        query: As an address of the gallery filters by it; empty where the text names one image.
        cards: The newest images that fit, at most `MAX_RESULTS`.
        problem: A sentence where the text can name nothing, such as a position beyond the pole; empty otherwise.
    """

    description: str
    query: dict[str, str]
    cards: list[ImageCard]
    problem: str = ""


async def search(records: RecordStore, text: str) -> SearchResult:
    """The images that a person means.

    Args:
        records: The record store.
        text: As typed.
    """
    text = text.strip()
    if not text:
        return SearchResult("", {}, [])
    parsed = await parse_search_text(records, text)
    if parsed.impossible:
        return SearchResult("", {}, [], impossible_sentence(text, parsed.impossible))
    wanted = parsed.wanted
    found = await find_images(records, wanted, sort=Sort.NEWEST, limit=MAX_RESULTS)
    cards = [
        ImageCard.of(document, distance_arcsec=distance)
        for document, distance in zip(found.documents, found.distances, strict=True)
    ]
    if wanted.cone is not None:
        query = {
            "ra_deg": f"{wanted.cone.ra_deg:.6f}",
            "dec_deg": f"{wanted.cone.dec_deg:.6f}",
            "radius_arcsec": f"{wanted.cone.radius_arcsec:g}",
        }
        return SearchResult(parsed.description, query, cards)
    only = parsed.one or (len(cards) == 1 and not (wanted.name or wanted.name_prefix))
    return SearchResult(parsed.description, {} if only else {"q": wanted.name or wanted.name_prefix or text}, cards)
