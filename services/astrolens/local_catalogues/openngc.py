"""Makes the shipped OpenNGC: `python -m astrolens.local_catalogues.openngc OpenNGC.csv RELEASE`.

OpenNGC (https://github.com/mattiaverga/OpenNGC, Mattia Verga, CC-BY-SA 4.0) lists the NGC and IC objects with
positions, types, outlines, magnitudes and other names. Entries that do not exist are left out; an entry that repeats
another is an alias of it.
"""

import csv
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from astrolens.local_catalogues.catalogue_folder import SHIPPED
from astrolens.local_catalogues.columns import TableColumn
from astrolens.local_catalogues.importing import FULL_SKY, ImportOptions, ImportReport, write_catalogue

_COLUMNS: Final = (
    TableColumn(name="name"),
    TableColumn(name="aliases"),
    TableColumn(name="type"),
    TableColumn(name="ra", unit="h:m:s"),
    TableColumn(name="dec", unit="d:m:s"),
    TableColumn(name="major_axis", unit="arcmin"),
    TableColumn(name="minor_axis", unit="arcmin"),
    TableColumn(name="position_angle", unit="deg"),
    TableColumn(name="magnitude"),
    TableColumn(name="redshift"),
)
_ERROR_ARCSEC: Final = 1.5
"""Right ascensions have two decimals of a second or one, and centres of extended objects are by eye."""

OPTIONS: Final = ImportOptions(
    name="openngc",
    title="OpenNGC: NGC and IC objects",
    error_arcsec=_ERROR_ARCSEC,
    coverage=FULL_SKY,
    credit="OpenNGC, Mattia Verga and contributors, CC-BY-SA 4.0, https://github.com/mattiaverga/OpenNGC",
    link="https://ned.ipac.caltech.edu/byname?objname={name}",
)


_LICENCE: Final = """\
# OpenNGC

The files in this folder are made from OpenNGC, the database of NGC and IC objects by Mattia Verga and contributors
(https://github.com/mattiaverga/OpenNGC). They are not under the licence of AstroLens but, like OpenNGC itself, under
the Creative Commons Attribution-ShareAlike 4.0 International licence (CC-BY-SA 4.0,
https://creativecommons.org/licenses/by-sa/4.0/). Whoever passes them on, changed or not, names OpenNGC and keeps this
licence.

Changes: entries that do not exist are left out; an entry that repeats another became an alias of it; positions are in
degrees, axes are halved and in arcseconds; the magnitude is V, or B where there is no V. The files have the format of
`astrolens/local_catalogues/catalogue_format.py`; `python -m astrolens.local_catalogues.openngc OpenNGC.csv RELEASE`
writes them.
"""


class OpenNgcTable:
    """OpenNGC's CSV as a table."""

    def __init__(self, path: Path) -> None:
        self.columns: Sequence[TableColumn] = _COLUMNS
        self._entries = _entries(path)
        self.rows: int | None = len(self._entries)
        self.unreadable = 0

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """All entries at once."""
        columns = [pa.array([entry[name] for entry in self._entries], type=pa.string()) for name in names]
        yield pa.RecordBatch.from_arrays(columns, names=list(names))


def make_openngc(path: Path, folder: Path, *, release: str, moment: datetime) -> ImportReport:
    """Write the catalogue into a folder, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "LICENSE.md").write_text(_LICENCE, encoding="utf-8")
    options = ImportOptions(**{**OPTIONS.__dict__, "release": release})
    return write_catalogue(OpenNgcTable(path), options, folder, source=path.name, moment=moment)


def display_name(code: str) -> str:
    """`NGC 224` of `NGC0224`, `IC 80 NED01` of `IC0080 NED01`: letters, and the number without zeros."""
    return re.sub(r"^([A-Z]+) ?0*(\d)", r"\1 \2", code)


def _entries(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file, delimiter=";"))
    aliases = defaultdict(list)
    for row in table:
        if row["Type"] == "Dup":
            for catalogue in ("NGC", "IC"):
                for number in filter(None, row[catalogue].split(",")):
                    aliases[display_name(f"{catalogue}{number}")].append(display_name(row["Name"]))
    entries = []
    for row in table:
        if row["Type"] in {"Dup", "NonEx"} or not row["RA"]:
            continue
        name = display_name(row["Name"])
        messier = [f"M {int(row['M'])}"] if row["M"] else []
        others = [each.strip() for column in ("Common names", "Identifiers") for each in row[column].split(",")]
        known = dict.fromkeys(filter(None, [*messier, *aliases[name], *others]))
        entries.append(
            {
                "name": name,
                "aliases": ",".join(known),
                "type": row["Type"],
                "ra": row["RA"],
                "dec": row["Dec"],
                "major_axis": row["MajAx"],
                "minor_axis": row["MinAx"],
                "position_angle": row["PosAng"],
                "magnitude": row["V-Mag"] or row["B-Mag"],
                "redshift": row["Redshift"],
            }
        )
    return entries


def main(arguments: Sequence[str]) -> int:
    """Make the shipped catalogue from a CSV of OpenNGC and the name of its release."""
    path, release = Path(arguments[0]), arguments[1]
    moment = datetime.fromtimestamp(0, UTC)
    report: Any = make_openngc(path, SHIPPED / OPTIONS.name, release=release, moment=moment)
    sys.stdout.write(f"{report.manifest.rows} objects, {report.manifest.bad_rows} without a position\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
