"""Which catalogued objects explain an image at a place on the sky. Pure functions, the same for every catalogue.

u, the *normalised separation*, is the separation in units of the radius of the object's match ellipse in this direction
(`match_radius.py`): u <= 1 is a match. What it is worth depends on chance, on the object's type, and on its brightness.

The chance that an unrelated object matches at least as well is P = 1 - exp(-u^2 L): L is the share of the sky around
the place that match ellipses cover. Without outlines it is the usual 1 - exp(-pi r^2 n) (Downes et al. 1986, MNRAS 218,
31; Bloom, Kulkarni & Djorgovski 2002, AJ 123, 1111). At random places P <= p happens with probability p.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from astrolens.science.match_radius import (
    DEFAULT_OBJECT_ERROR_ARCSEC,
    CatalogObject,
    Target,
    ellipse_radius,
    error_radius_arcsec,
    match_ellipse_arcsec,
    outline_arcsec,
)
from astrolens.science.object_kinds import POINT_KINDS, ObjectKind
from astrolens.science.sphere import ARCSEC_PER_DEGREE, position_angle_deg, separation_arcsec

Relation = Literal["centred", "inside", "foreground", "member", "by_chance", "outside", "no_object"]
MatchStatus = Literal["explained", "ambiguous", "nothing"]

MAX_CHANCE: Final = 0.1
"""A counterpart explains nothing where unrelated objects match so well more often than this."""

CENTRED: Final = 0.5
"""Within half of its ellipse the image is of the object itself, beyond it of a part of it."""

GROUP_AS_ONE_OBJECT_ARCSEC: Final = 120.0
"""A pair or triplet of this radius is what an image shows; a larger group does not explain one strange member."""

_MAGNITUDE_SLOPE: Final = 0.6
"""d log10 N / dm of sources with uniform density in space."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """How crowded the catalogue is around a place.

    Attributes:
        covered: L, the sum of the match ellipses of the objects around, for this target, divided by the area of the sky
            that holds them.
        objects: How many objects were counted; 0: the density is not known.
    """

    covered: float
    objects: int


@dataclass(frozen=True, kw_only=True)
class Match:
    """One object and what it has to do with the image.

    Attributes:
        match_radius_arcsec: Radius of its match ellipse in the direction of the image.
        normalised_separation: u: separation in units of that radius.
        chance_probability: Probability that an unrelated object matches at least as well; None: density not known.
        relation: `centred` on the object, `inside` its outline, a `foreground` point in front of an extended object, a
            `member` of a group, `by_chance`, `outside` its ellipse, or `no_object` where the entry is an error.
        explains: Whether the image is known for this object.
    """

    found: CatalogObject
    separation_arcsec: float
    position_angle_deg: float
    match_radius_arcsec: float
    normalised_separation: float
    chance_probability: float | None
    relation: Relation
    explains: bool


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """What one catalogue's objects say of an image.

    Attributes:
        status: `explained`: at least one object explains the image. `ambiguous`: objects match, but unrelated ones do
            too; it must not be called unknown. `nothing`: no object matches.
        matches: Best first: those that explain the image, then others within their ellipse, then the nearest.
        nearest: The nearest object of those given, whatever it is; None where none was given.
    """

    status: MatchStatus
    matches: tuple[Match, ...]
    nearest: Match | None


def chance_probability(normalised_separation: float, covered: float) -> float:
    """P = 1 - exp(-u^2 L): how often an unrelated object matches at least as well.

    Args:
        normalised_separation: u.
        covered: L, of `Surroundings`.
    """
    return -math.expm1(-(normalised_separation**2) * covered)


def surroundings_of_answer(
    target: Target, objects: Sequence[CatalogObject], *, radius_arcsec: float, mean_density_per_deg2: float
) -> Surroundings:
    """How crowded the place is, from all objects that a catalogue gave in a circle around it.

    Those that match may be the counterpart and say nothing of chance, so they are left out; one object more at the
    catalogue's mean density keeps an empty circle from meaning that chance is impossible (the mean of a gamma-Poisson
    posterior whose prior weighs one object).

    Args:
        target: The centre of the circle.
        objects: Everything within it.
        radius_arcsec: Its radius; several times that of a match, or few objects are left to count.
        mean_density_per_deg2: Of the catalogue over the sky that it covers.
    """
    circle = math.pi * radius_arcsec**2
    ellipses = [match_ellipse_arcsec(target, each) for each in objects]
    areas = [min(math.pi * major * minor, circle) for major, minor, _ in ellipses]
    point = math.pi * float(error_radius_arcsec(target.sigma_arcsec, DEFAULT_OBJECT_ERROR_ARCSEC)) ** 2
    typical = float(np.median(areas)) if areas else point
    outside = sum(
        area
        for each, area in zip(objects, areas, strict=True)
        if _match_object(target, each, None).normalised_separation > 1.0
    )
    return Surroundings(
        covered=(outside + typical) / (circle + ARCSEC_PER_DEGREE**2 / mean_density_per_deg2), objects=len(objects) + 1
    )


def match(target: Target, objects: Sequence[CatalogObject], surroundings: Surroundings | None) -> MatchResult:
    """Weigh a catalogue's objects around a place.

    Args:
        target: The image.
        objects: The objects around it, in any order. Those outside their ellipse are only looked at for the nearest.
        surroundings: How crowded the place is; None: not known, then no match is put down to chance.
    """
    judged = [_match_object(target, each, surroundings) for each in objects]
    if not judged:
        return MatchResult(status="nothing", matches=(), nearest=None)
    nearest = min(judged, key=lambda each: each.separation_arcsec)
    inside = _behind_extended([each for each in judged if each.normalised_separation <= 1.0])
    faintest = max((each.found.magnitude for each in inside if each.found.magnitude is not None), default=0.0)
    inside.sort(key=lambda each: (not each.explains, _rank(each, faintest)))
    status: MatchStatus = "nothing"
    if any(each.explains for each in inside):
        status = "explained"
    elif any(each.relation == "by_chance" for each in inside):
        status = "ambiguous"
    shown = inside if nearest.normalised_separation <= 1.0 else [*inside, nearest]
    nearest = next(each for each in shown if each.found is nearest.found)
    return MatchResult(status=status, matches=tuple(shown), nearest=nearest)


def _match_object(target: Target, found: CatalogObject, surroundings: Surroundings | None) -> Match:
    separation = float(separation_arcsec(target.ra_deg, target.dec_deg, found.ra_deg, found.dec_deg))
    direction = float(position_angle_deg(found.ra_deg, found.dec_deg, target.ra_deg, target.dec_deg))
    major, minor, angle = match_ellipse_arcsec(target, found)
    radius = float(ellipse_radius(major, minor, direction - angle))
    u = separation / radius if radius > 0.0 else (0.0 if separation == 0.0 else math.inf)
    chance = None
    if surroundings is not None and surroundings.objects:
        chance = chance_probability(u, surroundings.covered) if math.isfinite(u) else 1.0
    relation = _relation(target, found, u, chance, error_arcsec=minor - outline_arcsec(found)[1], separation=separation)
    return Match(
        found=found,
        separation_arcsec=separation,
        position_angle_deg=(direction + 180.0) % 360.0,
        match_radius_arcsec=radius,
        normalised_separation=u,
        chance_probability=chance,
        relation=relation,
        explains=relation in {"centred", "inside"},
    )


def _relation(
    target: Target, found: CatalogObject, u: float, chance: float | None, *, error_arcsec: float, separation: float
) -> Relation:
    if u > 1.0:
        return "outside"
    if found.kind is ObjectKind.ARTEFACT:
        return "no_object"
    extended = target.extended or (target.radius_arcsec or 0.0) > error_arcsec
    if found.kind in POINT_KINDS and extended and not _outshines(found.magnitude, target.magnitude):
        return "foreground"
    if (
        found.kind is ObjectKind.GALAXY_GROUP
        and separation > error_arcsec
        and outline_arcsec(found)[0] > GROUP_AS_ONE_OBJECT_ARCSEC
    ):
        return "member"
    if chance is not None and chance > MAX_CHANCE:
        return "by_chance"
    return "centred" if u <= CENTRED or separation <= error_arcsec else "inside"


def _outshines(magnitude: float | None, other: float | None) -> bool:
    return magnitude is not None and other is not None and magnitude < other


def _behind_extended(inside: list[Match]) -> list[Match]:
    """A point inside the outline of an extended object is a part of it or stands before it, unless it outshines it."""
    extended = [each.found for each in inside if each.explains and each.found.kind not in POINT_KINDS]
    extended = [each for each in extended if outline_arcsec(each)[0] > 0.0]
    if not extended:
        return inside
    brightest = min((each.magnitude for each in extended if each.magnitude is not None), default=None)
    return [
        replace(each, relation="foreground", explains=False)
        if each.explains and each.found.kind in POINT_KINDS and not _outshines(each.found.magnitude, brightest)
        else each
        for each in inside
    ]


def _rank(each: Match, faintest: float) -> float:
    """The better, the smaller: the expected number of objects as near and as bright, up to a factor (log10).

    Where several objects match, the number of unrelated ones is proportional to u^2 n(<= m), with n growing as
    10^(0.6 m) where sources have a uniform density in space (after Sutherland & Saunders 1992, MNRAS 259, 413). One
    without a magnitude counts as the faintest of them.
    """
    magnitude = faintest if each.found.magnitude is None else each.found.magnitude
    # At u = 0 only brightness counts: positions are not better known than a hundredth of their radius.
    return 2.0 * math.log10(max(each.normalised_separation, 0.01)) + _MAGNITUDE_SLOPE * magnitude
