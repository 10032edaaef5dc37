"""Complete what is known of an image from what its file states. What a person or a source gave wins."""

from dataclasses import asdict
from typing import Any

from astrolens.contracts.image_files import FileHeader, Origin, PixelQuality
from astrolens.contracts.records import Observation, Position, Receipt, truncate_extra
from astrolens.science.facts import FileFacts, PixelFacts

MERGED_FIELDS = ("position", "pixel_scale_arcsec", "observed_at", "bands")
"""The fields of an observation that a header can fill; `extra` is merged key by key. A packet also fills `survey`, and
the name of its object takes the place of the file's."""

UNKNOWN_SURVEY = "unknown"


def file_header(facts: FileFacts) -> FileHeader:
    """What a decoder found in a file's header, for the record.

    Raises:
        ValidationError: It is out of bounds.
    """
    return FileHeader.model_validate(asdict(facts))


def pixel_quality(facts: PixelFacts) -> PixelQuality:
    """What a decoder measured, for the record.

    Raises:
        ValidationError: It is out of bounds.
    """
    return PixelQuality.model_validate(asdict(facts))


def with_header(
    given: Observation, header: FileHeader | None, origins: dict[str, Origin] | None = None
) -> tuple[Observation, dict[str, Origin]]:
    """Fill the empty fields of an observation from a header.

    Args:
        given: What is known so far.
        header: What the file states.
        origins: Where the values of `given` came from; by default they were given.

    Returns:
        The observation, and where each of its values in `MERGED_FIELDS` came from.
    """
    known: dict[str, Origin] = {
        field: (origins or {}).get(field, "given") for field in MERGED_FIELDS if not _is_empty(getattr(given, field))
    }
    if (origins or {}).get("name") == "file":
        known["name"] = "file"
    if header is None:
        return given, known
    stated: dict[str, Any] = {
        "position": _position(header),
        "pixel_scale_arcsec": header.pixel_scale_arcsec,
        "observed_at": header.observed_at,
        "bands": header.bands,
    }
    added = {field: value for field, value in stated.items() if field not in known and not _is_empty(value)}
    if header.survey is not None and given.survey == UNKNOWN_SURVEY:
        added["survey"] = header.survey
    # An object may have many FITS files; their own names tell them apart.
    is_packet = header.axis_3 == "stamps"
    if is_packet and header.name is not None and (given.name is None or known.get("name") == "file"):
        added["name"] = header.name
        known["name"] = "header"
    extra = truncate_extra({**given.extra, **{k: v for k, v in header.extra.items() if k not in given.extra}})
    if extra != given.extra:
        added["extra"] = extra
    for field in added:
        if field in MERGED_FIELDS:
            known[field] = "header"
    return (given.model_copy(update=added) if added else given), known


def name_origin(receipt: Receipt) -> dict[str, Origin]:
    """Whether the name of an arrival is its file's: uploads and the watched folder call it so where they know none."""
    name = receipt.observation.name
    if name is None:
        return {}
    path = str(receipt.observation.extra.get("path", receipt.ref))
    file = path.rsplit("/", 1)[-1]
    # A long one is cut at either end.
    return {"name": "file" if name in {file, file[-200:], file[:200]} else "given"}


def _position(header: FileHeader) -> Position | None:
    if header.ra_deg is None or header.dec_deg is None:
        return None
    return Position.model_validate({"ra_deg": header.ra_deg, "dec_deg": header.dec_deg})


def _is_empty(value: object) -> bool:
    return value is None or value == ()
