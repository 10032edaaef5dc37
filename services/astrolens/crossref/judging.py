"""Which of a catalogue's objects can be what an image shows."""

from collections.abc import Sequence
from math import exp
from typing import Final, Protocol

from astrolens.contracts.catalogues import Counterpart
from astrolens.crossref.catalogues.base import SEARCH_RADIUS_ARCSEC
from astrolens.crossref.known_objects import KnownObject
from astrolens.crossref.places import Place, inside_ellipse, position_angle_deg, separation_arcsec

MATCH_RADIUS_ARCSEC: Final = 5.0
"""Position error of an image whose source does not tell it."""
_SHOWN: Final = 3
"""Counterparts that an answer names."""


class Judge(Protocol):
    """Weighs a catalogue's objects around a place."""

    def __call__(self, place: Place, objects: Sequence[KnownObject]) -> tuple[Counterpart, ...]:
        """Those that can be what the image shows, the best first; where none can, the nearest with `matches` false."""


def by_position(place: Place, objects: Sequence[KnownObject]) -> tuple[Counterpart, ...]:
    """Objects within the position errors, or whose ellipse holds the place; see `Judge`.

    The chance probability is 1 - exp(-pi r^2 n) with the density n of the objects in the searched cone (Downes et al.
    1986, MNRAS 218, 31).
    """
    density = (len(objects) + 1) / SEARCH_RADIUS_ARCSEC**2
    counterparts = sorted(
        (_counterpart(place, item, density) for item in objects), key=lambda each: each.separation_arcsec
    )
    matching = tuple(each for each in counterparts if each.matches)[:_SHOWN]
    return matching or tuple(counterparts[:1])


def _counterpart(place: Place, item: KnownObject, density: float) -> Counterpart:
    away = separation_arcsec(place.ra_deg, place.dec_deg, item.ra_deg, item.dec_deg)
    matches = away <= max(MATCH_RADIUS_ARCSEC, 3 * (item.position_error_arcsec or 0.0))
    if not matches and item.major_axis_arcsec is not None:
        matches = inside_ellipse(
            away,
            position_angle_deg(item.ra_deg, item.dec_deg, place.ra_deg, place.dec_deg),
            major_arcsec=item.major_axis_arcsec,
            minor_arcsec=item.minor_axis_arcsec or item.major_axis_arcsec,
            angle_deg=item.position_angle_deg or 0.0,
        )
    return Counterpart(
        name=item.name,
        object_type=item.object_type,
        ra_deg=item.ra_deg,
        dec_deg=item.dec_deg,
        separation_arcsec=away,
        matches=matches,
        chance_probability=1.0 - exp(-density * away**2),
        major_axis_arcsec=item.major_axis_arcsec,
        minor_axis_arcsec=item.minor_axis_arcsec,
        position_angle_deg=item.position_angle_deg,
        magnitude=item.magnitude,
        redshift=item.redshift,
        parallax_mas=item.parallax_mas,
        references=item.references,
        link=item.link,
    )
