"""What the columns of a table mean: the names that archives and tools give to positions, times, ids and files.

A column is recognised by its UCD where the table has them (VOTable, FITS), and by its name. Whatever is not recognised
stays with the image as further metadata, and is named to the user.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from astrolens.usecases.angles import AngleUnit
from astrolens.usecases.observation_times import TimeScale

POSITIONS: Final[tuple[tuple[str, str], ...]] = (
    # AstroLens, TOPCAT, most people.
    *(("radeg", "decdeg"), ("ra", "dec"), ("ra", "de"), ("ra", "decl"), ("rightascension", "declination")),
    # VizieR, Gaia, Simbad.
    *(("raicrs", "deicrs"), ("raicrs", "decicrs"), ("raj2000", "dej2000"), ("raj2000", "decj2000")),
    *(("ra2000", "dec2000"), ("ra2000", "de2000"), ("raepoch2000", "decepoch2000")),
    # SExtractor.
    *(("alphaj2000", "deltaj2000"), ("alphawinj2000", "deltawinj2000"), ("alphapeakj2000", "deltapeakj2000")),
    # ObsCore, Pan-STARRS, DESI, SDSS targets, FITS headers made into tables.
    *(("sra", "sdec"), ("ramean", "decmean"), ("meanra", "meandec"), ("rastack", "decstack")),
    *(("targetra", "targetdec"), ("ratarget", "dectarget"), ("ratarg", "dectarg"), ("objra", "objdec")),
    *(("raobj", "decobj"), ("objctra", "objctdec"), ("rahms", "decdms"), ("rahours", "decdegrees")),
    *(("radegrees", "decdegrees"), ("rahour", "decdeg"), ("alpha", "delta")),
)
"""Pairs of names, as `plain_name` makes them, the preferred ones first. All are ICRS or FK5 J2000, which differ by less
than 0.1 arcsec. Columns of B1950, galactic and ecliptic positions are not among them."""

_SPLIT_RA: Final = ("rah", "ram", "ras")
_SPLIT_DEC: Final = ("ded", "dem", "des")
_SPLIT_SIGNS: Final = ("DE-", "DE_", "de-", "de_")
"""The columns of positions in the CDS's fixed-width tables: hours, minutes, seconds, sign, degrees, ..."""

_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "file": ("file", "path", "filename", "image", "filepath", "imagepath", "imagefile", "fname", "img"),
    "survey": ("survey",),
    "name": (
        *("name", "objectname", "objname", "object", "target", "targetname", "sourcename", "mainid", "designation"),
        "iauname",
    ),
    "object_id": (
        *("objectid", "objid", "sourceid", "candid", "diaobjectid", "targetid", "photoobjid", "dr7objid", "dr8objid"),
        *("oid", "objectnumber", "galaxyid", "catalogid", "diasourceid", "candidateid", "sdssid", "gaiaid"),
    ),
    "observed_at": (
        *("observedat", "dateobs", "obsdate", "observationdate", "observationtime", "obstime", "dateobserved"),
        *("mjdobs", "obsmjd", "mjd", "mjdmid", "expmjd", "tmin", "jdobs", "obsjd", "jd", "jdutc"),
        *("midpointmjdtai", "mjdtai", "obsmjdtai", "expmidptmjd"),
    ),
    "pixel_scale_arcsec": ("pixelscalearcsec", "pixelscale", "pixscale", "pixscalearcsec"),
    "bands": ("bands", "band", "filter", "filters", "filtername", "filtercode"),
    "credit": ("credit",),
    "url": ("url",),
}

_TAI_NAMES: Final = frozenset({"midpointmjdtai", "mjdtai", "obsmjdtai", "expmidptmjd"})
"""Rubin's times: International Atomic Time."""

_UCDS: Final[dict[str, str]] = {
    "pos.eq.ra": "ra_deg",
    "pos_eq_ra": "ra_deg",
    "pos.eq.dec": "dec_deg",
    "pos_eq_dec": "dec_deg",
    "time.start": "observed_at",
    "time.epoch;obs": "observed_at",
    "instr.bandpass": "bands",
    "meta.file": "file",
}
"""Beginnings of UCD1+ words and of old UCDs."""

_MAIN_ID_UCDS: Final = frozenset({"meta.id;meta.main", "id_main"})

_UNITS: Final[dict[str, AngleUnit]] = {
    **dict.fromkeys(("deg", "degree", "degrees", "°", "d", "d:m:s", "dms", "dd:mm:ss"), "deg"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "hourangle", "h:m:s", "hms", "hh:mm:ss"), "hour"),
    **dict.fromkeys(("rad", "radian", "radians"), "rad"),
}
_UNITS_IN_NAMES: Final[dict[str, AngleUnit]] = {"rahours": "hour", "rahour": "hour", "rahms": "hour"}
_UNIT_IN_NAME: Final = re.compile(r"^(?P<name>.*?)\s*[(\[{](?P<unit>[^()\[\]{}]*)[)\]}]\s*$")
_SEPARATORS: Final = re.compile(r"[\s_.\-]+")
_OTHER_FRAMES: Final = ("fk4", "b1950", "galactic", "supergalactic", "ecl")


@dataclass(frozen=True, slots=True)
class Column:
    """One column as its table declares it.

    Attributes:
        name: As the table has it.
        unit: Of its values, empty where none is said.
        ucd: Its meaning in the words of the Virtual Observatory, empty where none is said.
        frame: Celestial reference system, empty where none is said.
    """

    name: str
    unit: str = ""
    ucd: str = ""
    frame: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A column that is understood.

    Attributes:
        index: Its place in the row.
        column: The column.
        unit: Of an angle, None where nothing is said.
        scale: Of a time.
    """

    index: int
    column: Column
    unit: AngleUnit | None = None
    scale: TimeScale = "utc"


@dataclass(frozen=True, slots=True)
class ColumnUses:
    """What each column of a table is used for.

    Attributes:
        fields: The columns of `file`, `ra_deg`, `dec_deg`, `observed_at` and so on, by field.
        split_ra: Hours, minutes and seconds of right ascension in columns of their own, or empty.
        split_dec: Degrees, minutes and seconds of declination, or empty.
        split_sign: The sign of the declination, where it has a column of its own.
        others: Columns that become further metadata of the image.
    """

    fields: dict[str, Use]
    split_ra: tuple[Use, ...] = ()
    split_dec: tuple[Use, ...] = ()
    split_sign: Use | None = None
    others: tuple[Use, ...] = ()

    @property
    def has_position(self) -> bool:
        """Whether the table gives positions."""
        return bool(self.split_ra) or {"ra_deg", "dec_deg"} <= self.fields.keys()

    @property
    def used_names(self) -> list[str]:
        """Names of the columns that are understood, the file's left out."""
        used = [use for field, use in self.fields.items() if field != "file"]
        split = [*self.split_ra, *([self.split_sign] if self.split_sign else []), *self.split_dec]
        return [use.column.name for use in (*used, *split)]

    @property
    def other_names(self) -> list[str]:
        """Names of the columns that are kept as further metadata."""
        return [use.column.name for use in self.others]


def plain_name(name: str) -> str:
    """A name without what people write differently: case, blanks, underscores, points, hyphens, its unit."""
    text = unicodedata.normalize("NFKC", name).strip()
    found = _UNIT_IN_NAME.match(text)
    return _SEPARATORS.sub("", (found["name"] if found and found["name"] else text).lower())


def assign_columns(columns: Sequence[Column]) -> ColumnUses:
    """Say what each column is for. Of several for the same thing the first of the known names wins."""
    plain: dict[str, int] = {}
    for index, column in enumerate(columns):
        if not _is_other_frame(column):
            plain.setdefault(plain_name(column.name), index)
    fields: dict[str, int] = {}
    for field, index in _by_ucd(columns, main_only=True):
        fields.setdefault(field, index)
    if not {"ra_deg", "dec_deg"} <= fields.keys():
        fields |= _position(plain)
    for field, names in _NAMES.items():
        known = next((plain[name] for name in names if name in plain), None)
        if known is not None:
            fields.setdefault(field, known)
    for field, index in _by_ucd(columns, main_only=False):
        if index not in fields.values():
            fields.setdefault(field, index)
    split = _split(columns, plain) if not {"ra_deg", "dec_deg"} <= fields.keys() else None
    if split is not None:
        fields.pop("ra_deg", None)
        fields.pop("dec_deg", None)
    ra, sign, dec = split or ((), None, ())
    taken = {*fields.values(), *ra, *dec, *([] if sign is None else [sign])}
    return ColumnUses(
        fields={field: _use(index, columns[index]) for field, index in fields.items()},
        split_ra=tuple(_use(index, columns[index]) for index in ra),
        split_dec=tuple(_use(index, columns[index]) for index in dec),
        split_sign=None if sign is None else _use(sign, columns[sign]),
        others=tuple(_use(index, column) for index, column in enumerate(columns) if index not in taken and column.name),
    )


def file_column_names() -> tuple[str, ...]:
    """Names of a column that names files, for a sentence."""
    return _NAMES["file"][:4]


def _by_ucd(columns: Sequence[Column], *, main_only: bool) -> Iterable[tuple[str, int]]:
    for index, column in enumerate(columns):
        ucd = column.ucd.strip().lower()
        if not ucd or _is_other_frame(column) or (main_only and "main" not in ucd):
            continue
        if ucd in _MAIN_ID_UCDS:
            yield "object_id", index
        for beginning, field in _UCDS.items():
            if ucd.startswith(beginning):
                yield field, index


def _position(plain: dict[str, int]) -> dict[str, int]:
    for ra, dec in POSITIONS:
        if ra in plain and dec in plain:
            return {"ra_deg": plain[ra], "dec_deg": plain[dec]}
    # Half a position is told row by row.
    halves = {}
    for field, place in (("ra_deg", 0), ("dec_deg", 1)):
        known = next((plain[pair[place]] for pair in POSITIONS if pair[place] in plain), None)
        if known is not None:
            halves[field] = known
    return halves


def _split(
    columns: Sequence[Column], plain: dict[str, int]
) -> tuple[tuple[int, ...], int | None, tuple[int, ...]] | None:
    if not all(name in plain for name in (*_SPLIT_RA, *_SPLIT_DEC)):
        return None
    sign = next((index for index, column in enumerate(columns) if column.name.strip() in _SPLIT_SIGNS), None)
    return tuple(plain[name] for name in _SPLIT_RA), sign, tuple(plain[name] for name in _SPLIT_DEC)


def _use(index: int, column: Column) -> Use:
    plain = plain_name(column.name)
    found = _UNIT_IN_NAME.match(column.name)
    said = column.unit or (found["unit"] if found else "")
    unit = _UNITS.get(said.strip().strip("\"'").lower()) or _UNITS_IN_NAMES.get(plain)
    return Use(index, column, unit, "tai" if plain in _TAI_NAMES else "utc")


def _is_other_frame(column: Column) -> bool:
    return any(frame in column.frame.lower() for frame in _OTHER_FRAMES)
