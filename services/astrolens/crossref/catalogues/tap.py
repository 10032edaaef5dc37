"""Questions to a TAP service about many places at once, with the places as an uploaded table and a key of our own."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.sax.saxutils import escape

from pydantic import ValidationError

from astrolens.crossref.catalogues.base import MAX_ROWS, SEARCH_RADIUS_ARCSEC, CatalogueRequest, ObjectsByPlace
from astrolens.crossref.catalogues.votable import Row
from astrolens.crossref.failures import CatalogueFailed
from astrolens.crossref.known_objects import KnownObject
from astrolens.crossref.places import Place, separation_arcsec

UPLOAD: Final = "places"
"""Name of the uploaded table."""

_MARGIN_ARCSEC: Final = 2.0
"""How far outside of the searched radius an object may lie: services compute distances in other ways."""


def uploading(url: str, query: str, places: Sequence[Place]) -> CatalogueRequest:
    """A synchronous TAP query (TAP 1.1, 2.7.6) with the places as `TAP_UPLOAD.places`: `k`, `ra`, `dec`."""
    rows = "".join(
        f"<TR><TD>{escape(place.key)}</TD><TD>{place.ra_deg!r}</TD><TD>{place.dec_deg!r}</TD></TR>" for place in places
    )
    table = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE name="places">'
        '<FIELD name="k" datatype="char" arraysize="*"/>'
        '<FIELD name="ra" datatype="double" unit="deg"/><FIELD name="dec" datatype="double" unit="deg"/>'
        f"<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    return CatalogueRequest(
        url=url,
        form={**_parameters(query), "UPLOAD": f"{UPLOAD},param:{UPLOAD}"},
        files={UPLOAD: ("places.xml", table)},
    )


def asking(url: str, query: str) -> CatalogueRequest:
    """A synchronous TAP query without an upload."""
    return CatalogueRequest(url=url, form=_parameters(query))


def cone(ra: str, dec: str, at_ra: str, at_dec: str) -> str:
    """The ADQL condition that a row's place lies in the searched radius around another."""
    radius = SEARCH_RADIUS_ARCSEC / 3600.0
    return f"1 = CONTAINS(POINT('ICRS', {ra}, {dec}), CIRCLE('ICRS', {at_ra}, {at_dec}, {radius!r}))"


def by_key(
    rows: Sequence[Row], places: Sequence[Place], *, host: str, to_object: Mapping[str, str] | None = None
) -> ObjectsByPlace:
    """Objects by the place that their row names; each must lie where it was looked for.

    Raises:
        CatalogueFailed: A row has no position, names no place that was asked about, or lies elsewhere.
    """
    by_place = {place.key: place for place in places}
    found: dict[str, list[KnownObject]] = {place.key: [] for place in places}
    for row in rows:
        place = by_place.get(str(row.get("key") or ""))
        if place is None:
            raise CatalogueFailed("wrong-key", f"{host} answers about a place that was not asked about")
        found[place.key].append(known_object(row, host=host, near=place, rename=to_object))
    return found


def by_distance(rows: Sequence[Row], places: Sequence[Place], *, host: str) -> ObjectsByPlace:
    """Objects by every place within whose searched radius they lie, for services that take no upload.

    Raises:
        CatalogueFailed: A row has no position, or lies near no place that was asked about.
    """
    found: dict[str, list[KnownObject]] = {place.key: [] for place in places}
    for row in rows:
        item = known_object(row, host=host)
        near = [
            place
            for place in places
            if separation_arcsec(place.ra_deg, place.dec_deg, item.ra_deg, item.dec_deg)
            <= SEARCH_RADIUS_ARCSEC + _MARGIN_ARCSEC
        ]
        if not near:
            raise CatalogueFailed("wrong-place", f"{host} answers with {item.name}, which is at no place asked about")
        for place in near:
            found[place.key].append(item)
    return found


def known_object(
    row: Row, *, host: str, near: Place | None = None, rename: Mapping[str, str] | None = None
) -> KnownObject:
    """The object of a row.

    Raises:
        CatalogueFailed: The row has no usable position or name, or lies far from `near`.
    """
    values: dict[str, Any] = {(rename or {}).get(key, key): value for key, value in row.items()}
    for name in ("major_axis_arcsec", "minor_axis_arcsec"):
        if values.get(name) is not None and not values[name] > 0:
            values[name] = None
    try:
        values["name"] = str(values.get("name") or "unnamed")
        values["ra_deg"] = float(values["ra_deg"]) % 360.0
        if values.get("references") is not None:
            values["references"] = int(values["references"])
        if values.get("object_type") is not None:
            values["object_type"] = str(values["object_type"])
        item = KnownObject.model_validate(values)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        # An object without a place can be anywhere, also where it was looked for.
        raise CatalogueFailed("bad-row", f"{host} sends a row that cannot be used: {error}"[:300]) from error
    if near is not None:
        away = separation_arcsec(near.ra_deg, near.dec_deg, item.ra_deg, item.dec_deg)
        if away > SEARCH_RADIUS_ARCSEC + _MARGIN_ARCSEC:
            raise CatalogueFailed("wrong-place", f"{host} answers with {item.name}, {away:.0f} arcsec from the place")
    return item


def _parameters(query: str) -> dict[str, str]:
    return {
        "REQUEST": "doQuery",
        "LANG": "ADQL",
        "FORMAT": "votable/td",
        "RESPONSEFORMAT": "votable/td",
        "MAXREC": str(MAX_ROWS),
        "QUERY": query,
    }
