"""Where on the sky an image is, from the world coordinates in its header (Greisen & Calabretta 2002), by wcslib."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import erfa
import numpy as np
from astropy.wcs import WCS, Wcsprm
from numpy.typing import NDArray

from astrolens.science.fits_header import Cards

_KEYWORDS = re.compile(
    rb"(?:WCSAXES|WCSNAME|[CV]?EQUINOX|EPOCH|RADESYS|RADECSYS|LONPOLE|LATPOLE|MJD-OBS|DATE-OBS"
    rb"|(?:CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|PROJP)\d|(?:PC|CD|PV|PS)\d+_\d+|(?:PC|CD)\d{6}"
    rb"|(?:A|B|AP|BP)_(?:ORDER|\d+_\d+)|WAT\d_\d+|AMD[XY]\d+|PPO\d|PLTRA[HMS]|PLTDEC[DMS]|PLTDECSN|[XY]PIXELSZ|CNPIX[12])$"
)
"""What wcslib reads. The tables of lookup distortions (CPDIS, D2IM) are left out: they move pixels by less than one."""

_OF_ONE_AXIS = re.compile(rb"(?:CTYPE|CUNIT)\d$|(?:PV|PS)\d_\d+$")

_STEP = 0.5
"""Pixels from the centre over which the scale and the directions are taken."""

_SINGULAR = 1e-6
"""Sine of the angle between both axes on the sky, below which they are one."""

_SECONDS_PER_RADIAN = 206_264.806_247

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
    """

    ra_deg: float
    dec_deg: float
    frame: str
    pixel_scale_arcsec: float
    north_angle_deg: float
    mirrored: bool


class NoPlacement(Exception):
    """A header gives no position; its text says why, None where nothing in it is meant to give one."""

    def __init__(self, why: str | None) -> None:
        super().__init__(why or "")
        self.why = why


def celestial_axes(cards: Cards) -> tuple[int, int] | None:
    """The numbers (from 1) of the axes with longitude and latitude by their CTYPE, lower number first."""
    found = [axis for axis in range(1, 9) if _CELESTIAL.match(cards.text(f"CTYPE{axis}"))]
    return (found[0], found[1]) if len(found) == 2 else None


_CELESTIAL = re.compile(r"(?:RA|DEC|[GESHT](?:LON|LAT)|[A-Z][A-Z](?:LN|LT))(?:-|$)")


def placement(cards: Cards, shape: tuple[int, ...]) -> SkyPlacement:
    """Place an image on the sky.

    Args:
        cards: The header.
        shape: Lengths of all its axes in numpy's order, the slowest first.

    Raises:
        NoPlacement: It cannot be placed.
    """
    is_plate = "AMDX1" in cards and "PPO3" in cards
    axes = (1, 2) if is_plate else celestial_axes(cards)
    if axes is None:
        found = [name for axis in (1, 2) if (name := cards.text(f"CTYPE{axis}"))]
        why = f"Its axes are {' and '.join(found)}, which is no position on the sky." if found else None
        raise NoPlacement(why)
    further = max(0, min(8, int(cards.number("WCSAXES") or 0)) - len(shape))
    lengths = (*shape[::-1], *(1,) * further)
    centre = np.array([(length + 1) / 2 for length in lengths])
    if not is_plate:
        # On the other axes the reference pixel: a position does not depend on them.
        for index in range(len(lengths)):
            if index + 1 not in axes:
                centre[index] = cards.number(f"CRPIX{index + 1}") or 1.0
    points = np.tile(centre, (5, 1))
    for row, (axis, step) in enumerate(((0, _STEP), (0, -_STEP), (1, _STEP), (1, -_STEP)), start=1):
        points[row, axes[axis] - 1] += step
    longitude, latitude, system, equinox = _world(cards, points, axes)
    if not (np.isfinite(longitude).all() and np.isfinite(latitude).all()):
        raise NoPlacement("Its centre lies outside the projection of its world coordinates.")
    ra, dec, frame = _icrs(cards, np.radians(longitude), np.radians(latitude), system, equinox)
    return _from_points(ra, dec, frame)


def _world(
    cards: Cards, points: NDArray[np.float64], sky: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], str, float]:
    """Longitude and latitude of pixels in degrees, the name of the longitude, and the equinox (NaN without one)."""
    # What another axis is does not matter to a position, and a wrong unit of it would spoil all.
    axes = points.shape[1]
    others = tuple(str(axis).encode() for axis in range(1, axes + 1) if axis not in sky)
    text = b"".join(
        card
        for keyword, card in cards.by_keyword.items()
        if _KEYWORDS.match(keyword)
        and not (_OF_ONE_AXIS.match(keyword) and keyword.partition(b"_")[0].endswith(others))
    )
    text = re.sub(rb"[^\x20-\x7e]", b" ", text)
    # The NAXIS of a compressed image is that of its table.
    text = b"NAXIS   = %20d" % axes + b" " * 50 + text + b"END".ljust(80)
    try:
        # SIP, and the polynomials that early versions of SCAMP wrote for TAN, distort the first two axes.
        if any(f"{name}_ORDER" in cards for name in "AB") or "PV1_5" in cards:
            wcs = WCS(text, naxis=2 if axes > 2 else None)
            prm, world = wcs.wcs, wcs.all_pix2world(points[:, :2], 1)
        else:
            prm = Wcsprm(header=text, relax=True)
            prm.fix(translate_units="shd")
            prm.set()
            world = prm.p2s(points[:, : prm.naxis], 1)["world"]
    except Exception as error:  # noqa: BLE001 - wcslib raises many classes for headers that make no sense
        reason = str(error).strip().splitlines()
        raise NoPlacement(
            f"Its world coordinates cannot be used: {(reason or [type(error).__name__])[-1][:120]}."
        ) from None
    if prm.lng < 0 or prm.lat < 0:
        raise NoPlacement("Its world coordinates have no pair of celestial axes.")
    return world[:, prm.lng], world[:, prm.lat], prm.lngtyp.strip(), float(prm.equinox)


def _icrs(
    cards: Cards, longitude: NDArray[np.float64], latitude: NDArray[np.float64], system: str, equinox: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Positions in radians as ICRS right ascension and declination, and the name of the frame they came in.

    Raises:
        NoPlacement: The frame is none that can be turned into ICRS.
    """
    stated = (cards.text("RADESYS") or cards.text("RADECSYS")).upper()
    if not np.isfinite(equinox):
        equinox = cards.number("EQUINOX") or cards.number("EPOCH") or np.nan
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
    year = equinox if has_equinox else 1950.0 if system.startswith("FK4") else 2000.0
    at = Time(year, format="byear" if year < 1984 else "jyear")
    label = f"{'B' if year < 1984 else 'J'}{year:g}"
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


def _from_points(ra: NDArray[np.float64], dec: NDArray[np.float64], frame: str) -> SkyPlacement:
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
    )
