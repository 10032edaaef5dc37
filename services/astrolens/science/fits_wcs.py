"""Where on the sky an image is, from the world coordinates in its header (Greisen & Calabretta 2002), by wcslib."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import erfa
import numpy as np
from astropy.wcs import WCS, Wcsprm
from numpy.typing import NDArray

from astrolens.science.fits_header import Cards
from astrolens.science.world_cards import NoPlacement, WorldCards, world_cards

__all__ = ["NoPlacement", "SkyPlacement", "placement"]

_STEP = 0.5
"""Pixels from the centre over which the scale and the directions are taken."""

_SINGULAR = 1e-6
"""Sine of the angle between both axes on the sky, below which they are one."""

_SECONDS_PER_RADIAN = 206_264.806_247

_SYSTEMS = {"ICRF": "ICRS", "UNKNOWN": "", "NONE": "", "N/A": ""}
_SYSTEM_BY_EQUINOX = re.compile(r"(?:FK[45])?[ /_(-]*([BJ])? *(\d{4}(?:\.\d*)?)\)?$")
"""What stands in RADESYS instead of a name: `J2000`, `FK5 (2000.0)`."""
_EQUINOX = re.compile(r"([BJ]?) *(\d{4}(?:\.\d*)?)$")
_FIRST_YEAR, _LAST_YEAR = 1800.0, 2100.0
_USUAL_EQUINOXES = frozenset({1900.0, 1950.0, 2000.0})

# Astropy tells of every bend in a header.
logging.getLogger("astropy").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class SkyPlacement:
    """How an image lies on the sky, ICRS.

    Attributes:
        ra_deg, dec_deg: Of the centre of the frame.
        frame: The frame of the header.
        pixel_scale_arcsec: The geometric mean of both axes.
        north_angle_deg: From up to north, counterclockwise, when the image is drawn with its first row at the bottom.
        mirrored: Whether east lies clockwise of north then.
        notes: What was assumed or left out.
    """

    ra_deg: float
    dec_deg: float
    frame: str
    pixel_scale_arcsec: float
    north_angle_deg: float
    mirrored: bool
    notes: tuple[str, ...] = ()


def placement(headers: Sequence[Cards], shape: tuple[int, ...], *, file_header: Cards | None = None) -> SkyPlacement:
    """Place an image on the sky.

    Args:
        headers: Of the image; then that of the file, where its world coordinates hold for the image.
        shape: Lengths of all its axes in numpy's order, the slowest first.
        file_header: The first header of the file, which is asked for the frame where the image's own has none.

    Raises:
        NoPlacement: It cannot be placed.
    """
    cards = world_cards(headers, shape)
    # On the other axes a position does not depend.
    centre = [(shape[-axis] + 1) / 2 for axis in cards.axes]
    points = np.array(centre) + _STEP * np.array([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)])
    longitude, latitude, system = _world(cards, points)
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        raise NoPlacement("Its centre lies outside the projection of its world coordinates.")
    notes = [*cards.notes]
    asked = [cards.cards] if file_header is None or file_header is cards.cards else [cards.cards, file_header]
    stated, equinox = _stated_frame(asked, cards.alternate, notes)
    ra, dec, frame = _icrs(np.radians(longitude), np.radians(latitude), system, stated, equinox)
    return _from_points(ra, dec, frame, tuple(notes))


def _world(cards: WorldCards, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Longitude and latitude of pixels in degrees, and the name of the longitude."""
    try:
        if cards.has_sip:
            wcs = WCS(cards.text)
            prm, world = wcs.wcs, wcs.all_pix2world(points, 1)
        else:
            prm = Wcsprm(header=cards.text, relax=True)
            prm.fix()
            prm.set()
            world = prm.p2s(points, 1)["world"]
    except Exception as error:  # noqa: BLE001 - wcslib raises many classes for headers that make no sense
        reason = str(error).strip().splitlines()
        raise NoPlacement(
            f"Its world coordinates cannot be used: {(reason or [type(error).__name__])[-1][:120]}."
        ) from None
    if prm.lng < 0 or prm.lat < 0:
        raise NoPlacement("Its world coordinates have no pair of celestial axes.")
    return world[:, prm.lng], world[:, prm.lat], prm.lngtyp.strip()


def _stated_frame(headers: Sequence[Cards], alternate: str, notes: list[str]) -> tuple[str, float]:
    """The reference system and the equinox (NaN without one) of the first header that states one of them."""
    for cards in headers:
        system = (cards.text(f"RADESYS{alternate}") or cards.text("RADECSYS")).upper()
        named = _SYSTEM_BY_EQUINOX.match(system)
        if named:
            return ("FK4" if named[1] == "B" else "FK5"), float(named[2])
        system = _SYSTEMS.get(system, system)
        for keyword in dict.fromkeys((f"EQUINOX{alternate}", "EQUINOX", "EPOCH")):
            if keyword not in cards:
                continue
            letter, equinox = _equinox(cards, keyword)
            if equinox is None:
                notes.append(f"{keyword} is {str(cards.value(keyword))[:20]!r}, which is no equinox, and is ignored.")
                continue
            if keyword == "EPOCH" and not system and equinox not in _USUAL_EQUINOXES:
                notes.append(f"EPOCH {equinox:g} is taken for the equinox of its coordinates.")
            return system or {"B": "FK4", "J": "FK5"}.get(letter, ""), equinox
        if system:
            return system, np.nan
    return "", np.nan


def _equinox(cards: Cards, keyword: str) -> tuple[str, float | None]:
    """The letter of an equinox (B, J or none) and its year, such as 1950, `B1950` or `J2000.0`."""
    found = _EQUINOX.match(cards.text(keyword).upper())
    year = float(found[2]) if found else cards.number(keyword)
    return found[1] if found else "", year if year is not None and _FIRST_YEAR <= year <= _LAST_YEAR else None


def _icrs(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64], system: str, stated: str, equinox: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Positions in radians as ICRS right ascension and declination, and the name of the frame they came in.

    Raises:
        NoPlacement: The frame is none that can be turned into ICRS.
    """
    if system == "RA":
        # FITS standard 4.0, section 8.3: without RADESYS the equinox tells.
        default = "ICRS" if not np.isfinite(equinox) else "FK4" if equinox < 1984 else "FK5"
        name = stated or default
        if name == "ICRS":
            return longitude, latitude, "ICRS"
        if name == "FK5" and (not np.isfinite(equinox) or equinox == 2000.0):
            zero = np.zeros_like(longitude)
            ra, dec = erfa.fk52h(longitude, latitude, zero, zero, zero, zero)[:2]
            return ra, dec, "FK5 J2000"
        system = name
    return _transformed(longitude, latitude, system, equinox)


def _transformed(
    longitude: NDArray[np.float64], latitude: NDArray[np.float64], system: str, equinox: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """The same by astropy.coordinates, which takes a millisecond or two."""
    from astropy import coordinates, units  # noqa: PLC0415 - few headers need it
    from astropy.time import Time  # noqa: PLC0415

    has_equinox = bool(np.isfinite(equinox))
    is_fk4 = system.startswith("FK4")
    year = equinox if has_equinox else 1950.0 if is_fk4 else 2000.0
    at = Time(year, format="byear" if is_fk4 else "jyear")
    label = f"{'B' if is_fk4 else 'J'}{year:g}"
    frames: dict[str, tuple[Callable[[], Any], str]] = {
        "FK5": (lambda: coordinates.FK5(equinox=at), f"FK5 {label}"),
        "FK4": (lambda: coordinates.FK4(equinox=at), f"FK4 {label}"),
        "FK4-NO-E": (lambda: coordinates.FK4NoETerms(equinox=at), f"FK4-NO-E {label}"),
        "GLON": (coordinates.Galactic, "galactic"),
        "SLON": (coordinates.Supergalactic, "supergalactic"),
        "ELON": (lambda: coordinates.BarycentricMeanEcliptic(equinox=at), f"ecliptic {label}"),
    }
    if system not in frames:
        raise NoPlacement(f"Its coordinates are in the frame {system[:20]}, which cannot be turned into ICRS.")
    frame, name = frames[system]
    sphere = coordinates.UnitSphericalRepresentation(longitude * units.rad, latitude * units.rad)
    position = coordinates.SkyCoord(frame().realize_frame(sphere)).icrs
    return position.ra.rad, position.dec.rad, name


def _from_points(ra: NDArray[np.float64], dec: NDArray[np.float64], frame: str, notes: tuple[str, ...]) -> SkyPlacement:
    """The placement from the positions of the centre and of four points right, left, above and below it, radians."""
    vectors = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)
    alpha, delta = ra[0], dec[0]
    east = np.array([-np.sin(alpha), np.cos(alpha), 0.0])
    north = np.array([-np.sin(delta) * np.cos(alpha), -np.sin(delta) * np.sin(alpha), np.cos(delta)])
    right, up = vectors[1] - vectors[2], vectors[3] - vectors[4]
    # Columns of the Jacobian: radians to the east and to the north a pixel to the right, and a pixel up.
    jacobian = np.array([[right @ east, up @ east], [right @ north, up @ north]]) / (2 * _STEP)
    determinant = float(np.linalg.det(jacobian))
    scale = np.sqrt(abs(determinant)) * _SECONDS_PER_RADIAN
    if not np.isfinite(scale) or abs(determinant) <= _SINGULAR * float(np.linalg.norm(right) * np.linalg.norm(up)):
        raise NoPlacement("Its world coordinates do not tell its axes apart.")
    x, y = np.linalg.solve(jacobian, [0.0, 1.0])
    ra_deg = float(np.degrees(alpha)) % 360.0
    return SkyPlacement(
        ra_deg=0.0 if ra_deg >= 360.0 else ra_deg,
        dec_deg=float(np.degrees(delta)),
        frame=frame,
        pixel_scale_arcsec=float(scale),
        north_angle_deg=float(np.degrees(np.arctan2(-x, y))),
        # On the sky, seen from inside, east is to the left of north.
        mirrored=determinant > 0,
        notes=notes,
    )
