"""Names of filters, and their order by wavelength."""

import re

_NANOMETRES: dict[str, float] = {
    "FUV": 153, "NUV": 228, "u": 355, "U": 365, "B": 445, "BP": 511, "g": 480, "G": 550, "V": 551, "r": 622, "R": 658,
    "RP": 777, "i": 763, "I": 806, "z": 905, "Z": 878, "y": 1005, "Y": 1020, "J": 1250, "H": 1650, "K": 2190,
    "KS": 2150,
    "W1": 3350, "W2": 4600, "W3": 11_560, "W4": 22_080, "IRAC1": 3550, "IRAC2": 4490, "IRAC3": 5730, "IRAC4": 7870,
    "VIS": 715, "blue": 450, "green": 550, "red": 650, "Blue": 450, "Green": 550, "Red": 650, "BLUE": 450, "GREEN": 550,
    "RED": 650, "Ha": 656, "Halpha": 656, "OIII": 501, "SII": 672, "NII": 658,
}  # fmt: skip
"""Effective wavelengths: SVO filter profile service, rounded."""

_BY_NUMBER = re.compile(r"F(\d{3,4})(?:W|M|N|LP|X|W2)$", re.IGNORECASE)
_NO_FILTER = re.compile(r"(?:CLEAR|OPEN|NONE|N/A|NA|EMPTY|BLANK|UNKNOWN|NOTPRESENT|NO FILTER|-+|0)\w*$", re.IGNORECASE)
_SURVEY_PREFIX = re.compile(r"(?:SDSS|PS1|DECAM|MEGACAM|HSC|ZTF|LSST|OMEGACAM|SLOAN)[ _.:-]*", re.IGNORECASE)


def filter_name(text: str) -> str | None:
    """The name of a filter as a header gives it, without what surrounds it; None where it means no filter.

    `r DECam SDSS c0002 6415.0 1480.0`, `r.MP9601`, `SDSS-r`, `ZTF_r` and `r'` are r.
    """
    text = text.strip()
    if not text or _NO_FILTER.match(text):
        return None
    bare = _SURVEY_PREFIX.sub("", text, count=1) or text
    first = re.split(r"[ .,;]", bare, maxsplit=1)[0].rstrip("'")
    return first if first in _NANOMETRES else text[:40]


def wavelength_nm(name: str, instrument: str = "") -> float | None:
    """The effective wavelength of a filter in nanometres; None where its name is not known.

    Args:
        name: Such as `r`, `W1`, `F606W`, `red`.
        instrument: Names of telescope and instrument: the numbers of JWST's filters are hundredths of a micrometre.
    """
    if name in _NANOMETRES:
        return _NANOMETRES[name]
    if numbered := _BY_NUMBER.match(name):
        number = int(numbered[1])
        jwst = any(word in instrument.upper() for word in ("JWST", "NIRCAM", "MIRI", "NIRISS"))
        # Hubble counts in nanometres, in its infrared channel in hundredths of a micrometre (F105W to F167N).
        return number * 10.0 if jwst or number < 200 else float(number)
    return None


def split_names(text: str) -> list[str]:
    """Names of several filters in one text: `grz`, `g,r,z`, `g r z`."""
    parts = [part for part in re.split(r"[,;/ ]+", text.strip()) if part]
    if len(parts) == 1 and len(parts[0]) > 1 and all(letter in _NANOMETRES for letter in parts[0]):
        if parts[0] in _NANOMETRES:
            return parts
        return list(parts[0])
    return parts
