"""Catalogues on this machine as answers: OpenNGC, which comes with the package, and what was imported.

They always answer, and they say what they do not cover. A local copy under the name of a remote catalogue takes its
place: no call is made then. Private catalogues and watchlists are left out, because answers go into public alerts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from astrolens.contracts.base import utc_now
from astrolens.contracts.catalogues import CatalogueAnswer, Counterpart, MatchStatus
from astrolens.crossref.counterparts import ambiguity
from astrolens.crossref.places import Place
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues, PlaceAnswer
from astrolens.local_catalogues.catalogue_format import Manifest
from astrolens.science.match_radius import Target
from astrolens.science.matching import Match

_SHOWN = 3
_DAYS_PER_YEAR = 365.25


class LocalAnswers:
    """What the catalogues on this machine say of places. Called in a thread.

    Args:
        catalogues: The catalogues.
        required: Names of those whose answers are needed for `unmatched`.
    """

    def __init__(self, catalogues: LocalCatalogues, *, required: Sequence[str] = ()) -> None:
        self._catalogues = catalogues
        self._required = frozenset(required)

    def names(self) -> frozenset[str]:
        """The catalogues that answer now."""
        return frozenset(manifest.name for manifest in self._public())

    def states(self) -> dict[str, dict[str, Any]]:
        """What each is, for the heartbeat."""
        return {
            manifest.name: {
                "required": manifest.name in self._required,
                "host": "this machine",
                "release": manifest.release or manifest.title,
                "credit": manifest.credit or None,
                "local": True,
                "rows": manifest.rows,
                "breaker": "closed",
                "reason": None,
            }
            for manifest in self._public()
        }

    def answers(self, places: Sequence[Place]) -> dict[str, list[CatalogueAnswer]]:
        """The answers of every catalogue about each place, by its key."""
        manifests = {manifest.name: manifest for manifest in self._public()}
        # Not `extended` by the predicted class: every picture has one, also a star's (docs/catalogues.md).
        targets = [
            Target(ra_deg=place.ra_deg, dec_deg=place.dec_deg, epoch_year=julian_year(place.observed_at))
            for place in places
        ]
        found = self._catalogues.match(targets, names=list(manifests))
        now = utc_now()
        return {
            place.key: [self._answer(manifest, found[name][number], now) for name, manifest in manifests.items()]
            for number, place in enumerate(places)
        }

    def _public(self) -> list[Manifest]:
        return [each for each in self._catalogues.manifests() if not each.private and each.kind == "catalogue"]

    def _answer(self, manifest: Manifest, answer: PlaceAnswer, now: datetime) -> CatalogueAnswer:
        result = answer.result
        status = MatchStatus.NONE if result.status == "nothing" else MatchStatus.MATCHED
        counterparts = tuple(_counterpart(each, manifest) for each in result.matches[:_SHOWN])
        detail = ambiguity(status, counterparts)
        if status is MatchStatus.NONE and not answer.covered:
            status, detail = MatchStatus.NOT_COVERED, f"the place is outside of what {manifest.name} covers"
        return CatalogueAnswer(
            catalogue=manifest.name,
            required=manifest.name in self._required,
            status=status,
            detail=detail,
            radius_arcsec=answer.radius_arcsec,
            answered_at=now,
            release=manifest.release or manifest.title,
            counterparts=counterparts,
        )


def _counterpart(found: Match, manifest: Manifest) -> Counterpart:
    item = found.found
    major = item.semi_major_arcsec
    minor = item.semi_minor_arcsec
    return Counterpart(
        name=item.name,
        object_type=item.object_type or None,
        ra_deg=item.ra_deg % 360.0,
        dec_deg=item.dec_deg,
        separation_arcsec=found.separation_arcsec,
        matches=found.explains,
        chance_probability=found.chance_probability,
        major_axis_arcsec=None if major is None else 2 * major,
        minor_axis_arcsec=None if minor is None else 2 * minor,
        position_angle_deg=item.position_angle_deg,
        magnitude=item.magnitude,
        redshift=item.redshift,
        parallax_mas=item.parallax_mas,
        link=None if manifest.link is None else manifest.link.replace("{name}", quote(item.name)),
    )


def julian_year(moment: datetime | None) -> float | None:
    """A time as a Julian year."""
    if moment is None:
        return None
    begin = datetime(2000, 1, 1, 12, tzinfo=moment.tzinfo)
    return 2000.0 + (moment - begin).total_seconds() / 86_400.0 / _DAYS_PER_YEAR
