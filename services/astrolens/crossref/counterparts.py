"""The counterparts of an image among the objects of a catalogue, by `science.matching`."""

from collections.abc import Sequence
from typing import Final

from astrolens.contracts.catalogues import Counterpart, MatchStatus
from astrolens.crossref.catalogues.base import SEARCH_RADIUS_ARCSEC
from astrolens.crossref.known_objects import KnownObject
from astrolens.crossref.places import Place
from astrolens.science.match_radius import CatalogObject, Target
from astrolens.science.matching import Match, match, surroundings_of_answer
from astrolens.science.object_kinds import object_kind

_SHOWN: Final = 3
"""Counterparts that an answer names."""


def find_counterparts(
    place: Place, objects: Sequence[KnownObject], *, mean_density_per_deg2: float
) -> tuple[MatchStatus, tuple[Counterpart, ...]]:
    """Weigh the objects that a catalogue has around a place.

    Args:
        place: The place of the image.
        objects: All objects within the searched radius.
        mean_density_per_deg2: Of the catalogue.

    Returns:
        `matched` with what can be it, the best first; `matched` without any that explains the image, where objects lie
        so near that nobody can say it is unknown, and so would unrelated ones; `none` with the nearest known object.
    """
    if not objects:
        return MatchStatus.NONE, ()
    # Not `extended` by the predicted class: every picture has one, also a star's (docs/catalogues.md, "What matches").
    target = Target(ra_deg=place.ra_deg, dec_deg=place.dec_deg)
    pairs = [(_catalog_object(item), item) for item in objects]
    known = {id(each): item for each, item in pairs}
    catalog = [each for each, _ in pairs]
    around = surroundings_of_answer(
        target, catalog, radius_arcsec=SEARCH_RADIUS_ARCSEC, mean_density_per_deg2=mean_density_per_deg2
    )
    result = match(target, catalog, around)
    status = MatchStatus.NONE if result.status == "nothing" else MatchStatus.MATCHED
    shown = tuple(_counterpart(each, known[id(each.found)]) for each in result.matches[:_SHOWN])
    return status, shown


def ambiguity(status: MatchStatus, counterparts: Sequence[Counterpart]) -> str | None:
    """What to say where objects match and none of them explains the image."""
    if status is MatchStatus.MATCHED and not any(each.matches for each in counterparts):
        return "objects lie so near, and so would unrelated ones: nobody can say that it is unknown"
    return None


def _catalog_object(item: KnownObject) -> CatalogObject:
    return CatalogObject(
        name=item.name,
        ra_deg=item.ra_deg,
        dec_deg=item.dec_deg,
        object_type=item.object_type or "",
        kind=object_kind(item.object_type),
        error_arcsec=item.position_error_arcsec,
        semi_major_arcsec=None if item.major_axis_arcsec is None else item.major_axis_arcsec / 2,
        semi_minor_arcsec=None if item.minor_axis_arcsec is None else item.minor_axis_arcsec / 2,
        position_angle_deg=item.position_angle_deg,
        magnitude=item.magnitude,
        redshift=item.redshift,
        parallax_mas=item.parallax_mas,
    )


def _counterpart(found: Match, item: KnownObject) -> Counterpart:
    return Counterpart(
        name=item.name,
        object_type=item.object_type,
        ra_deg=item.ra_deg,
        dec_deg=item.dec_deg,
        separation_arcsec=found.separation_arcsec,
        matches=found.explains,
        chance_probability=found.chance_probability,
        major_axis_arcsec=item.major_axis_arcsec,
        minor_axis_arcsec=item.minor_axis_arcsec,
        position_angle_deg=item.position_angle_deg,
        magnitude=item.magnitude,
        redshift=item.redshift,
        parallax_mas=item.parallax_mas,
        references=item.references,
        link=item.link,
    )
