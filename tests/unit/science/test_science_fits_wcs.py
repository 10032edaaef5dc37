"""Every form of world coordinates against astropy: position, scale, north and parity, and the picture that follows."""

import io
import itertools
import warnings

import numpy as np
import pytest
from astrolens.science.cutouts import Cutout, decode_cutout, make_cutout
from astropy import units
from astropy.coordinates import BarycentricMeanEcliptic, SkyCoord, Supergalactic
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

from tests.made_scenes import HEIGHT, WIDTH, assert_scene, fits_file, scene, stored

Header = dict[str, object]

TAN: Header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 11.0, "CRPIX2": 23.5}
SCALE = 1e-4
"""Degrees a pixel: 0.36 arcsec."""


def cd(angle_deg: float, *, mirrored: bool = False, name: str = "CD") -> Header:
    """A matrix with north `angle_deg` counterclockwise of up."""
    angle = np.radians(angle_deg)
    east = 1.0 if mirrored else -1.0
    unit = 1.0 if name == "PC" else SCALE
    matrix = {
        f"{name}1_1": east * unit * np.cos(angle),
        f"{name}1_2": east * unit * np.sin(angle),
        f"{name}2_1": -unit * np.sin(angle),
        f"{name}2_2": unit * np.cos(angle),
    }
    return {**matrix, "CDELT1": SCALE, "CDELT2": SCALE} if name == "PC" else matrix


def at(ra: float, dec: float) -> Header:
    return {"CRVAL1": ra, "CRVAL2": dec}


PLAIN: Header = {"CDELT1": -SCALE, "CDELT2": SCALE}
SIP: Header = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRPIX1": 11.0, "CRPIX2": 23.5,
    "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 2e-4, "A_0_2": 1e-4, "B_1_1": -3e-4, "B_2_0": 1e-4,
}  # fmt: skip

FORMS: dict[str, Header] = {
    **{
        f"{name} {angle} {'mirrored' if mirrored else 'sky'}": {
            **TAN, **at(150.0 + angle, -20.0 + angle / 9), **cd(angle, mirrored=mirrored, name=name)
        }
        for name, angle, mirrored in itertools.product(("CD", "PC"), (0, 30, 90, 135, -170, -75), (False, True))
    },
    **{
        f"CROTA2 {angle} CDELT1 {sign:+d}": {
            **TAN, **at(40, 5), "CDELT1": sign * SCALE, "CDELT2": SCALE, "CROTA2": angle
        }
        for angle, sign in itertools.product((0.0, 33.0, -120.0), (-1, 1))
    },
    "CDELT alone": {**TAN, **at(10, 10), **PLAIN},
    "south up": {**TAN, **at(10, 10), "CDELT1": SCALE, "CDELT2": -SCALE},
    "south up, mirrored": {**TAN, **at(10, 10), "CDELT1": -SCALE, "CDELT2": -SCALE},
    "pixels that are not square": {**TAN, **at(10, 10), "CDELT1": -SCALE, "CDELT2": 1.5 * SCALE},
    "RA = 0": {**TAN, **at(0.0001, -0.2), **cd(20)},
    "RA just below 360": {**TAN, **at(359.9999, 0.0), **cd(-20)},
    "north pole": {**TAN, **at(123.0, 89.9999), **cd(15)},
    "south pole": {**TAN, **at(200.0, -89.999), **cd(75)},
    "at the pole": {**TAN, **at(0.0, 90.0), **cd(0)},
    "LONPOLE": {**TAN, **at(80.0, 30.0), **cd(10), "LONPOLE": 150.0},
    "SIP": {**SIP, **at(201.0, -43.0), **cd(33)},
    "SIP without its suffix": {**SIP, **TAN, **at(201.0, -43.0), **cd(33)},
    "SIP, mirrored": {**SIP, **at(201.0, -43.0), **cd(-100, mirrored=True)},
    "TPV": {
        **TAN, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", **at(66.0, 12.0), **cd(5), "PV1_0": 0.0, "PV1_1": 1.0,
        "PV1_2": 0.01, "PV2_0": 0.0, "PV2_1": 1.0, "PV2_4": 0.02,
    },
    "SIP beside the polynomial of SCAMP": {
        **SIP, **at(66.0, 12.0), **cd(5), "PV1_0": 0.0, "PV1_1": 1.0, "PV1_4": 1e-3, "PV1_7": 2e-3,
        "PV1_5": 1e-3, "PV2_1": 1.0, "PV2_5": 1e-3,
    },
    "TAN with the polynomial of early SCAMP": {
        **TAN, **at(66.0, 12.0), **cd(5), "PV1_0": 1e-4, "PV1_1": 1.0, "PV1_2": 0.01, "PV1_5": 0.02, "PV2_0": 0.0,
        "PV2_1": 1.0, "PV2_5": 0.01,
    },
    "swapped axes": {
        **TAN, "CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", **at(-33.0, 17.0), "CDELT1": SCALE, "CDELT2": -SCALE
    },
    "swapped axes, rotated": {**TAN, "CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", **at(61.0, 359.9), **cd(40)},
    **{
        projection: {**TAN, "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}", **at(120, 25), **cd(25)}
        for projection in ("SIN", "ARC", "STG", "ZEA", "CAR", "MER", "AIT", "GLS")
    },
    "units of arcsec": {
        **TAN, **at(36_000.0, 7200.0), "CDELT1": -0.36, "CDELT2": 0.36, "CUNIT1": "arcsec", "CUNIT2": "arcsec"
    },
    "units misspelt": {**TAN, **at(10, 10), **PLAIN, "CUNIT1": "DEGREE", "CUNIT2": "degrees"},
    "ICRS": {**TAN, **at(10, 10), **cd(12), "RADESYS": "ICRS"},
    "FK5": {**TAN, **at(10, 10), **cd(12), "RADESYS": "FK5", "EQUINOX": 2000.0},
    "FK5 by its equinox": {**TAN, **at(10, 10), **cd(12), "EQUINOX": 2000.0},
    "FK5 of 2015": {**TAN, **at(10, 80), **cd(12), "RADESYS": "FK5", "EQUINOX": 2015.5},
    "FK4": {**TAN, **at(10, 10), **cd(12), "RADESYS": "FK4", "EQUINOX": 1950.0},
    "FK4 by its equinox": {**TAN, **at(300, -70), **cd(12), "EQUINOX": 1950.0},
    "FK4 by EPOCH": {**TAN, **at(300, -70), **cd(12), "EPOCH": 1950.0},
    "RADECSYS": {**TAN, **at(300, -70), **cd(12), "RADECSYS": "FK5", "EQUINOX": 1975.0},
    "galactic": {**TAN, "CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", **at(0, 0), **cd(0)},
    "galactic, CAR": {**TAN, "CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", **at(121.0, 0), **cd(0)},
    **{
        f"{name} {frame}": {
            **TAN, "CTYPE1": f"{name}LON-TAN", "CTYPE2": f"{name}LAT-TAN", **at(47.0, -12.0), **cd(20), **frame
        }
        for name, frame in (
            ("S", {}), ("S", {"RADESYS": "FK5"}), ("E", {}), ("E", {"EQUINOX": 2000.0}),
            ("E", {"RADESYS": "FK5", "EQUINOX": 1975.0}),
        )
    },
    "a table of lookup distortions is left out": {**TAN, **at(10, 10), **cd(12), "CPDIS1": "LOOKUP", "DP1.EXTVER": 1.0},
}  # fmt: skip

_WRITTEN = ("CPDIS1", "DP1.EXTVER")


def expected(header: Header) -> tuple[SkyCoord, float, float, bool]:
    """Centre, scale in arcsec, angle of north and parity by astropy's high-level interface, with small steps."""
    cards = fits.Header({key: value for key, value in header.items() if key not in _WRITTEN})
    cards["NAXIS"], cards["NAXIS1"], cards["NAXIS2"] = 2, WIDTH, HEIGHT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(cards)
        x, y = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
        places = np.array([x, x + 0.5, x - 0.5, x, x]), np.array([y, y, y, y + 0.5, y - 0.5])
        if header["CTYPE1"][:4] in {"ELON", "SLON"}:  # type: ignore[index]
            # The high-level interface takes them for right ascension where RADESYS is there, and else for numbers.
            equinox = Time(header.get("EQUINOX", 2000.0), format="jyear")
            ecliptic = BarycentricMeanEcliptic(equinox=equinox)
            frame_of_header = ecliptic if header["CTYPE1"][0] == "E" else Supergalactic()  # type: ignore[index]
            points = SkyCoord(*wcs.all_pix2world(*places, 0), unit="deg", frame=frame_of_header)
        else:
            points = wcs.pixel_to_world(*places)
    centre, right, left, up, down = points.icrs
    frame = centre.skyoffset_frame()
    steps = [
        [(after.transform_to(frame).lon - before.transform_to(frame).lon).wrap_at(180 * units.deg).arcsec,
         (after.transform_to(frame).lat - before.transform_to(frame).lat).arcsec]
        for after, before in ((right, left), (up, down))
    ]  # fmt: skip
    jacobian = np.array(steps).T
    determinant = np.linalg.det(jacobian)
    toward_north = np.linalg.solve(jacobian, [0.0, 1.0])
    return centre, abs(determinant) ** 0.5, np.degrees(np.arctan2(-toward_north[0], toward_north[1])), determinant > 0


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_of_world_coordinates_is_as_astropy_has_it(form: str) -> None:
    header = FORMS[form]
    facts = make_cutout(fits_file(fits.PrimaryHDU(stored(scene()).astype(np.float32)), **header)).file
    centre, scale, angle, mirrored = expected(header)
    assert facts.ra_deg is not None
    assert facts.dec_deg is not None
    assert facts.pixel_scale_arcsec is not None
    assert facts.north_angle_deg is not None
    assert 0 <= facts.ra_deg < 360
    found = SkyCoord(facts.ra_deg, facts.dec_deg, unit="deg")
    assert found.separation(centre).arcsec <= 0.1
    assert facts.pixel_scale_arcsec == pytest.approx(scale, rel=1e-3)
    assert facts.mirrored == mirrored
    if abs(facts.dec_deg) < 89.9999:
        assert abs((facts.north_angle_deg - angle + 180) % 360 - 180) <= 0.1


def test_there_are_at_least_60_of_them() -> None:
    assert len(FORMS) >= 60


# --- the picture is north up, east left -----------------------------------------------------------------------------


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_the_picture_is_north_up_and_east_left(turns: int, mirrored: bool) -> None:
    """The scene as it is on the sky, stored in all eight ways with the header that belongs to each."""
    values, angle = scene(), 0.0
    for _ in range(turns):
        values, angle = np.rot90(values), angle + 90.0
    if mirrored:
        values, angle = values[:, ::-1], -angle
    header = {**TAN, **at(150, 2), **cd(angle, mirrored=mirrored)}
    cutout = make_cutout(fits_file(fits.PrimaryHDU(stored(values)), **header))
    assert_scene(cutout)
    assert cutout.orientation == "north up, east left"
    assert cutout.north_angle_deg == pytest.approx(0.0, abs=0.01)
    assert cutout.turned == (turns % 2 == 1)
    assert (cutout.original_width, cutout.original_height) == values.shape[::-1]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [20.0, -30.0, 70.0, 160.0, -100.0])
def test_a_finer_rotation_is_told(angle: float, mirrored: bool) -> None:
    """The star north-west of the centre is there in the picture, to the angle that the record has."""
    side = 101
    y, x = np.mgrid[:side, :side]
    north = np.radians(angle)
    east_step = np.array([np.cos(north), np.sin(north)]) * (1 if mirrored else -1)
    north_step = np.array([-np.sin(north), np.cos(north)])
    star = 50 + 30 * north_step - 20 * east_step
    values = np.random.default_rng(1).normal(100, 2, (side, side))
    values += 500 * np.exp(-((x - star[0]) ** 2 + (y - star[1]) ** 2) / 4)
    header = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 51.0, "CRPIX2": 51.0, **at(150, 2)}
    cutout = make_cutout(fits_file(fits.PrimaryHDU(values), **header, **cd(angle, mirrored=mirrored)))
    rest = np.radians(cutout.north_angle_deg or 0.0)
    assert abs(rest) <= np.pi / 4 + 1e-6
    picture = decode_cutout(cutout.jpeg).mean(axis=2)
    rows, columns = np.nonzero(picture > 200)
    up, right = 50 - rows.mean(), columns.mean() - 50
    # Turned by the rest, north is up and west to the right.
    found = (up * np.cos(rest) - right * np.sin(rest), up * np.sin(rest) + right * np.cos(rest))
    assert found == pytest.approx((30, 20), abs=0.5)
    assert cutout.orientation is not None
    assert "quarter turns only" in cutout.orientation


# --- no position ------------------------------------------------------------------------------------------------------


def facts_of(**cards: object) -> Cutout:
    return make_cutout(fits_file(fits.PrimaryHDU(stored(scene())), **cards))


@pytest.mark.parametrize(
    ("cards", "note"),
    [
        ({}, None),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "LINEAR"),
        ({"CTYPE1": "DETX", "CTYPE2": "DETY"}, "DETX and DETY"),
        ({**TAN, **at(10, 10), "CDELT1": 0.0, "CDELT2": 0.0}, "CDELT1 is 0"),
        ({**TAN, **at(10, 10), "CD1_1": 1e-4, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 1e-4}, "do not tell"),
        ({**TAN, "CTYPE1": "RA---XYZ", "CTYPE2": "DEC--XYZ", **at(10, 10), **PLAIN}, "cannot be used"),
        ({**TAN, **at(10, 10), **PLAIN, "RADESYS": "GAPPT"}, "GAPPT"),
        ({**TAN, "CTYPE1": "RA---AIT", "CTYPE2": "DEC--AIT", **at(0, 0), "CDELT1": -30.0, "CDELT2": 30.0}, "outside"),
    ],
    ids=str,
)
def test_a_header_without_a_usable_position_says_why(cards: Header, note: str | None) -> None:
    if note == "outside":
        cards = {**cards, "CRPIX1": -200.0}
    cutout = facts_of(**cards)
    assert_scene(cutout)
    assert (cutout.file.ra_deg, cutout.north_angle_deg) == (None, None)
    if note is None:
        assert not cutout.file.notes
    else:
        assert any(note in text for text in cutout.file.notes), cutout.file.notes
    assert "as stored" in (cutout.orientation or "")


def test_where_the_telescope_pointed_is_no_position() -> None:
    facts = facts_of(OBJCTRA="12 30 49.4", OBJCTDEC="-00 12 30").file
    assert facts.ra_deg is None
    assert facts.extra == {"pointing_ra": "12 30 49.4", "pointing_dec": "-00 12 30"}
    assert any("pointed" in note for note in facts.notes)
    assert facts_of(**TAN, **at(10, 10), **PLAIN, RA=11.0, DEC=9.0).file.extra == {}


def test_world_coordinates_win_over_roworder() -> None:
    header = {**TAN, **at(10, 10), **PLAIN, "ROWORDER": "TOP-DOWN"}
    assert_scene(facts_of(**header))


def test_a_cube_has_the_position_of_its_first_axes() -> None:
    cube = np.stack([stored(scene(seed=seed)) for seed in range(3)]).astype(np.float32)
    spectral = {"CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CRPIX3": 1.0, "CDELT3": 1e6, "CUNIT3": "Hz"}
    header = {**TAN, **at(10, 10), **cd(12)}
    facts = make_cutout(fits_file(fits.PrimaryHDU(cube), **header, **spectral)).file
    centre, scale, angle, _ = expected(header)
    assert SkyCoord(facts.ra_deg, facts.dec_deg, unit="deg").separation(centre).arcsec < 0.1
    assert facts.pixel_scale_arcsec == pytest.approx(scale, rel=1e-3)
    assert facts.north_angle_deg == pytest.approx(angle, abs=0.1)


def test_a_wrong_unit_of_another_axis_costs_no_position() -> None:
    """astropy refuses all of it."""
    cube = np.stack([stored(scene(seed=seed)) for seed in range(3)]).astype(np.float32)
    header = {**TAN, **at(10, 10), **cd(12)}
    facts = make_cutout(fits_file(fits.PrimaryHDU(cube), **header, CTYPE3="WAVE", CUNIT3="Hz", CDELT3=1.0)).file
    assert SkyCoord(facts.ra_deg, facts.dec_deg, unit="deg").separation(expected(header)[0]).arcsec < 0.1


def test_a_compressed_image_has_its_position() -> None:
    buffer = io.BytesIO()
    header = {**TAN, **at(10, 10), **cd(12)}
    hdu = fits.CompImageHDU(stored(np.round(scene())).astype(np.int16), fits.Header(header), compression_type="RICE_1")
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(buffer)
    facts = make_cutout(buffer.getvalue()).file
    assert SkyCoord(facts.ra_deg, facts.dec_deg, unit="deg").separation(expected(header)[0]).arcsec < 0.1
