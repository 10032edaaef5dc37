"""Small catalogues made for tests, and the slow way to search them."""

from pathlib import Path
from typing import Any

import numpy as np
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues
from astrolens.local_catalogues.importing import ImportOptions, import_table
from astrolens.local_catalogues.index import CatalogueIndex
from astrolens.science.sphere import moved, separation_arcsec

EPOCH = 2016.0


def sky(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Positions where searches go wrong: all over the sky, at both poles, along RA = 0, and where base cells meet."""
    clumps = [(0.0, 90.0), (123.0, -90.0), (0.0, 10.0), (359.9999, -35.0), (45.0, 41.8103), (0.0, 41.8103), (90.0, 0.0)]
    each = count // (2 * len(clumps))
    ra, dec = rng.uniform(0, 360, count - each * len(clumps)), rng.uniform(-1, 1, count - each * len(clumps))
    all_ra, all_dec = [ra], [np.degrees(np.arcsin(dec))]
    for centre_ra, centre_dec in clumps:
        # Steps of all sizes, from a milliarcsecond to a degree.
        step = 10 ** rng.uniform(-3, 3.5, each) * 1000.0
        angle = rng.uniform(0, 2 * np.pi, each)
        near = moved(np.full(each, centre_ra), np.full(each, centre_dec), step * np.cos(angle), step * np.sin(angle), 1)
        all_ra.append(near[0])
        all_dec.append(near[1])
    return np.concatenate(all_ra), np.concatenate(all_dec)


def made(
    folder: Path, *, count: int = 3000, seed: int = 1, moving: bool = False, sized: bool = False
) -> CatalogueIndex:
    """A catalogue of `sky`, imported from CSV."""
    rng = np.random.default_rng(seed)
    ra, dec = sky(rng, count)
    columns = {"name": [f"obj {n}" for n in range(count)], "ra_deg": ra, "dec_deg": dec}
    if moving:
        columns |= {"pmra": rng.normal(0, 300, count), "pmdec": rng.normal(0, 300, count)}
        columns["pmra"][:5], columns["pmdec"][:5] = 10_000.0, -8_000.0
    if sized:
        columns["semi_major_arcsec"] = 10 ** rng.uniform(-1, 3.8, count)
    path = folder / "made.csv"
    table = np.rec.fromarrays([*columns.values()], names=[*columns])
    lines = [",".join(columns), *(",".join(str(value) for value in row) for row in table.tolist())]
    path.write_text("\n".join(lines) + "\n")
    import_table(path, ImportOptions(name="made", epoch_year=EPOCH, coverage="full-sky"), folder=folder / "catalogues")
    return LocalCatalogues(folder / "catalogues").get("made")


def everything(index: CatalogueIndex) -> np.ndarray:
    """All rows."""
    return np.arange(index.manifest.rows)


def brute_force(
    index: CatalogueIndex, ra: Any, dec: Any, limit: Any, *, year: float = np.nan, outline: bool = False
) -> set:
    """(position, row) of all rows within a limit, by looking at every row."""
    rows = everything(index)
    row_ra, row_dec = index.column("ra_deg", rows), index.column("dec_deg", rows)
    if not np.isnan(year):
        row_ra, row_dec = moved(
            row_ra, row_dec, index.column("pm_ra_mas_yr", rows), index.column("pm_dec_mas_yr", rows), year - EPOCH
        )
    size = np.nan_to_num(index.column("outline_arcsec", rows)) if outline else 0.0
    found = set()
    for position, (one_ra, one_dec, one_limit) in enumerate(zip(ra, dec, limit, strict=True)):
        near = separation_arcsec(one_ra, one_dec, row_ra, row_dec) <= one_limit + size
        found |= {(position, int(row)) for row in np.flatnonzero(near)}
    return found
