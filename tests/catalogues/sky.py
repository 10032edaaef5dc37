"""A small sky of made objects, and the VOTables that services write about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from astrolens.crossref.places import Place, separation_arcsec

QUASAR = (187.277915, 2.052388)
CORE = (10.684708, 41.26875)


@dataclass(frozen=True)
class Thing:
    """One object of the sky."""

    name: str
    ra_deg: float
    dec_deg: float
    kind: str = "G"
    references: int = 7
    major_arcmin: float | None = None
    redshift: float | None = None


@dataclass
class Sky:
    """What there is. The places of the canaries are always there."""

    things: list[Thing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.things = [*canary_things(), *self.things]

    def around(self, ra_deg: float, dec_deg: float, radius_arcsec: float) -> list[Thing]:
        return [
            thing
            for thing in self.things
            if separation_arcsec(ra_deg, dec_deg, thing.ra_deg, thing.dec_deg) <= radius_arcsec
        ]


def canary_things() -> list[Thing]:
    """3C 273, and M 31 with what is around its core."""
    crowd = [Thing(f"[X] {number}", CORE[0] + 0.0015 * number, CORE[1] + 0.001, "*") for number in range(1, 16)]
    return [
        Thing("3C 273", *QUASAR, kind="QSO", references=5000, redshift=0.158),
        Thing("M  31", *CORE, kind="AGN", references=9000, major_arcmin=199.5),
        Thing("omi Cet", 34.836617, -2.977647, "M"),
        *crowd,
    ]


@dataclass(frozen=True)
class Field:
    """A column of a reply."""

    name: str
    datatype: str
    unit: str = ""
    ucd: str = ""


def votable(
    fields: Sequence[Field],
    rows: Sequence[Sequence[object]],
    *,
    status: str | None = "OK",
    after: str = "",
    before: str = "",
    notes: Mapping[str, str] | None = None,
) -> str:
    """A VOTable as TAP services write it: the status first, a possible overflow behind the table.

    Args:
        fields: The columns.
        rows: Their values; None is an empty cell.
        status: Value of `QUERY_STATUS`; None leaves it out.
        after: Elements behind the table.
        before: Elements in front of it.
        notes: INFOs by name.
    """
    heads = "".join(
        f"<FIELD name={quoteattr(each.name)} datatype={quoteattr(each.datatype)}"
        + (' arraysize="*"' if each.datatype == "char" else "")
        + (f" unit={quoteattr(each.unit)}" if each.unit else "")
        + (f" ucd={quoteattr(each.ucd)}" if each.ucd else "")
        + "/>"
        for each in fields
    )
    cells = "\n".join(
        "<TR>" + "".join(f"<TD>{'' if value is None else escape(str(value))}</TD>" for value in row) + "</TR>"
        for row in rows
    )
    infos = "".join(f"<INFO name={quoteattr(name)} value={quoteattr(value)}/>" for name, value in (notes or {}).items())
    said = "" if status is None else f'<INFO name="QUERY_STATUS" value="{status}"/>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results">{said}{infos}{before}<TABLE>{heads}<DATA><TABLEDATA>\n{cells}\n</TABLEDATA></DATA>'
        f"</TABLE>{after}</RESOURCE></VOTABLE>"
    )


SIMBAD_FIELDS = (
    Field("k", "char"),
    Field("main_id", "char", ucd="meta.id;meta.main"),
    Field("otype", "char", ucd="src.class"),
    Field("ra", "double", "deg", "pos.eq.ra;meta.main"),
    Field("dec", "double", "deg", "pos.eq.dec;meta.main"),
    Field("coo_err_maj", "float", "mas"),
    Field("galdim_majaxis", "float", "arcmin"),
    Field("galdim_minaxis", "float", "arcmin"),
    Field("galdim_angle", "short", "deg"),
    Field("rvz_redshift", "double"),
    Field("plx_value", "double", "mas"),
    Field("nbref", "int"),
)


def simbad_rows(sky: Sky, places: Sequence[Place], radius_arcsec: float) -> list[list[object]]:
    """The rows of SIMBAD's answer about uploaded places."""
    return [
        [
            place.key,
            thing.name,
            thing.kind,
            thing.ra_deg,
            thing.dec_deg,
            None,
            thing.major_arcmin,
            thing.major_arcmin,
            None,
            thing.redshift,
            None,
            thing.references,
        ]
        for place in places
        for thing in sky.around(place.ra_deg, place.dec_deg, radius_arcsec)
    ]
