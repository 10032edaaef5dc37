"""Positions on the sky as people write them, and where else to look at one. ICRS degrees throughout."""

from urllib.parse import quote

from astrolens.contracts.base import Contract

_SECONDS = 3600


class ArchiveLink(Contract):
    """An archive's page centred on a position."""

    name: str
    url: str


def position_texts(ra_deg: float, dec_deg: float) -> list[str]:
    """The position in degrees, sexagesimal, and as an IAU name."""
    return [degrees_text(ra_deg, dec_deg), sexagesimal_text(ra_deg, dec_deg), iau_name(ra_deg, dec_deg)]


def degrees_text(ra_deg: float, dec_deg: float) -> str:
    """`10.684708 +41.268750`."""
    return f"{ra_deg:.6f} {dec_deg:+.6f}"


def sexagesimal_text(ra_deg: float, dec_deg: float) -> str:
    """`00:42:44.33 +41:16:07.5`."""
    ra, dec = _sexagesimal(ra_deg, dec_deg, cut=False)
    return f"{':'.join(ra)} {':'.join(dec)}"


def iau_name(ra_deg: float, dec_deg: float) -> str:
    """`J004244.32+411607.5`: cut off, not rounded, as the IAU asks of names."""
    ra, dec = _sexagesimal(ra_deg, dec_deg, cut=True)
    return f"J{''.join(ra)}{''.join(dec)}"


def archive_links(ra_deg: float, dec_deg: float) -> list[ArchiveLink]:
    """SIMBAD, NED, VizieR, the Legacy Survey's viewer and ESASky, each centred on the position."""
    ra, dec, signed = f"{ra_deg:.6f}", f"{dec_deg:.6f}", f"{dec_deg:+.6f}"
    pair = quote(f"{ra} {signed}", safe="")
    pages = {
        "SIMBAD": f"https://simbad.cds.unistra.fr/simbad/sim-coo?Coord={pair}&CooFrame=ICRS&Radius=0.5&Radius.unit=arcmin",
        "NED": "https://ned.ipac.caltech.edu/conesearch?in_csys=Equatorial&in_equinox=J2000"
        f"&coordinates={quote(f'{ra}d {signed}d', safe='')}&radius=0.5",
        "VizieR": f"https://vizier.cds.unistra.fr/viz-bin/VizieR?-c={pair}&-c.rs=30",
        "Legacy Survey": f"https://www.legacysurvey.org/viewer?ra={ra}&dec={dec}&layer=ls-dr10&zoom=15&mark={ra},{dec}",
        "ESASky": f"https://sky.esa.int/esasky/?target={pair}&fov=0.1&cooframe=J2000&sci=true",
    }
    return [ArchiveLink(name=name, url=url) for name, url in pages.items()]


def _sexagesimal(ra_deg: float, dec_deg: float, *, cut: bool) -> tuple[list[str], list[str]]:
    hours = _split(ra_deg / 15.0, 2, cut=cut)
    arcs = _split(abs(dec_deg), 1, cut=cut)
    ra = [f"{hours[0] % 24:02d}", f"{hours[1]:02d}", f"{hours[2]:05.2f}"]
    # The sign is that of the number: -0.0001 has no degrees to carry it.
    return ra, [f"{'-' if dec_deg < 0 else '+'}{arcs[0]:02d}", f"{arcs[1]:02d}", f"{arcs[2]:04.1f}"]


def _split(value: float, decimals: int, *, cut: bool) -> tuple[int, int, float]:
    """Whole units, minutes and seconds. Units of the last digit are counted first: 59.999 is never written as 60."""
    factor = 10**decimals
    scaled = value * _SECONDS * factor
    units = int(scaled + 1e-6) if cut else int(scaled + 0.5)
    return units // (_SECONDS * factor), units // (60 * factor) % 60, units % (60 * factor) / factor
