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
from astrolens.usecases.observation_times import SCALES, TimeScale
from astrolens.usecases.tables.frames import (
    ICRS,
    LONGITUDE_UCDS,
    LONGITUDES,
    LONGITUDES_WITH_UNIT,
    UNKNOWN,
    Frame,
    parse_frame,
)

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
    *(("radeg", "dedeg"), ("rad", "decd"), ("alphasky", "deltasky")),
    *(("rarad", "decrad"), ("raradians", "decradians"), ("rahms", "decdeg"), ("rahr", "decdeg")),
    # Rubin: radians in the pipelines' own catalogues, degrees in those of the data releases.
    ("coordra", "coorddec"),
)
"""Pairs of names, as `plain_name` makes them, the preferred ones first. They are ICRS or FK5 J2000, which differ by
less than 0.1 arcsec, unless the table says otherwise."""

_OF_ANOTHER_YEAR: Final = re.compile(r"(?P<begin>ra|alpha|radeg|rahms)(?P<year>[bj]?\d{4})$")
_DECLINATIONS: Final = {"ra": ("dec", "de", "decl"), "alpha": ("delta",), "radeg": ("decdeg",), "rahms": ("decdms",)}
"""`ra_b1950` with `dec_b1950`, `_RAB1950` with `_DEB1950`, `RA1950`, `alpha_1950`: positions of that equinox."""
_SAYS_J2000: Final = re.compile(r"2000|icrs")

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
    "system": ("radesys", "radecsys", "coordsys", "coosys", "coordinatesystem", "refframe", "coordframe"),
    "frame": ("frame", "system", "refsys", "referencesystem"),
    "equinox": ("equinox", "equ", "coordequinox", "eqx", "posequinox"),
    "epoch": ("epoch", "posepoch"),
    "credit": ("credit",),
    "url": ("url",),
}

_OF_EITHER_UNIT: Final = frozenset({"coordra", "coorddec"})
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
    **dict.fromkeys(("arcmin", "arcminute", "arcminutes"), "arcmin"),
    **dict.fromkeys(("arcsec", "arcsecond", "arcseconds"), "arcsec"),
    "mas": "mas",
}
_UNITS_IN_NAMES: Final[dict[str, AngleUnit]] = {
    **dict.fromkeys(("rahours", "rahour", "rahms", "rahr"), "hour"),
    **dict.fromkeys(("rarad", "decrad", "raradians", "decradians"), "rad"),
}
_UNIT_IN_NAME: Final = re.compile(r"^(?P<name>.*?)\s*[(\[{](?P<unit>[^()\[\]{}]*)[)\]}]\s*$")
_SEPARATORS: Final = re.compile(r"[\s_.\-]+")


@dataclass(frozen=True, slots=True)
class Column:
    """One column as its table declares it.

    Attributes:
        name: As the table has it.
        unit: Of its values, empty where none is said.
        ucd: Its meaning in the words of the Virtual Observatory, empty where none is said.
        frame: Celestial reference system of its positions, empty where none is said.
        scale: Of its times, such as `TAI`, empty where none is said.
        origin_jd: The Julian date from which its times are counted in days; None where none is said.
    """

    name: str
    unit: str = ""
    ucd: str = ""
    frame: str = ""
    scale: str = ""
    origin_jd: float | None = None


@dataclass(frozen=True, slots=True)
class AssignedColumn:
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
class ColumnAssignment:
    """What each column of a table is used for.

    Attributes:
        fields: The columns of `file`, `ra_deg`, `dec_deg`, `observed_at` and so on, by field.
        split_ra: Hours, minutes and seconds of right ascension in columns of their own, or empty.
        split_dec: Degrees, minutes and seconds of declination, or empty.
        split_sign: The sign of the declination, where it has a column of its own.
        others: Columns that become further metadata of the image.
        frame: Of the positions, by the names of their columns or what the table says of them; None where neither does,
            and each row may say it.
        notes: Clauses about columns that look like something and are not taken for it.
    """

    fields: dict[str, AssignedColumn]
    split_ra: tuple[AssignedColumn, ...] = ()
    split_dec: tuple[AssignedColumn, ...] = ()
    split_sign: AssignedColumn | None = None
    others: tuple[AssignedColumn, ...] = ()
    frame: Frame | None = None
    notes: tuple[str, ...] = ()

    @property
    def unit_is_open(self) -> bool:
        """Whether the numbers of the position may be radians as well as degrees."""
        pair = [assigned for field in ("ra_deg", "dec_deg") if (assigned := self.fields.get(field)) is not None]
        return any(plain_name(assigned.column.name) in _OF_EITHER_UNIT and assigned.unit is None for assigned in pair)

    @property
    def has_position(self) -> bool:
        """Whether the table gives positions."""
        return bool(self.split_ra) or {"ra_deg", "dec_deg"} <= self.fields.keys()

    @property
    def used_names(self) -> list[str]:
        """Names of the columns that are understood, the file's left out."""
        used = [assigned for field, assigned in self.fields.items() if field != "file"]
        split = [*self.split_ra, *([self.split_sign] if self.split_sign else []), *self.split_dec]
        return [assigned.column.name for assigned in (*used, *split)]

    @property
    def other_names(self) -> list[str]:
        """Names of the columns that are kept as further metadata."""
        return [assigned.column.name for assigned in self.others]


def plain_name(name: str) -> str:
    """A name without what people write differently: case, blanks, underscores, points, hyphens, its unit."""
    text = unicodedata.normalize("NFKC", name).strip()
    found = _UNIT_IN_NAME.match(text)
    return _SEPARATORS.sub("", (found["name"] if found and found["name"] else text).lower())


def assign_columns(columns: Sequence[Column]) -> ColumnAssignment:
    """Say what each column is for. Of several for the same thing the first of the known names wins."""
    frames = [_frame_of(column) for column in columns]
    plain: dict[str, int] = {}
    for index, (column, frame) in enumerate(zip(columns, frames, strict=True)):
        if frame is None or frame.is_icrs or not _is_position(column):
            plain.setdefault(plain_name(column.name), index)
    fields = _fields(columns, frames, plain)
    split = _split(columns, plain) if not _has_both(fields) else None
    other = _in_another_frame(columns, frames) if split is None and not _has_both(fields) else None
    if split is not None:
        fields = {field: index for field, index in fields.items() if field not in {"ra_deg", "dec_deg"}}
    elif other is not None:
        fields |= {"ra_deg": other[0], "dec_deg": other[1]}
    ra, sign, dec = split or ((), None, ())
    taken = {*fields.values(), *ra, *dec, *([] if sign is None else [sign])}
    place = ra[0] if ra else fields.get("ra_deg")
    frame = other[2] if other else None if place is None else frames[place]
    letters = [next((i for i, one in enumerate(columns) if plain_name(one.name) == name), None) for name in "lb"]
    notes = []
    if place is None and None not in letters:
        notes.append("l and b are no position without a unit: call them glon and glat, or `l (deg)` and `b (deg)`")
    return ColumnAssignment(
        fields={
            field: _assigned(
                index, columns[index], is_longitude=field == "ra_deg" and other is not None and _is_longitude(frame)
            )
            for field, index in fields.items()
        },
        split_ra=tuple(_assigned(index, columns[index]) for index in ra),
        split_dec=tuple(_assigned(index, columns[index]) for index in dec),
        split_sign=None if sign is None else _assigned(sign, columns[sign]),
        others=tuple(
            _assigned(index, column) for index, column in enumerate(columns) if index not in taken and column.name
        ),
        frame=frame,
        notes=tuple(notes),
    )


def _fields(columns: Sequence[Column], frames: Sequence[Frame | None], plain: dict[str, int]) -> dict[str, int]:
    """The column of each field, by its UCD or its name."""
    fields: dict[str, int] = {}
    for field, index in _by_ucd(columns, frames, main_only=True):
        fields.setdefault(field, index)
    if not _has_both(fields):
        fields |= _position(plain)
    for field, names in _NAMES.items():
        known = next((plain[name] for name in names if name in plain), None)
        if known is not None:
            fields.setdefault(field, known)
    for field, index in _by_ucd(columns, frames, main_only=False):
        if index not in fields.values():
            fields.setdefault(field, index)
    return fields


def file_column_names() -> tuple[str, ...]:
    """Names of a column that names files, for a sentence."""
    return _NAMES["file"][:4]


def _by_ucd(columns: Sequence[Column], frames: Sequence[Frame | None], *, main_only: bool) -> Iterable[tuple[str, int]]:
    for index, column in enumerate(columns):
        ucd = column.ucd.strip().lower()
        frame = frames[index]
        in_another = frame is not None and not frame.is_icrs and "pos" in ucd
        if not ucd or in_another or (main_only and "main" not in ucd):
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


def _has_both(fields: dict[str, int]) -> bool:
    return {"ra_deg", "dec_deg"} <= fields.keys()


def _in_another_frame(columns: Sequence[Column], frames: Sequence[Frame | None]) -> tuple[int, int, Frame] | None:
    """The columns of a position that is not ICRS, where there is none that is, and its frame."""
    by_frame: dict[Frame, list[int]] = {}
    for index, frame in enumerate(frames):
        if frame is not None:
            by_frame.setdefault(frame, []).append(index)
    for frame, indices in by_frame.items():
        names = {plain_name(columns[index].name): index for index in indices}
        ucds = {columns[index].ucd.strip().lower().split(";")[0].replace("_", "."): index for index in indices}
        pairs = [(names, pair) for pair in POSITIONS] + [(ucds, ("pos.eq.ra", "pos.eq.dec"))]
        for known, (ra, dec) in pairs:
            if frame.is_equatorial and ra in known and dec in known:
                return known[ra], known[dec], frame
    plain = {plain_name(column.name): index for index, column in enumerate(columns)}
    for name, index in plain.items():
        if not (found := _OF_ANOTHER_YEAR.match(name)):
            continue
        for declination in _DECLINATIONS[found["begin"]]:
            other, frame_of_year = plain.get(declination + found["year"]), parse_frame(found["year"])
            if other is not None and frame_of_year is not None:
                return index, other, frame_of_year
    return _by_longitude(columns, frames, plain)


def _by_longitude(
    columns: Sequence[Column], frames: Sequence[Frame | None], plain: dict[str, int]
) -> tuple[int, int, Frame] | None:
    """Longitude and latitude in a frame that is not equatorial, by UCD or name."""
    ucds: dict[str, int] = {}
    for index, column in enumerate(columns):
        ucds.setdefault(column.ucd.strip().lower().split(";")[0].replace("_", "."), index)
    with_unit = {name: index for name, index in plain.items() if _unit_of(columns[index]) is not None}
    known = [(ucds, LONGITUDE_UCDS), (plain, LONGITUDES), (with_unit, (LONGITUDES_WITH_UNIT,))]
    for names, pairs in known:
        for lon, lat, frame in pairs:
            if lon in names and lat in names:
                said = frames[names[lon]]
                # The equinox of an ecliptic; a frame of other kinds is that of the table's other columns.
                return names[lon], names[lat], said if said and said.system == frame.system else frame
    return None


def _is_longitude(frame: Frame | None) -> bool:
    return frame is not None and not frame.is_equatorial and frame != UNKNOWN


def _assigned(index: int, column: Column, *, is_longitude: bool = False) -> AssignedColumn:
    plain = plain_name(column.name)
    unit = _unit_of(column) or _UNITS_IN_NAMES.get(plain) or _unit_in_name_of_year(plain)
    # Sexagesimal text is in hours in right ascensions only.
    unit = unit or ("deg" if is_longitude else None)
    words = [column.scale, *_words_of_unit(column)]
    scale = next((SCALES[word.lower()] for word in words if word.lower() in SCALES), None)
    return AssignedColumn(index, column, unit, scale or ("tai" if plain in _TAI_NAMES else "utc"))


def _words_of_unit(column: Column) -> list[str]:
    """What is said of the unit, as a whole and by its words: `RA (J2000, hours)` says a frame as well."""
    found = _UNIT_IN_NAME.match(column.name)
    said = [text.strip().strip("\"'") for text in (column.unit, found["unit"] if found else "") if text.strip()]
    return [*said, *(word for text in said for word in re.split(r"[,;\s]+", text))]


def _unit_of(column: Column) -> AngleUnit | None:
    return next((_UNITS[word.lower()] for word in _words_of_unit(column) if word.lower() in _UNITS), None)


def _unit_in_name_of_year(plain: str) -> AngleUnit | None:
    found = _OF_ANOTHER_YEAR.match(plain)
    return _UNITS_IN_NAMES.get(found["begin"]) if found else None


def _frame_of(column: Column) -> Frame | None:
    """The frame that the name of a column says, or the table, or a bracket behind the name."""
    if _SAYS_J2000.search(plain_name(column.name)):
        return ICRS
    if column.frame:
        return parse_frame(column.frame) or UNKNOWN
    return next((frame for word in _words_of_unit(column) if (frame := parse_frame(word)) is not None), None)


def _is_position(column: Column) -> bool:
    """Whether a column is one of a position, to which a frame matters."""
    plain = plain_name(column.name)
    return any(plain in pair for pair in POSITIONS) or "pos" in column.ucd.lower()
