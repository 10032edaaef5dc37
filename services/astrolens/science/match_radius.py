"""How far from a catalogued object an image may lie and still show it: not one constant.

An object matches where the image's position lies in its *match ellipse*: its outline (semi-axes a, b), each axis
enlarged by the error radius e that both positions allow.

- e = k sqrt(s_image^2 + s_object^2), with k = sqrt(-2 ln(1 - 0.997)): the separation of two positions of one source
  with Gaussian errors s along each axis follows a Rayleigh distribution (de Ruiter, Willis & Arp 1977, A&AS 28, 211).
- The radius of the outline in a direction is the directional light radius (Sullivan et al. 2006, ApJ 648, 868; Gupta et
  al. 2016, AJ 152, 154).
- A galaxy without an outline but with a redshift has the radius that 30 kpc span at its distance, 300 arcsec at most.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astrolens.science.object_kinds import ObjectKind
from astrolens.science.sphere import ARCSEC

Floats = NDArray[np.float64]

MATCH_COMPLETENESS: Final = 0.997
"""Share of true counterparts within the error radius: three sigma of a normal distribution."""

ERROR_RADIUS_SIGMAS: Final = math.sqrt(-2.0 * math.log(1.0 - MATCH_COMPLETENESS))
"""The Rayleigh quantile of that share, 3.41."""

DEFAULT_IMAGE_ERROR_ARCSEC: Final = 1.0
"""Of an image whose source gives none, one sigma along each axis: surveys centre cutouts to a pixel or two."""

DEFAULT_OBJECT_ERROR_ARCSEC: Final = 0.5
"""Of a catalogue that gives none: an optical centre, one sigma along each axis."""

CENTRING_FRACTION: Final = 0.1
"""The centre of an extended object depends on band and method by about a tenth of its radius."""

SCALE_LENGTH_KPC: Final = 30.0
MAX_SCALED_RADIUS_ARCSEC: Final = 300.0
"""Physical radius within which a galaxy without an outline owns what is seen, and its limit on the sky: those that BOOM
uses for NED's galaxies."""

_HUBBLE_DISTANCE_KPC: Final = 4.283e6
"""c / H0 for H0 = 70 km/s/Mpc."""
_DECELERATION: Final = -0.55
"""q0 of a flat universe with a matter density of 0.3."""
_MAX_EXPANSION_REDSHIFT: Final = 0.5
"""The series in z holds to 5 % up to here; beyond, 30 kpc stay between 4 and 5 arcsec."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The place that an image shows.

    Attributes:
        ra_deg: Right ascension, ICRS, degrees.
        dec_deg: Declination, ICRS, degrees.
        error_arcsec: One sigma along each axis; None: `DEFAULT_IMAGE_ERROR_ARCSEC`.
        radius_arcsec: Radius of the object in the image, where it was measured.
        extended: Whether the image shows an extended object; None: not known.
        magnitude: Of the object, where it is calibrated.
        epoch_year: Julian year of the observation; None: not known, proper motions are not applied.
    """

    ra_deg: float
    dec_deg: float
    error_arcsec: float | None = None
    radius_arcsec: float | None = None
    extended: bool | None = None
    magnitude: float | None = None
    epoch_year: float | None = None

    @property
    def sigma_arcsec(self) -> float:
        """The error of its position along each axis, with that of its centring."""
        error = DEFAULT_IMAGE_ERROR_ARCSEC if self.error_arcsec is None else self.error_arcsec
        return math.hypot(error, CENTRING_FRACTION * (self.radius_arcsec or 0.0))


@dataclass(frozen=True, kw_only=True)
class CatalogObject:
    """What a catalogue says of one object. Its position is at the epoch of the image already.

    Attributes:
        name: Its main name.
        object_type: The type in the catalogue's own words.
        kind: What that means for matching.
        error_arcsec: One sigma of its position along each axis; None: `DEFAULT_OBJECT_ERROR_ARCSEC`.
        semi_major_arcsec: Of its outline.
        semi_minor_arcsec: Of its outline; None: round.
        position_angle_deg: Of the major axis, from north through east; None: not known, the outline is taken as round.
        magnitude: Optical, whichever band the catalogue has.
        aliases: Other names.
    """

    name: str
    ra_deg: float
    dec_deg: float
    object_type: str = ""
    kind: ObjectKind = ObjectKind.UNKNOWN
    error_arcsec: float | None = None
    semi_major_arcsec: float | None = None
    semi_minor_arcsec: float | None = None
    position_angle_deg: float | None = None
    magnitude: float | None = None
    redshift: float | None = None
    parallax_mas: float | None = None
    aliases: tuple[str, ...] = ()


def error_radius_arcsec(image_sigma_arcsec: ArrayLike, object_sigma_arcsec: ArrayLike) -> Floats:
    """e: the radius that holds `MATCH_COMPLETENESS` of the true counterparts, for errors along each axis."""
    return ERROR_RADIUS_SIGMAS * np.hypot(image_sigma_arcsec, object_sigma_arcsec)


def ellipse_radius(semi_major: ArrayLike, semi_minor: ArrayLike, angle_from_major_deg: ArrayLike) -> Floats:
    """The radius of an ellipse in a direction, in the unit of its axes."""
    major, minor = np.asarray(semi_major, dtype=np.float64), np.asarray(semi_minor, dtype=np.float64)
    angle = np.radians(angle_from_major_deg)
    # A point has no direction, and 0 / 0 is not asked for.
    along = np.hypot(minor * np.cos(angle), major * np.sin(angle))
    return np.divide(major * minor, along, out=np.zeros(np.broadcast(along, major).shape), where=along > 0)


def scaled_radius_arcsec(redshift: ArrayLike) -> Floats:
    """The angle that `SCALE_LENGTH_KPC` span at a redshift, `MAX_SCALED_RADIUS_ARCSEC` at most (nearby or negative z).

    The angular diameter distance is (c/H0) z (1 - (1 + q0) z / 2) / (1 + z) (Weinberg 1972, eq. 14.6.8).
    """
    z = np.clip(redshift, 0.0, _MAX_EXPANSION_REDSHIFT)
    distance = _HUBBLE_DISTANCE_KPC * z * (1.0 - (1.0 + _DECELERATION) * z / 2.0) / (1.0 + z)
    nearest = SCALE_LENGTH_KPC / (MAX_SCALED_RADIUS_ARCSEC / ARCSEC)
    return SCALE_LENGTH_KPC / np.maximum(distance, nearest) * ARCSEC


def outline_arcsec(found: CatalogObject) -> tuple[float, float, float]:
    """Semi-axes (arcsec) and position angle (degrees) of what belongs to an object; of a point 0, 0, 0."""
    major = found.semi_major_arcsec or 0.0
    if major > 0.0:
        minor = found.semi_minor_arcsec or major
        # An ellipse that may lie in any direction covers its circle.
        if found.position_angle_deg is None:
            return major, major, 0.0
        return major, min(minor, major), found.position_angle_deg
    if found.kind is ObjectKind.GALAXY and found.redshift is not None and math.isfinite(found.redshift):
        radius = float(scaled_radius_arcsec(found.redshift))
        return radius, radius, 0.0
    return 0.0, 0.0, 0.0


def match_ellipse_arcsec(target: Target, found: CatalogObject) -> tuple[float, float, float]:
    """Semi-axes (arcsec) and position angle (degrees) of the ellipse in which the target is a match."""
    sigma = DEFAULT_OBJECT_ERROR_ARCSEC if found.error_arcsec is None else found.error_arcsec
    error = float(error_radius_arcsec(target.sigma_arcsec, sigma))
    major, minor, angle = outline_arcsec(found)
    return major + error, minor + error, angle
