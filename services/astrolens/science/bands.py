"""Names of filters, and their order by wavelength."""

import re
from collections.abc import Sequence

_NANOMETRES: dict[str, float] = {
    "FUV": 153, "NUV": 228, "u": 355, "U": 365, "B": 445, "BP": 511, "g": 480, "G": 550, "V": 551, "r": 622, "R": 658,
    "RP": 777, "i": 763, "I": 806, "z": 905, "Z": 878, "y": 1005, "Y": 1020, "J": 1250, "H": 1650, "K": 2190,
    "KS": 2150, "Ks": 2150,
    "W1": 3350, "W2": 4600, "W3": 11_560, "W4": 22_080, "IRAC1": 3550, "IRAC2": 4490, "IRAC3": 5730, "IRAC4": 7870,
    "I1": 3550, "I2": 4490, "I3": 5730, "I4": 7870,
    "VIS": 715, "blue": 450, "green": 550, "red": 650, "Blue": 450, "Green": 550, "Red": 650, "BLUE": 450, "GREEN": 550,
    "RED": 650, "Ha": 656, "Halpha": 656, "OIII": 501, "SII": 672, "NII": 658,
}  # fmt: skip
"""Effective wavelengths: SVO filter profile service, rounded."""

_FURTHER: dict[str, float] = {
    "uvw2": 206, "uvm2": 225, "uvw1": 262, "bj": 460, "rf": 650, "rc": 647, "ic": 787, "rj": 690, "ij": 880,
    "vr": 620, "kp": 2120, "kshort": 2150, "kspecial": 2200, "zs": 870, "zg": 480, "zr": 622, "zi": 763, "ir": 850,
    "gp": 480, "rp": 622, "ip": 763, "zp": 905, "yp": 1005, "up": 355,
    "ie": 715, "ye": 1080, "je": 1367, "he": 1770, "nispy": 1080, "nispj": 1367, "nisph": 1770,
    "ch1": 3550, "ch2": 4490, "ch3": 5730, "ch4": 7870,
    "m1": 23_700, "m2": 71_000, "m3": 156_000, "mips24": 23_700, "mips70": 71_000, "mips160": 156_000,
    "psw": 250_000, "pmw": 350_000, "plw": 500_000,
    "halpha": 656, "hbeta": 486, "hb": 486, "hgamma": 434, "hg": 434, "o3": 501, "o2": 373, "oii": 373, "o1": 630,
    "oi": 630, "s2": 672, "s3": 907, "siii": 907, "n2": 658, "heii": 469, "hei": 588, "soft": 1.6, "medium": 0.8,
    "hard": 0.25,
}  # fmt: skip
"""By their names in small letters without signs between: what is unlike the names above."""

_ANY_CASE = {name.lower(): value for name, value in _NANOMETRES.items() if len(name) > 1 or name in "BVJHK"}
_LIGHT_SPEED_NM_HZ = 299_792_458e9
_NM_OF_KEV = 1.239_841_98
_LENGTHS_NM = {
    "nm": 1.0, "a": 0.1, "aa": 0.1, "ang": 0.1, "angstrom": 0.1, "angstroms": 0.1, "um": 1e3, "mu": 1e3, "mum": 1e3,
    "micron": 1e3, "microns": 1e3, "micrometer": 1e3, "mm": 1e6, "cm": 1e7, "m": 1e9,
}  # fmt: skip
_ENERGIES_KEV = {"ev": 1e-3, "kev": 1.0, "mev": 1e3, "gev": 1e6, "tev": 1e9}
_FREQUENCIES_HZ = {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9, "thz": 1e12}
_MEASURE = re.compile(
    r"(?P<low>\d+\.?\d*|\.\d+)(?: *(?:-|to|_|:) *(?P<high>\d+\.?\d*|\.\d+))? *[_ ]?(?P<unit>[A-Za-z]+)?\.?$"
)
"""`658nm`, `0.5-2 keV`, `1.4 GHz`; without a unit where the instrument says what is counted."""

_BY_NUMBER = re.compile(r"F(?P<number>\d{3,4})(?P<kind>W2|BW|W|M|N|LP|X)$", re.IGNORECASE)
_ROMAN = re.compile(r"F(062|087|106|129|146|158|184|213)$")
"""Of the Roman telescope, in hundredths of a micrometre."""
_NARROW = re.compile(r"(?:NB|IB|IA|N)_?(\d{3,4})$")
"""`NB0921`, `N964`, `IB427`: nanometres."""
_JWST = re.compile(
    r"F(?:(?:070|090|115|150|200|277|356|444|560|770)W|(?:150|322)W2|(?:212|323|405|466|470)N"
    r"|(?:140|158|162|182|210|250|300|335|360|380|430|460|480)M)$"
)
"""Names that no filter of Hubble has."""
_NICMOS = re.compile(r"F(?:(?:205|240)[WM]|(?:207|222|237)M|(?:212|215|216)N)$")
"""Hubble's filters of more than two micrometres, in hundredths of one."""
_FIRST_INFRARED_OF_HUBBLE = 200
"""Smaller numbers, from F098M to F187N, are those of its infrared channel, but for long-pass filters of the far
ultraviolet (F115LP to F165LP)."""
_HIGH_ENERGY = ("CHANDRA", "XMM", "ROSAT", "NUSTAR", "SWIFT-XRT", "XRT", "EROSITA", "SUZAKU", "ASCA", "NICER", "ACIS")
_NO_FILTER = re.compile(r"(?:CLEAR|OPEN|NONE|N/A|NA|EMPTY|BLANK|UNKNOWN|NOTPRESENT|NO FILTER|-+|0)\w*$", re.IGNORECASE)
_SURVEY_PREFIX = re.compile(
    r"(?:SDSS|PS1|PAN-?STARRS1?|DECAM|MEGACAM|HSC|ZTF|LSST|OMEGACAM|SLOAN)[ _.:-]*"
    r"|(?:WISE|2MASS|UVOT|GALEX|IRAC|EUCLID|NISP|NIR|UKIDSS|VISTA|BESSELL?|JOHNSON|COUSINS)[ _.:-]+(?=\S)",
    re.IGNORECASE,
)
_LUMINANCE = frozenset(("l", "lum", "luminance", "clear", "white", "w", "c"))


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


def wavelengths_nm(names: Sequence[str], instrument: str = "") -> list[float | None]:
    """The effective wavelengths of filters in nanometres; None for a name that is not known.

    Args:
        names: Such as `r`, `W1`, `F606W`, `red`, `658nm`, `0.5-2keV`.
        instrument: Names of telescope and instrument. F410M of Hubble is visible, that of JWST infrared; X-ray
            telescopes count in keV.
    """
    instrument = instrument.upper()
    jwst = any(word in instrument for word in ("JWST", "NIRCAM", "MIRI", "NIRISS"))
    jwst = jwst or any(_JWST.match(name.strip().upper()) for name in names)
    in_kev = any(word in instrument for word in _HIGH_ENERGY)
    return [_wavelength_nm(name.strip(), jwst=jwst, in_kev=in_kev) for name in names]


def _wavelength_nm(name: str, *, jwst: bool, in_kev: bool) -> float | None:
    if numbered := _BY_NUMBER.match(name):
        return _of_space_telescope(numbered, jwst=jwst)
    if roman := _ROMAN.match(name):
        return int(roman[1]) * 10.0
    if measure := _MEASURE.match(name):
        return _measured_nm(measure, in_kev=in_kev)
    bare = re.sub(r"[^A-Za-z0-9]", "", name)
    if narrow := _NARROW.match(bare.upper()):
        return float(narrow[1])
    # The filters that a camera got later, such as r2 and i2 of HSC and y4 of Rubin, come last.
    versioned = re.match(r"([ugrizy])\d$", bare)
    tables = (_NANOMETRES.get(bare), _FURTHER.get(bare.lower()), _NANOMETRES.get(versioned[1] if versioned else ""))
    return next((value for value in tables if value is not None), _ANY_CASE.get(bare.lower()))


def _of_space_telescope(name: re.Match[str], *, jwst: bool) -> float:
    """JWST counts in hundredths of a micrometre, Hubble in nanometres, in its infrared cameras as JWST."""
    full, number = name[0].upper(), int(name["number"])
    is_far_ultraviolet = number < _FIRST_INFRARED_OF_HUBBLE and name["kind"].upper() == "LP"
    infrared = number < _FIRST_INFRARED_OF_HUBBLE and not is_far_ultraviolet
    known = _JWST.match(full) or _NICMOS.match(full) or (jwst and full == "F410M")
    return number * 10.0 if known or infrared or number >= 1000 else float(number)


def _measured_nm(measure: re.Match[str], *, in_kev: bool) -> float | None:
    low = float(measure["low"])
    value = (low + float(measure["high"])) / 2 if measure["high"] else low
    unit = (measure["unit"] or ("kev" if in_kev else "")).lower()
    if not value:
        return None
    if unit in _LENGTHS_NM:
        return value * _LENGTHS_NM[unit]
    if unit in _ENERGIES_KEV:
        return _NM_OF_KEV / (value * _ENERGIES_KEV[unit])
    return _LIGHT_SPEED_NM_HZ / (value * _FREQUENCIES_HZ[unit]) if unit in _FREQUENCIES_HZ else None


def is_luminance(name: str) -> bool:
    """Whether a plane has the light of all colours, and is none of them."""
    return name.lower() in _LUMINANCE


def split_names(text: str) -> list[str]:
    """Names of several filters in one text: `grz`, `g,r,z`, `g r z`, `0.5-1.2 keV, 1.2-2 keV`."""
    text = text.strip()
    separators = r"[,;|]" if re.search(r"[,;|]", text) else r"[/ +]+"
    parts = [part.strip() for part in re.split(separators, text) if part.strip()]
    if len(parts) == 1 and len(parts[0]) > 1 and all(letter in _NANOMETRES for letter in parts[0]):
        if parts[0] in _NANOMETRES:
            return parts
        return list(parts[0])
    return parts
