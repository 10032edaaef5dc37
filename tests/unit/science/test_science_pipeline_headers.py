"""World coordinates as archives and programs write them, against astropy; and each of their cards written wrongly."""

import contextlib
import warnings

import numpy as np
import pytest
from astrolens.science.fits_header import read_hdu
from astrolens.science.fits_wcs import NoPlacement, SkyPlacement, placement
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

Header = dict[str, str | float | int | bool]

SHAPE = (80, 96)


def tan(ra: float, dec: float, projection: str = "TAN") -> Header:
    return {
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRVAL1": ra, "CRVAL2": dec, "CRPIX1": 31.25, "CRPIX2": -12.5,
    }  # fmt: skip


def cd(angle_deg: float, scale_arcsec: float) -> Header:
    angle, step = float(np.radians(angle_deg)), scale_arcsec / 3600
    cos, sin = step * float(np.cos(angle)), step * float(np.sin(angle))
    return {"CD1_1": -cos, "CD1_2": -sin, "CD2_1": -sin, "CD2_2": cos}


def steps(scale_deg: float, crota: float | None = None) -> Header:
    turned: Header = {} if crota is None else {"CROTA1": crota, "CROTA2": crota}
    return {"CDELT1": -scale_deg, "CDELT2": scale_deg, **turned}


SIP: Header = {"A_ORDER": 2, "B_ORDER": 2, "A_0_2": 1e-6, "A_1_1": 2e-6, "B_2_0": -1e-6, "A_DMAX": 1.6}
TPV: Header = {
    "PV1_0": 1e-4, "PV1_1": 1.001, "PV1_2": 2e-3, "PV1_4": 1e-3, "PV1_5": 2e-3, "PV1_10": 0.1,
    "PV2_0": -1e-4, "PV2_1": 1.002, "PV2_2": -1e-3, "PV2_5": 1e-3, "PV2_10": 0.2,
}  # fmt: skip
RADIO: Header = {
    "CTYPE3": "FREQ", "CRVAL3": 1.4e9, "CDELT3": 1e6, "CRPIX3": 1.0, "CTYPE4": "STOKES", "CRVAL4": 1.0, "CDELT4": 1.0
}  # fmt: skip
FK5: Header = {"RADESYS": "FK5", "EQUINOX": 2000.0}

PIPELINES: dict[str, Header] = {
    "SkyView": {**tan(10.68, 41.27), **steps(2.8e-4, 0.0), "EQUINOX": 2000.0},
    "2MASS": {**tan(10.68, 41.27, "SIN"), **steps(2.78e-4, 0.1342), "RADECSYS": "FK5", "EQUINOX": 2000.0},
    "WISE": {**tan(10.68, 41.27, "SIN"), **steps(3.8e-4, -0.01), "WCSAXES": 2},
    "SDSS frame": {**tan(8.9, -1.2), **cd(90, 0.396), "RADECSYS": "ICRS", "EQUINOX": 2000.0},
    "SDSS fpC": {**tan(-1.2, 8.9), "CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", **cd(91, 0.396), "EQUINOX": 2000.0},
    "Pan-STARRS": {
        **tan(180, 5), "CDELT1": 6.94e-5, "CDELT2": 6.94e-5, "PC001001": -1.0, "PC001002": 0.0, "PC002001": 0.0,
        "PC002002": 1.0, **FK5,
    },
    "HSC": {**tan(150, 2, "TAN-SIP"), **cd(120, 0.168), **SIP, "RADESYS": "ICRS"},
    "Spitzer": {**tan(150, 2, "TAN-SIP"), **cd(-77, 1.2), **SIP, **FK5},
    "HST": {**tan(150, 2), **cd(33, 0.04), "ORIENTAT": 33.0, "LTV1": 0.0, "LTM1_1": 1.0},
    "JWST": {
        **tan(150, 2), "CDELT1": 1.7e-5, "CDELT2": 1.7e-5, "PC1_1": -0.94, "PC1_2": 0.34, "PC2_1": 0.34, "PC2_2": 0.94,
        "CUNIT1": "deg", "CUNIT2": "deg", "LONPOLE": 180.0, "LATPOLE": 2.0, "RADESYS": "ICRS",
    },
    "DES": {**tan(50, -30, "TPV"), **cd(91, 0.26), **TPV, "RADESYS": "ICRS"},
    "SCAMP of old": {**tan(50, -30), **cd(-30, 0.26), **TPV},
    "Euclid": {**tan(270, 66, "TPV"), **cd(43, 0.1), **TPV, "RADESYS": "ICRS", "EQUINOX": 2000.0},
    "Chandra": {
        **tan(83.6, 22), **steps(1.3666e-4), "CTYPE1P": "x", "CRVAL1P": 4096.5, "WCSNAME": "sky", "RADESYS": "ICRS"
    },
    "XMM": {**tan(83.6, 22), **steps(1.1e-3), "RADECSYS": "FK5", "EQUINOX": 2000.0, "CTYPE1L": "DETX"},
    "VLA": {**tan(187.7, 12.4, "SIN"), **steps(1e-4), **RADIO, "EPOCH": 2000.0},
    "VLA of 1950": {**tan(187.7, 12.4, "SIN"), **steps(1e-4), **RADIO, "EPOCH": 1950.0},
    "ALMA": {**tan(187.7, -12.4, "SIN"), **steps(1e-4), **RADIO, "PV2_1": 0.0, "PV2_2": 0.0, "SPECSYS": "LSRK"},
    "GALEX": {**tan(83.6, -22), **steps(4.17e-4, 0.0), "EPOCH": 2000.0, "EQUINOX": 2000.0},
    "IRAS": {**tan(83.6, -22), **steps(2.5e-2), "EPOCH": 1950.0},
    "Planck": {**tan(10, 0), "CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", **steps(0.03)},
    "MegaCam": {**tan(83.6, -22), **cd(180, 0.18), "RADECSYS": "FK5", "EQUINOX": 2000.0},
    "Swift UVOT": {**tan(83.6, 22), **cd(0, 0.5), "CTYPE1D": "DETX", "WCSNAMEP": "PHYSICAL"},
    "ASTAP": {**tan(83.6, 22), **steps(3e-4, 12.0), **cd(12, 1.08), "PLTSOLVD": True, "EQUINOX": 2000.0},
    "astrometry.net": {**tan(83.6, 22, "TAN-SIP"), **cd(190, 1.7), **SIP, "LONPOLE": 180.0, "LATPOLE": 0.0, **FK5},
    "PixInsight": {**tan(83.6, 22), **cd(2, 1.1), "PV1_1": 0.0, "PV1_2": 90.0, "LONPOLE": 180.0, "RADESYS": "ICRS"},
    "cube of a spectrograph": {
        **tan(55, -30), **cd(0, 0.26), "CD3_3": 1.25, "CTYPE3": "AWAV", "CUNIT3": "Angstrom", "CRVAL3": 4750.0
    },
}  # fmt: skip


def block(header: dict[str, str]) -> bytes:
    lines = ["SIMPLE  =                    T", "BITPIX  =                  -32", "NAXIS   =                    2"]
    lines += [f"NAXIS1  = {SHAPE[1]:>20}", f"NAXIS2  = {SHAPE[0]:>20}"]
    lines += [f"{keyword:8}= {value:>20}" for keyword, value in header.items()]
    text = "".join(line.ljust(80) for line in [*lines, "END"]).encode()
    return text.ljust(-(-len(text) // 2880) * 2880)


def written(header: Header) -> dict[str, str]:
    """The values as a header has them."""
    return {
        keyword: f"'{value:8}'" if isinstance(value, str) else "T" if value is True else repr(value)
        for keyword, value in header.items()
    }


def placed(header: dict[str, str]) -> SkyPlacement:
    return placement([read_hdu(block(header)).cards], SHAPE)


def near(found: SkyPlacement, wanted: SkyPlacement) -> bool:
    # astropy's separation takes a millisecond.
    east = (found.ra_deg - wanted.ra_deg + 180) % 360 - 180
    return (
        abs(east) * float(np.cos(np.radians(wanted.dec_deg))) < 0.1 / 3600
        and abs(found.dec_deg - wanted.dec_deg) < 0.1 / 3600
        and abs(found.pixel_scale_arcsec / wanted.pixel_scale_arcsec - 1) < 1e-4
        and abs((found.north_angle_deg - wanted.north_angle_deg + 180) % 360 - 180) < 0.05
        and found.mirrored == wanted.mirrored
    )


@pytest.mark.parametrize("pipeline", sorted(PIPELINES))
def test_the_position_is_that_of_astropy(pipeline: str) -> None:
    header = written(PIPELINES[pipeline])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wcs = WCS(fits.Header.fromstring(block(header)))
        wcs = wcs if wcs.naxis == 2 else wcs.celestial
        x, y = (SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2
        points = wcs.pixel_to_world([x, x, x], [y, y + 0.5, y - 0.5]).icrs
    found = placed(header)
    assert SkyCoord(found.ra_deg, found.dec_deg, unit="deg").separation(points[0]).arcsec < 0.1
    # Where a step upwards in the picture goes on the sky tells scale, angle and parity together.
    up = points[2].position_angle(points[1]).deg
    angle = -found.north_angle_deg if found.mirrored else found.north_angle_deg
    assert abs((up + angle + 180) % 360 - 180) < 0.3 or abs((up - angle + 180) % 360 - 180) < 0.3
    assert points[2].separation(points[1]).arcsec == pytest.approx(found.pixel_scale_arcsec, rel=0.02)


@pytest.mark.parametrize("pipeline", sorted(PIPELINES))
def test_a_card_that_is_written_otherwise_gives_the_same_place_or_none(pipeline: str) -> None:
    header = PIPELINES[pipeline]
    clean = placed(written(header))
    for keyword, value in header.items():
        if not isinstance(value, float) or keyword in {"EPOCH", "EQUINOX"}:
            continue
        readable = f"{value:.15E}".replace("E", "D"), f"'{value!r}'", f"{value!r}/unit", f"{value:+.15e}"
        for text in readable:
            assert near(placed({**written(header), keyword: text}), clean), (keyword, text)
        for text in ("'12:30:00'", "", "'N/A'", "NaN", "1e999", repr(value).replace(".", ",")):
            with contextlib.suppress(NoPlacement):
                # What it does not depend on may be anything.
                assert near(placed({**written(header), keyword: text}), clean), (keyword, text)
