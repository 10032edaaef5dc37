"""Matching against a catalogue on this machine, beside `astropy.coordinates.match_to_catalog_sky` in the same run.

The catalogue is made: half of its objects lie evenly over the sky, half in crowded places, as stars in the plane of a
galaxy and in clusters do; the positions that are asked about are drawn in the same way. Rates are positions a second,
and a second of processor time of one core, which other work on the machine does not change much.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues, match_index
from astrolens.local_catalogues.importing import ImportOptions, import_table
from astrolens.science.match_radius import Target
from astropy.coordinates import SkyCoord, match_coordinates_sky

_RADIUS_ARCSEC = 10.0
_PART = 1_000_000


def positions(rng: np.random.Generator, count: int) -> tuple[Any, Any]:
    """Half of them anywhere, a third in a band along a great circle, the others in twenty clusters."""
    even, band = count // 2, count // 3
    ra, dec = rng.uniform(0, 360, even), np.degrees(np.arcsin(rng.uniform(-1, 1, even)))
    along, across = rng.uniform(0, 2 * np.pi, band), rng.normal(0, np.radians(4), band)
    tilt = np.radians(62.9)
    x, y, z = np.cos(across) * np.cos(along), np.cos(across) * np.sin(along), np.sin(across)
    y, z = y * np.cos(tilt) - z * np.sin(tilt), y * np.sin(tilt) + z * np.cos(tilt)
    band_ra, band_dec = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arcsin(np.clip(z, -1, 1)))
    rest = count - even - band
    centres = np.random.default_rng(20).uniform([0, -80], [360, 80], (20, 2))[rng.integers(0, 20, rest)]
    offset = rng.normal(0, 0.3, (rest, 2))
    cluster_dec = np.clip(centres[:, 1] + offset[:, 1], -90, 90)
    cluster_ra = (centres[:, 0] + offset[:, 0] / np.cos(np.radians(cluster_dec))) % 360.0
    return np.concatenate([ra, band_ra, cluster_ra]), np.concatenate([dec, band_dec, cluster_dec])


def make_table(path: Path, rows: int) -> None:
    """A Parquet table with positions, names and magnitudes."""
    rng = np.random.default_rng(2026)
    writer = None
    for start in range(0, rows, _PART):
        count = min(_PART, rows - start)
        ra, dec = positions(rng, count)
        table = pa.table(
            {
                "name": [f"made {start + n}" for n in range(count)],
                "ra_deg": ra,
                "dec_deg": dec,
                "magnitude": rng.uniform(12, 22, count).astype(np.float32),
            }
        )
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def measured(folder: Path, rows: int, asked: int) -> dict[str, Any]:
    """Import a made catalogue and match positions against it."""
    path = folder / "made.parquet"
    make_table(path, rows)
    figures: dict[str, Any] = {"rows": rows, "positions": asked, "radius_arcsec": _RADIUS_ARCSEC}
    figures["import"] = _in_own_process("import", folder, rows, asked)
    figures["import"]["bytes_a_row"] = round(
        sum(each.stat().st_size for each in (folder / "catalogues" / "made").glob("*/*")) / rows, 1
    )
    figures["ours"] = _in_own_process("ours", folder, rows, asked)
    figures["astropy"] = _in_own_process("astropy", folder, rows, asked)
    assert figures["ours"]["nearest_sum_arcsec"] == figures["astropy"]["nearest_sum_arcsec"], (
        "not the same nearest objects"
    )
    return figures


def _in_own_process(part: str, folder: Path, rows: int, asked: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.catalogues", "--part", part, "--folder", str(folder)]
    command += ["--rows", str(rows), "--positions", str(asked)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3600, env=environment)
    figures = json.loads(answer.stdout)
    assert isinstance(figures, dict)
    return figures


def _import(folder: Path, rows: int, _: int) -> dict[str, Any]:
    began, cpu = time.monotonic(), time.process_time()
    options = ImportOptions(name="made", coverage="full-sky")
    import_table(folder / "made.parquet", options, folder=folder / "catalogues")
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    return {"rows_per_s": round(rows / seconds), "rows_per_cpu_s": round(rows / cpu), **_memory()}


def _ours(folder: Path, _: int, asked: int) -> dict[str, Any]:
    ra, dec = positions(np.random.default_rng(7), asked)
    index = LocalCatalogues(folder / "catalogues").get("made")
    # Cold: the pages of the catalogue may have to come from the disk.
    cold = _rate(asked // 10, lambda: index.cone(ra[::10], dec[::10], _RADIUS_ARCSEC))
    figures = {"cold_cone_per_cpu_s": cold[1], "cold_cone_per_s": cold[0]}
    found = index.cone(ra, dec, _RADIUS_ARCSEC)
    figures["pairs"] = found.row.size
    figures["cone_per_s"], figures["cone_per_cpu_s"] = _rate(asked, lambda: index.cone(ra, dec, _RADIUS_ARCSEC))
    nearest = index.nearest(ra, dec)
    figures["nearest_per_s"], figures["nearest_per_cpu_s"] = _rate(asked, lambda: index.nearest(ra, dec))
    few = [Target(ra_deg=float(a), dec_deg=float(d)) for a, d in zip(ra[::5], dec[::5], strict=True)]
    # Everything that a cross-match needs: coverage, chance, the nearest object, names, verdicts.
    figures["match_per_s"], figures["match_per_cpu_s"] = _rate(len(few), lambda: match_index(index, few))
    return {**figures, "nearest_sum_arcsec": round(float(nearest.separation_arcsec.sum()), 3), **_memory()}


def _astropy(folder: Path, _: int, asked: int) -> dict[str, Any]:
    table = pyarrow.parquet.read_table(folder / "made.parquet", columns=["ra_deg", "dec_deg"])
    catalogue = SkyCoord(table["ra_deg"].to_numpy() * u.deg, table["dec_deg"].to_numpy() * u.deg)
    ra, dec = positions(np.random.default_rng(7), asked)
    targets = SkyCoord(ra * u.deg, dec * u.deg)
    began, cpu = time.monotonic(), time.process_time()
    match_coordinates_sky(targets[:1], catalogue)
    figures = {"tree_s": round(time.monotonic() - began, 2), "tree_cpu_s": round(time.process_time() - cpu, 2)}
    figures["nearest_per_s"], figures["nearest_per_cpu_s"] = _rate(
        asked, lambda: match_coordinates_sky(targets, catalogue)
    )
    _, separation, _ = match_coordinates_sky(targets, catalogue)
    return {**figures, "nearest_sum_arcsec": round(float(separation.arcsec.sum()), 3), **_memory()}


def _rate(count: int, call: Callable[[], Any]) -> tuple[int, int]:
    """Positions a second, and a second of processor time."""
    began, cpu = time.monotonic(), time.process_time()
    call()
    return round(count / (time.monotonic() - began)), round(count / max(time.process_time() - cpu, 1e-9))


def _memory() -> dict[str, int]:
    """Own memory of this process at its peak, and what it has mapped and others can share, MiB."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    anonymous, mapped = (int(status[key].split()[0]) // 1024 for key in ("RssAnon", "RssFile"))
    return {"own_mib": anonymous, "mapped_mib": mapped, "peak_mib": int(status["VmHWM"].split()[0]) // 1024}


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="objects of the made catalogue")
    parser.add_argument("--positions", type=int, default=50_000, help="positions that are matched")
    parser.add_argument("--folder", type=Path, help="keep the catalogue here")
    parser.add_argument("--part", choices=("import", "ours", "astropy"), help="one part, in this process")
    arguments = parser.parse_args()
    if arguments.part:
        part = {"import": _import, "ours": _ours, "astropy": _astropy}[arguments.part]
        print(json.dumps(part(arguments.folder, arguments.rows, arguments.positions)))
        return
    with tempfile.TemporaryDirectory(prefix="astrolens-bench-") as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(measured(folder, arguments.rows, arguments.positions), indent=2))


if __name__ == "__main__":
    main()
