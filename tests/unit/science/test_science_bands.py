"""Bands as archives and cameras name them, and which planes are shown red, green and blue."""

import pytest
from astrolens.science.bands import filter_name, split_names, wavelengths_nm
from astrolens.science.fits_header import read_hdu
from astrolens.science.fits_planes import Planes, planes_of

RED_TO_BLUE = (
    "Ks,H,J",
    "zi,zr,zg",
    "658nm,502nm,470nm",
    "6563A, 5007 Angstrom, 4861 A",
    "4.5um, 3.6 um, 2.2 microns",
    "0.5-1.2 keV, 1.2-2 keV, 2-7 keV",
    "300-1000eV,1-2keV,2to10keV",
    "1.4 GHz, 5 GHz, 22 GHz",
    "F444W,F200W,F115W",
    "F444W,F410M,F090W",
    "F770W,F444W,F277W",
    "F2100W,F1130W,F770W",
    "F160W,F814W,F435W",
    "F160W,F606W,F275W",
    "F237M,F160W,F110W",
    "F814W,F275W,F150LP",
    "F213,F158,F062",
    "I4,I2,I1",
    "W4,W2,W1",
    "w3,w2,w1",
    "HSC-Z,HSC-R,HSC-G",
    "y4,i2,g",
    "y,i,g",
    "z.00000,r.00000,g.00000",
    "z++,r+,g+",
    "z',r',g'",
    "RP,G,BP",
    "H_E,J_E,VIS",
    "U,UVM2,UVW2",
    "uvw1,uvm2,uvw2",
    "NUV,FUV",
    "SII,Ha,OIII",
    "[SII],H-alpha,[OIII]",
    "S2,Halpha,O3",
    "S,H,O",
    "SHO",
    "R,G,B",
    "RGB",
    "Red,Green,Blue",
    "red green blue",
    "Ic,Rc,V",
    "Cousins I, Johnson V, Johnson B",
    "NB0921,NB816,NB0527",
    "k,h,j",
    "PLW,PMW,PSW",
    "160um|100um|70um",
    "soft,medium,hard",
)
"""Each list from long to short waves."""


def planes(count: int = 0, **cards: str) -> Planes:
    lines = ["SIMPLE  =                    T", *(f"{key:8}= '{value}'" for key, value in cards.items()), "END"]
    hdu = read_hdu("".join(line.ljust(80) for line in lines).encode().ljust(2880))
    return planes_of([hdu.cards], [count], [3])


@pytest.mark.parametrize("text", RED_TO_BLUE)
def test_known_bands_are_shown_by_wavelength(text: str) -> None:
    names = split_names(text)
    wavelengths = wavelengths_nm([filter_name(name) or name for name in names])
    if text not in {"S,H,O", "SHO", "R,G,B", "RGB"}:
        assert None not in wavelengths
        assert wavelengths == sorted(wavelengths, reverse=True, key=lambda value: value or 0)
    count = len(names)
    assert planes(count, BANDS=text).shown == tuple(range(count))
    assert planes(count, BANDS=text).notes == ()
    turned = ",".join(reversed(names))
    assert planes(count, BANDS=turned).shown == tuple(reversed(range(count)))
    assert planes(count, **{f"BAND{number}": name for number, name in enumerate(names, start=1)}).notes == ()


@pytest.mark.parametrize(
    ("name", "instrument", "nanometres"),
    [
        ("F410M", "", 410),
        ("F410M", "JWST NIRCAM", 4100),
        ("F606W", "HST ACS", 606),
        ("F606W", "", 606),
        ("F140W", "", 1400),
        ("F140LP", "", 140),
        ("F1130W", "", 11_300),
        ("0.5-2", "XMM EPIC", 0.99),
        ("0.5-2", "", None),
        ("21cm", "", 2.1e8),
        ("N964", "", 964),
        ("Band 6", "ALMA", None),
    ],
)
def test_a_name_has_its_wavelength(name: str, instrument: str, nanometres: float | None) -> None:
    assert wavelengths_nm([name], instrument)[0] == (nanometres and pytest.approx(nanometres, rel=0.01))


@pytest.mark.parametrize("text", ["L,R,G,B", "Lum,Red,Green,Blue", "R,G,B,L", "Luminance,i,r,g"])
def test_luminance_is_no_colour(text: str) -> None:
    names = split_names(text)
    found = planes(len(names), BANDS=text)
    assert [names[number][0] for number in found.shown] in (["R", "G", "B"], ["i", "r", "g"])
    assert "light of all colours" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A1,B7,C9", (0, 1, 2)),
        ("0.5-1.2,1.2-2,2-7", (0, 1, 2)),
        ("g,r,X9", (2, 1, 0)),
        ("X9,r,g", (0, 1, 2)),
        ("r,X9,Q3", (0, 1, 2)),
        ("A1,B7", (0, 1)),
    ],
)
def test_the_order_of_the_file_is_kept_where_a_name_is_unknown_and_told(text: str, shown: tuple[int, ...]) -> None:
    found = planes(text.count(",") + 1, BANDS=text)
    assert found.shown == shown
    assert found.axis_3 == "bands"
    assert "order of the file was kept" in found.notes[0]


@pytest.mark.parametrize(
    ("cards", "shown"),
    [
        ({"COLORSPC": "RGB"}, (0, 1, 2)),
        ({"COLORSPC": "Grayscale"}, (2, 1, 0)),
        ({"PROGRAM": "Siril 1.2.0"}, (0, 1, 2)),
        ({"CREATOR": "PixInsight 1.8.9"}, (0, 1, 2)),
        ({"SWCREATE": "MaxIm DL Version 6.20"}, (0, 1, 2)),
        ({"CTYPE3": "RGB"}, (0, 1, 2)),
        ({}, (2, 1, 0)),
        ({"COLORSPC": "RGB", "BANDS": "g,r,z"}, (2, 1, 0)),
    ],
)
def test_the_colour_space_or_the_program_tells_that_red_is_first(cards: dict[str, str], shown: tuple[int, ...]) -> None:
    found = planes(3, **cards)
    assert found.shown == shown
    assert bool(found.notes) == (found.axis_3 == "assumed-bands")
