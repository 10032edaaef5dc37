"""World coordinates that are written wrongly: read as they are meant, or refused, never a wrong place."""

import itertools
import warnings

import numpy as np
import pytest
from astrolens.science.cutouts import make_cutout
from astrolens.science.fits_header import read_hdu
from astrolens.science.fits_wcs import NoPlacement, SkyPlacement, placement
from astropy.coordinates import FK4, FK5, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from tests.made_scenes import HEIGHT, WIDTH, assert_scene, fits_file, scene, stored

Written = dict[str, str]
"""Values as a header has them, quotes and all."""

TAN: Written = {"CTYPE1": "'RA---TAN'", "CTYPE2": "'DEC--TAN'"}
PLACE: Written = {"CRVAL1": "83.6", "CRVAL2": "22.0", "CRPIX1": "30.0", "CRPIX2": "50.0"}
CDELT: Written = {"CDELT1": "-0.0001", "CDELT2": "0.0001"}
CD: Written = {"CD1_1": "-0.00008", "CD1_2": "0.00006", "CD2_1": "0.00006", "CD2_2": "0.00008"}
PLAIN: Written = {**TAN, **PLACE, **CDELT}
ROTATED: Written = {**TAN, **PLACE, **CD}


def header_block(cards: Written, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> bytes:
    lines = [f"SIMPLE  = {'T':>20}", f"BITPIX  = {-32:>20}", f"NAXIS   = {len(shape):>20}"]
    lines += [f"NAXIS{axis:<3}= {length:>20}" for axis, length in enumerate(reversed(shape), start=1)]
    lines += [f"{keyword:8}= {value:>20}" for keyword, value in cards.items()]
    return "".join(line.ljust(80) for line in [*lines, "END"]).encode().ljust(2880)


def placed(cards: Written, shape: tuple[int, ...] = (HEIGHT, WIDTH)) -> SkyPlacement:
    return placement([read_hdu(header_block(cards, shape)).cards], shape)


def refusal(cards: Written) -> str:
    with pytest.raises(NoPlacement) as caught:
        placed(cards)
    return caught.value.why or ""


def assert_same(found: SkyPlacement, wanted: SkyPlacement, *, arcsec: float = 0.01) -> None:
    centres = [SkyCoord(one.ra_deg, one.dec_deg, unit="deg") for one in (found, wanted)]
    assert centres[0].separation(centres[1]).arcsec <= arcsec
    assert found.pixel_scale_arcsec == pytest.approx(wanted.pixel_scale_arcsec, rel=1e-4)
    assert abs((found.north_angle_deg - wanted.north_angle_deg + 180) % 360 - 180) <= 0.05
    assert found.mirrored == wanted.mirrored


def by_astropy(cards: Written) -> SkyCoord:
    """The centre as astropy has it, of cards that it reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.Header.fromstring(header_block(cards))
        return WCS(header).pixel_to_world((WIDTH - 1) / 2, (HEIGHT - 1) / 2).icrs


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", ["D", "d", "E", "e"])
@pytest.mark.parametrize("keyword", [*PLACE, *CD])
def test_an_exponent_may_have_any_letter(keyword: str, letter: str) -> None:
    """wcslib and astropy read 8.36D1 as 8.36."""
    mantissa, exponent = f"{float(ROTATED[keyword]):.9e}".split("e")
    assert_same(placed({**ROTATED, keyword: f"{mantissa}{letter}{exponent}"}), placed(ROTATED))


@pytest.mark.parametrize("keyword", [*PLACE, *CDELT])
def test_a_number_written_as_text_is_read(keyword: str) -> None:
    assert_same(placed({**PLAIN, keyword: f"'{PLAIN[keyword]} '"}), placed(PLAIN))


@pytest.mark.parametrize("value", ["'05:34:24.0'", "", "'        '", "'unknown '", "NaN", "1.0E400", "T", "(1.0, 2.0)"])
@pytest.mark.parametrize("keyword", [*PLACE, *CDELT, "CROTA2", "LONPOLE"])
def test_what_is_no_number_gives_no_position(keyword: str, value: str) -> None:
    assert refusal({**PLAIN, keyword: value}).startswith(f"{keyword} ")


@pytest.mark.parametrize("keyword", ["CD1_1", "PV1_1", "A_0_2"])
def test_nor_does_it_in_a_matrix_or_a_distortion(keyword: str) -> None:
    further = {"A_ORDER": "2", "B_ORDER": "2"} if keyword[0] == "A" else {}
    assert refusal({**ROTATED, **further, keyword: "'x'"}).startswith(keyword)


# --- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "word"),
    [
        (TAN, "no CRVAL1"),
        ({**TAN, **CDELT}, "no CRVAL1"),
        ({**TAN, **CDELT, "CRVAL1": "10.0"}, "no CRVAL2"),
        ({**TAN, **PLACE}, "scale is not known"),
        ({**TAN, **PLACE, "CDELT1": "-1E-4"}, "neither CDELT2"),
        ({**TAN, **PLACE, "CDELT1": "0", "CDELT2": "0"}, "CDELT1 is 0"),
        ({**TAN, **PLACE, **dict.fromkeys(CD, "0.0")}, "neither CDELT1"),
        ({**TAN, **PLACE, "CD1_1": "1E-4"}, "do not tell its axes apart"),
        ({**TAN, **dict.fromkeys(PLACE, "0.0"), **dict.fromkeys(CD, "0.0")}, "never filled in"),
        ({**TAN, **dict.fromkeys(PLACE, "0.0"), "CDELT1": "1.0", "CDELT2": "1.0"}, "never filled in"),
        ({**TAN, **PLACE, "CDELT1": "1.0", "CDELT2": "1.0", "CRPIX1": "700.0"}, "no tangent plane"),
        ({**PLAIN, "CRVAL2": "95.0"}, "no place on the sky"),
        ({**PLAIN, "CRVAL1": "400.0"}, "no place on the sky"),
        ({**PLAIN, "CUNIT1": "'furlong'"}, "CUNIT1"),
        ({**PLAIN, "CUNIT1": "'h'"}, "CUNIT1"),
    ],
    ids=str,
)
def test_placeholders_are_no_position(cards: Written, word: str) -> None:
    assert word in refusal(cards)


def test_a_wide_tangent_plane_is_refused() -> None:
    wide = {**TAN, **PLACE, "CDELT1": "-1.0", "CDELT2": "1.0"}
    shape = (1000, 1000)
    with pytest.raises(NoPlacement, match="more than 180 degrees"):
        placement([read_hdu(header_block(wide, shape)).cards], shape)


def test_the_origin_of_the_sky_is_a_position() -> None:
    assert placed(
        {**PLAIN, "CRVAL1": "0.0", "CRVAL2": "0.0", "CRPIX1": "40.5", "CRPIX2": "32.5"}
    ).ra_deg == pytest.approx(0.0, abs=1e-12)


def test_a_distortion_without_its_reference_pixel_gives_no_position() -> None:
    without = {keyword: value for keyword, value in ROTATED.items() if keyword != "CRPIX2"}
    assert "CRPIX" in refusal({**without, "A_ORDER": "2", "B_ORDER": "2", "A_2_0": "1E-6"})


def test_a_missing_reference_pixel_is_told() -> None:
    found = placed({keyword: value for keyword, value in PLAIN.items() if not keyword.startswith("CRPIX")})
    assert_same(found, placed({**PLAIN, "CRPIX1": "0.0", "CRPIX2": "0.0"}))
    assert any("CRPIX1 is missing" in note for note in found.notes)


# --- several descriptions ---------------------------------------------------------------------------------------------

UNITY: Written = {"PC001001": "1.0", "PC001002": "0.0", "PC002001": "0.0", "PC002002": "1.0"}


@pytest.mark.parametrize(
    "further",
    [
        UNITY,
        {**UNITY, "CDELT1": "1.0", "CDELT2": "1.0"},
        {"PC1_1": "1.0", "PC2_2": "1.0", "CDELT1": "1.0", "CDELT2": "1.0"},
        {"CDELT1": "1.0", "CDELT2": "1.0", "CROTA2": "45.0"},
    ],
    ids=str,
)
def test_a_cd_matrix_wins(further: Written) -> None:
    assert_same(placed({**ROTATED, **further}), placed(ROTATED))


def test_a_cd_matrix_of_zeros_does_not() -> None:
    assert_same(placed({**PLAIN, **dict.fromkeys(CD, "0.0")}), placed(PLAIN))


def test_a_matrix_by_its_old_name() -> None:
    old = {"PC001001": "0.8", "PC001002": "-0.6", "PC002001": "0.6", "PC002002": "0.8"}
    new = {"PC1_1": "0.8", "PC1_2": "-0.6", "PC2_1": "0.6", "PC2_2": "0.8"}
    assert_same(placed({**PLAIN, **old}), placed({**PLAIN, **new}))


def test_an_alternate_description_is_read_where_the_first_is_of_pixels() -> None:
    alternate = {f"{keyword}A": value for keyword, value in ROTATED.items()}
    assert_same(placed({"CTYPE1": "'PIXEL'", "CTYPE2": "'PIXEL'", **alternate}), placed(ROTATED))
    assert_same(placed({**PLAIN, **alternate, "CRVAL1A": "10.0"}), placed(PLAIN))


@pytest.mark.parametrize(
    "third", [{"CTYPE3": "''", "CDELT3": "0.0"}, {"CTYPE3": "'WAVE'", "CUNIT3": "'x'", "CD3_3": "0"}]
)
def test_another_axis_does_not_matter(third: Written) -> None:
    assert_same(placed({**PLAIN, **third}, (3, HEIGHT, WIDTH)), placed(PLAIN))
    assert_same(placed({**PLAIN, **third, "WCSAXES": "3"}), placed(PLAIN))


# --- types and units --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "types",
    [("RA---TAN", "DEC--TAN"), ("ra---tan", "dec--tan"), ("RA--TAN", "DEC-TAN"), ("RA---TAN-SIP", "DEC--TAN-SIP")],
)
def test_types_are_read_as_people_write_them(types: tuple[str, str]) -> None:
    assert_same(placed({**PLAIN, "CTYPE1": f"'{types[0]}'", "CTYPE2": f"'{types[1]}'"}), placed(PLAIN))


@pytest.mark.parametrize("unit", ["deg", "DEG", "degree", "Degrees", "''"])
def test_units_are_read_as_people_write_them(unit: str) -> None:
    text = unit if unit == "''" else f"'{unit}'"
    assert_same(placed({**PLAIN, "CUNIT1": text, "CUNIT2": text}), placed(PLAIN))


# --- SCAMP ------------------------------------------------------------------------------------------------------------

TPV: Written = {"CTYPE1": "'RA---TPV'", "CTYPE2": "'DEC--TPV'"}


@pytest.mark.parametrize(
    "powers",
    [
        {"PV1_0": "0.0", "PV1_1": "1.0", "PV1_2": "0.0", "PV2_0": "0.0", "PV2_1": "1.0", "PV2_2": "0.0"},
        {"PV1_0": "1E-5", "PV1_1": "1.0002", "PV1_2": "1E-4", "PV2_0": "-1E-5", "PV2_1": ".9999", "PV2_2": "1E-4"},
        {"PV1_1": "1.0", "PV1_4": "0.01", "PV2_1": "1.0", "PV2_4": "0.02"},
        {"PV1_0": "0.001", "PV1_1": "1.0", "PV1_2": "0.0"},
        {"PV2_0": "0.002", "PV2_1": "1.0"},
        {"PV1_1": "1.0", "PV1_5": "0.02", "PV2_1": "1.0", "PV2_7": "0.3"},
    ],
    ids=str,
)
def test_a_tan_with_the_polynomial_of_scamp_is_a_tpv(powers: Written) -> None:
    found = placed({**ROTATED, **powers})
    assert_same(found, placed({**ROTATED, **TPV, **powers}))
    complete = {"PV1_1": "1.0", "PV2_1": "1.0"} | powers
    assert (
        by_astropy({**ROTATED, **TPV, **complete}).separation(SkyCoord(found.ra_deg, found.dec_deg, unit="deg")).arcsec
        < 0.01
    )


def test_a_tpv_without_powers_is_a_tan() -> None:
    """wcslib makes all its pixels one place."""
    assert_same(placed({**ROTATED, **TPV}), placed(ROTATED))


def test_the_pole_of_a_tan_may_be_given_by_pv() -> None:
    standard = {"PV1_1": "0.0", "PV1_2": "90.0", "PV1_3": "150.0"}
    assert_same(placed({**ROTATED, **standard}), placed({**ROTATED, "LONPOLE": "150.0"}))


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "frame"),
    [
        ({"EQUINOX": "'B1950'"}, "FK4 B1950"),
        ({"EQUINOX": "'1950.0'"}, "FK4 B1950"),
        ({"EQUINOX": "1.95D3"}, "FK4 B1950"),
        ({"EQUINOX": "'J2000'"}, "FK5 J2000"),
        ({"EQUINOX": "'J2000.0'", "RADESYS": "'FK5'"}, "FK5 J2000"),
        ({"RADESYS": "'J2000'"}, "FK5 J2000"),
        ({"RADESYS": "'B1950'"}, "FK4 B1950"),
        ({"RADESYS": "'FK5 (J2000)'"}, "FK5 J2000"),
        ({"RADESYS": "'FK4'"}, "FK4 B1950"),
        ({"RADECSYS": "'FK4'", "EQUINOX": "1950.0"}, "FK4 B1950"),
        ({"RADESYS": "'fk5'", "EQUINOX": "1950.0"}, "FK5 J1950"),
        ({"RADESYS": "'ICRS'", "EQUINOX": "1950.0"}, "ICRS"),
        ({"RADESYS": "'ICRF'"}, "ICRS"),
        ({"EQUINOX": "0.0"}, "ICRS"),
        ({"EQUINOX": "'unknown'"}, "ICRS"),
        ({"EQUINOX": "0.0", "EPOCH": "1950.0"}, "FK4 B1950"),
        ({}, "ICRS"),
    ],
    ids=str,
)  # fmt: skip
def test_the_frame_is_the_stated_one(cards: Written, frame: str) -> None:
    found = placed({**ROTATED, **cards})
    assert found.frame == frame
    native = placed(ROTATED)
    frames = {"FK4 B1950": FK4(equinox="B1950"), "FK5 J1950": FK5(equinox="J1950"), "FK5 J2000": FK5(), "ICRS": "icrs"}
    wanted = SkyCoord(native.ra_deg, native.dec_deg, unit="deg", frame=frames[frame]).icrs
    assert wanted.separation(SkyCoord(found.ra_deg, found.dec_deg, unit="deg")).arcsec < 0.01
    assert bool(found.notes) == (cards.get("EQUINOX") in {"0.0", "'unknown'"})


def test_a_note_is_told_once() -> None:
    hdu = fits.PrimaryHDU(stored(scene()).astype(np.float32), fits.Header(values_of({**PLAIN, "EQUINOX": "0.0"})))
    assert len(make_cutout(fits_file(hdu)).file.notes) == 1


# --- several headers --------------------------------------------------------------------------------------------------


def values_of(cards: Written) -> dict[str, str | float]:
    return {key: value.strip("'") if value.startswith("'") else float(value) for key, value in cards.items()}


def picture_extension(cards: Written, name: str = "SCI") -> fits.ImageHDU:
    return fits.ImageHDU(stored(scene()).astype(np.float32), fits.Header(values_of(cards)), name=name)


def primary_with(cards: Written) -> fits.PrimaryHDU:
    hdu = fits.PrimaryHDU()
    hdu.header.update(values_of(cards))
    return hdu


def test_world_coordinates_in_an_empty_primary_are_the_pictures() -> None:
    cutout = make_cutout(fits_file(primary_with(PLAIN), picture_extension({})))
    assert_scene(cutout)
    assert cutout.file.ra_deg == pytest.approx(placed(PLAIN).ra_deg)
    assert cutout.orientation == "north up, east left"
    assert "Its world coordinates are those of the primary header." in cutout.file.notes


@pytest.mark.parametrize(("inherit", "images"), [*itertools.product([None, True, False], [1, 2])])
def test_they_are_not_those_of_several_pictures_unless_these_say_so(inherit: bool | None, images: int) -> None:
    hdus = [picture_extension({}, f"CCD{number}") for number in range(images)]
    if inherit is not None:
        for hdu in hdus:
            hdu.header["INHERIT"] = inherit
    facts = make_cutout(fits_file(primary_with(PLAIN), *hdus)).file
    assert (facts.ra_deg is not None) == (inherit is True or (inherit is None and images == 1))


def test_the_pictures_own_coordinates_win_and_its_frame_may_be_in_the_primary() -> None:
    primary = primary_with({**TAN, "CRVAL1": "10.0", "EQUINOX": "1950.0"})
    facts = make_cutout(fits_file(primary, picture_extension(PLAIN))).file
    assert facts.frame == "FK4 B1950"
    assert facts.ra_deg == pytest.approx(placed({**PLAIN, "EQUINOX": "1950.0"}).ra_deg)
