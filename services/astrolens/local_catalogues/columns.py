"""Which column of a table is what: guessed by UCD1+ or by name, or given; and its unit, which is checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import astropy.units as u

from astrolens.platform.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column as its file describes it; `unit` and `ucd` are None where it does not."""

    name: str
    unit: str | None = None
    ucd: str | None = None


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a column may be to us.

    Attributes:
        unit: The unit that we keep; None: text or a pure number.
        ucds: UCD1+ words that say so; all words of one entry must be there.
        names: Names that say so, without regard to case.
        unit_needed: Whether a column without a unit is of no use: lengths on the sky come in all of them.
    """

    unit: u.UnitBase | None = None
    ucds: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    unit_needed: bool = False


_MAS_YR: Final = u.mas / u.yr

ROLES: Final[dict[str, Role]] = {
    "ra": Role(
        unit=u.deg,
        ucds=("pos.eq.ra;meta.main", "pos.eq.ra"),
        names=(
            "ra_deg",
            "ra",
            "raj2000",
            "_raj2000",
            "ra_icrs",
            "_ra",
            "ra_j2000",
            "radeg",
            "right_ascension",
            "alpha_j2000",
        ),
    ),
    "dec": Role(
        unit=u.deg,
        ucds=("pos.eq.dec;meta.main", "pos.eq.dec"),
        names=(
            "dec_deg",
            "dec",
            "dej2000",
            "decj2000",
            "_dej2000",
            "de_icrs",
            "_de",
            "dec_j2000",
            "decdeg",
            "declination",
            "delta_j2000",
        ),
    ),
    "name": Role(
        ucds=("meta.id;meta.main", "meta.id"),
        names=(
            "name",
            "main_id",
            "object",
            "object_id",
            "objname",
            "objid",
            "source_id",
            "designation",
            "id",
            "objectid",
        ),
    ),
    "aliases": Role(names=("aliases", "identifiers", "ids", "other_names")),
    "type": Role(
        ucds=("src.class", "meta.code.class"), names=("type", "otype", "object_type", "objtype", "class", "pretype")
    ),
    "pm_ra": Role(
        unit=_MAS_YR, ucds=("pos.pm;pos.eq.ra",), names=("pmra", "pm_ra", "pmra_cosdec", "pm-ra"), unit_needed=False
    ),
    "pm_dec": Role(unit=_MAS_YR, ucds=("pos.pm;pos.eq.dec",), names=("pmdec", "pm_dec", "pmde", "pm-dec")),
    "parallax": Role(
        unit=u.mas, ucds=("pos.parallax.trig", "pos.parallax"), names=("parallax", "plx", "plx_value", "pax")
    ),
    "redshift": Role(
        ucds=("src.redshift",), names=("redshift", "z", "rvz_redshift", "zsp", "z_spec", "zphot", "photo_z")
    ),
    "magnitude": Role(
        ucds=("phot.mag;em.opt.v", "phot.mag;em.opt.r", "phot.mag;em.opt", "phot.mag"),
        names=(
            "mag",
            "magnitude",
            "vmag",
            "v-mag",
            "rmag",
            "mag_r",
            "phot_g_mean_mag",
            "gmag",
            "bmag",
            "b-mag",
            "kmag",
        ),
    ),
    "semi_major": Role(
        unit=u.arcsec,
        ucds=("phys.angsize.smajaxis",),
        names=("semi_major", "semi_major_arcsec", "smaj", "a_image", "radius_arcsec"),
        unit_needed=True,
    ),
    "semi_minor": Role(
        unit=u.arcsec,
        ucds=("phys.angsize.sminaxis",),
        names=("semi_minor", "semi_minor_arcsec", "smin"),
        unit_needed=True,
    ),
    "major_axis": Role(
        unit=u.arcsec,
        ucds=("phys.angsize",),
        names=(
            "majax",
            "maj",
            "majaxis",
            "major_axis",
            "major_axis_arcsec",
            "galdim_majaxis",
            "diam",
            "d25",
            "maj_diam",
        ),
        unit_needed=True,
    ),
    "minor_axis": Role(
        unit=u.arcsec,
        names=("minax", "min", "minaxis", "minor_axis", "minor_axis_arcsec", "galdim_minaxis"),
        unit_needed=True,
    ),
    "position_angle": Role(
        unit=u.deg, ucds=("pos.posang",), names=("pa", "posang", "position_angle", "galdim_angle", "position_angle_deg")
    ),
    "error": Role(
        unit=u.arcsec,
        ucds=("stat.error;pos.eq.ra", "stat.error;pos.eq", "stat.error;pos"),
        names=("ra_error", "e_raj2000", "pos_error", "poserr", "error_arcsec", "position_error", "raduncert"),
        unit_needed=True,
    ),
}
"""Roles by name, for `--column ROLE=COLUMN` and `--unit ROLE=UNIT`."""

_NAME_UNITS: Final = (
    ("_deg", "deg"),
    ("_arcsec", "arcsec"),
    ("_arcmin", "arcmin"),
    ("_mas", "mas"),
    ("_mas_yr", "mas/yr"),
)
_SEXAGESIMAL_UNITS: Final = frozenset({"h:m:s", "d:m:s", "hms", "dms", '"h:m:s"', '"d:m:s"', "sexagesimal"})


@dataclass(frozen=True, kw_only=True)
class ChosenColumn:
    """A column with a role.

    Attributes:
        name: Of the column in the table.
        factor: From its unit to ours.
        hours: Whether numbers in it are hours of right ascension.
    """

    name: str
    factor: float = 1.0
    hours: bool = False


@dataclass(frozen=True, kw_only=True)
class ColumnChoice:
    """Which columns are used, by role; and what was left out, as sentences for people."""

    columns: Mapping[str, ChosenColumn]
    left_out: tuple[str, ...] = ()


def choose_columns(table: Sequence[TableColumn], *, given: Mapping[str, str], units: Mapping[str, str]) -> ColumnChoice:
    """Decide what each column is.

    Args:
        table: The columns of the table.
        given: Columns by role, as the user named them.
        units: Units by role, for columns that do not state theirs, or state it wrong.

    Raises:
        ConfigurationError: A role, a column or a unit is not known, or there is no position.
    """
    for role in (*given, *units):
        if role not in ROLES:
            raise ConfigurationError(f"{role!r} is no role of a column; use one of {', '.join(ROLES)}")
    by_name = {column.name: column for column in table}
    chosen: dict[str, ChosenColumn] = {}
    left_out: list[str] = []
    taken = set(given.values())
    for role, wanted in ROLES.items():
        if role in given:
            if given[role] not in by_name:
                raise ConfigurationError(
                    f"the table has no column {given[role]!r} for {role}; it has {', '.join(by_name)}"
                )
            chosen[role] = _with_unit(role, wanted, by_name[given[role]], units.get(role))
            continue
        found = find_column(wanted, [column for column in table if column.name not in taken])
        if found is None:
            continue
        if wanted.unit_needed and not (units.get(role) or _own_unit(found)):
            left_out.append(f"{found.name} looks like {role} but tells no unit; give --unit {role}=arcmin to use it")
            continue
        chosen[role] = _with_unit(role, wanted, found, units.get(role))
        taken.add(found.name)
    for role in ("ra", "dec"):
        if role not in chosen:
            raise ConfigurationError(
                f"no column of the table is {role} of an ICRS position; name it with --column {role}=NAME. "
                f"The table has {', '.join(by_name)}"
            )
    return ColumnChoice(columns=chosen, left_out=tuple(left_out))


def find_column(role: Role, table: Sequence[TableColumn]) -> TableColumn | None:
    """The column that has a role by its UCD1+ or its name."""
    for ucd in role.ucds:
        words = set(ucd.split(";"))
        for column in table:
            own = set((column.ucd or "").lower().replace(" ", "").split(";"))
            # `stat.error;pos.eq.ra` is no position.
            if words <= own and (own <= words | {"meta.main"} or "phot.mag" in words or "src.class" in words):
                return column
    lowered = {column.name.lower(): column for column in reversed(table)}
    return next((lowered[name] for name in role.names if name in lowered), None)


def _own_unit(column: TableColumn) -> str | None:
    if column.unit and column.unit.strip():
        return column.unit.strip()
    if found := re.search(r"[\[(]([^\])]+)[\])]\s*$", column.name):
        return found[1]
    return next((unit for suffix, unit in reversed(_NAME_UNITS) if column.name.lower().endswith(suffix)), None)


def _with_unit(role: str, wanted: Role, column: TableColumn, given: str | None) -> ChosenColumn:
    if wanted.unit is None:
        return ChosenColumn(name=column.name)
    text = given or _own_unit(column)
    if text is None:
        if wanted.unit_needed:
            raise ConfigurationError(
                f"the column {column.name!r} tells no unit; give --unit {role}=arcmin (or another)"
            )
        return ChosenColumn(name=column.name)
    if text.lower() in _SEXAGESIMAL_UNITS:
        return ChosenColumn(name=column.name, hours=role == "ra")
    try:
        unit = u.Unit(text)
        factor = float(unit.to(wanted.unit))
    except (ValueError, TypeError, u.UnitConversionError) as error:
        raise ConfigurationError(
            f"the unit {text!r} of {column.name!r} cannot be turned into {wanted.unit} for {role} ({error}); "
            f"give the right one with --unit {role}=UNIT, or another column"
        ) from error
    return ChosenColumn(name=column.name, factor=factor)
