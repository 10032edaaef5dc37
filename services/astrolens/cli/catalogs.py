"""`astrolens catalogs`: import, list, remove and match catalogues on this machine."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from astrolens.cli.console_client import connect, iter_items
from astrolens.cli.show import printable
from astrolens.contracts.sky import unit_vector
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues, current_import
from astrolens.local_catalogues.catalogue_format import BAD_ROWS, Manifest
from astrolens.local_catalogues.importing import ImportOptions, ImportReport, import_table
from astrolens.local_catalogues.position_tables import MatchedPosition, PositionOptions, PositionTable
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import load_settings
from astrolens.usecases.coordinates import Cone

_SHOWN_POSITIONS = 50
_SHOWN_BAD_ROWS = 10
_MAX_SEEN_PLACES = 10_000
"""One request a place: a minute or two."""
_COLUMNS = (
    "name",
    "ra_deg",
    "dec_deg",
    "status",
    "catalogue",
    "counterpart",
    "object_type",
    "relation",
    "separation_arcsec",
    "match_radius_arcsec",
    "chance_probability",
)


def assignments(given: Sequence[str], option: str) -> dict[str, str]:
    """`ROLE=VALUE` options as a mapping.

    Raises:
        ConfigurationError: One has no `=`.
    """
    pairs = [each.partition("=") for each in given]
    for left, sign, right in pairs:
        if not (left and sign and right):
            raise ConfigurationError(f"{option} {left}{sign}{right} is not ROLE=VALUE, such as {option} ra=RAJ2000")
    return {left.strip(): right.strip() for left, _, right in pairs}


def import_catalogue(path: Path, options: ImportOptions) -> int:
    """Import a table and say what became of it.

    Returns:
        0; 1 where rows were refused.

    Raises:
        ConfigurationError: The table or the options will not do.
    """
    out = Console(highlight=False)
    folder = load_settings().catalogues_folder
    with _progress(out, "rows") as advance:
        report = import_table(path, options, folder=folder, progress=advance)
    _print_import(out, report, folder / options.name)
    return 1 if report.faults.bad_rows else 0


def list_catalogues(*, as_json: bool) -> None:
    """Show the catalogues of this machine."""
    catalogues = LocalCatalogues(load_settings().catalogues_folder)
    manifests = catalogues.manifests()
    damaged = catalogues.damaged()
    if as_json:
        found = [manifest.model_dump(mode="json", exclude={"blocks", "object_types"}) for manifest in manifests]
        sys.stdout.write(json.dumps({"catalogues": found, "damaged": damaged}, indent=2) + "\n")
        return
    table = Table("name", "objects", "bad rows", "sky", "coverage", "epoch", "imported", "title")
    for manifest in manifests:
        table.add_row(*_row(manifest))
    out = Console(highlight=False)
    out.print(table)
    for manifest in manifests:
        if manifest.credit:
            out.print(f"{manifest.name}: {printable(manifest.credit)}", soft_wrap=True)
    for name, why in damaged.items():
        out.print(f"{name} cannot be used: {printable(why)}", soft_wrap=True)


def remove_catalogue(name: str) -> None:
    """Remove an imported catalogue.

    Raises:
        ConfigurationError: There is none of this name, or it comes with the package.
    """
    LocalCatalogues(load_settings().catalogues_folder).remove(name)
    sys.stdout.write(f"{name} is removed\n")


def seen_images(name: str, *, radius_arcsec: float, as_json: bool, url: str | None, token: str | None) -> None:
    """Show the images of the archive at each place of a catalogue.

    Raises:
        ConfigurationError: There is no such catalogue, or it has too many places to ask the console about.
        ConsoleUnreachable: The console does not answer.
    """
    index = LocalCatalogues(load_settings().catalogues_folder).get(name)
    if index.manifest.rows > _MAX_SEEN_PLACES:
        raise ConfigurationError(
            f"{name} has {index.manifest.rows:,} places; images are looked up at {_MAX_SEEN_PLACES:,} at most"
        )
    out = Console(highlight=False)
    table = Table("place", "image", "name", "verdict", "arcsec")
    images = 0
    with connect(url, token) as client:
        for place in index.objects(np.arange(index.manifest.rows)):
            cone = Cone(ra_deg=place.ra_deg, dec_deg=place.dec_deg, radius_arcsec=radius_arcsec)
            for image in iter_items(client, "/api/images", **asdict(cone)):
                away = cone.distance_arcsec(*unit_vector(image["ra_deg"], image["dec_deg"]))
                images += 1
                if as_json:
                    line = {"place": place.name, "separation_arcsec": round(away, 3), "image": image}
                    sys.stdout.write(json.dumps(line) + "\n")
                    continue
                cells = (place.name, image["image_id"][:12], image.get("name"), image.get("verdict"))
                table.add_row(*(printable(cell) for cell in cells), f"{away:.1f}")
    if not as_json:
        out.print(table)
        out.print(f"{images:,} images at {index.manifest.rows:,} places")


def match_positions(path: Path, options: PositionOptions, *, output: Path | None, as_json: bool) -> int:
    """Say what each catalogue knows at each position of a table.

    Returns:
        0; 1 where rows had no position.

    Raises:
        ConfigurationError: The table or the options will not do.
    """
    table = PositionTable(path, options)
    catalogues = LocalCatalogues(load_settings().catalogues_folder)
    found = table.matched(catalogues)
    counts: Counter[str] = Counter()
    if as_json:
        for each in found:
            counts[each.status] += 1
            sys.stdout.write(json.dumps(_document(each)) + "\n")
    elif output is not None:
        counts = _write(found, output, total=table.rows)
    else:
        counts = _show(found)
    out = Console(highlight=False, stderr=as_json)
    out.print(", ".join(f"{count:,} {status.replace('_', ' ')}" for status, count in counts.items()) or "no positions")
    for reason, count in table.faults.reasons.items():
        out.print(f"{count:,} rows were left out: {reason}")
    return 1 if table.faults.bad_rows else 0


def _write(found: Iterator[MatchedPosition], output: Path, *, total: int | None) -> Counter[str]:
    counts: Counter[str] = Counter()
    try:
        file = output.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written ({error.strerror}); name another file") from error
    with file, _progress(Console(highlight=False), "positions") as advance:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        for each in found:
            counts[each.status] += 1
            writer.writerows(_lines(each))
            advance(counts.total(), total)
    return counts


def _show(found: Iterator[MatchedPosition]) -> Counter[str]:
    counts: Counter[str] = Counter()
    table = Table("position", "status", "catalogue", "counterpart", "type", "relation", "arcsec", "by chance")
    for each in found:
        counts[each.status] += 1
        if counts.total() > _SHOWN_POSITIONS:
            continue
        for line in _lines(each):
            chance = line["chance_probability"]
            table.add_row(
                printable(line["name"] or f"{line['ra_deg']:.5f} {line['dec_deg']:+.5f}"),
                line["status"],
                line["catalogue"],
                printable(line["counterpart"]),
                printable(line["object_type"]),
                line["relation"],
                f"{line['separation_arcsec']:.1f}" if line["separation_arcsec"] != "" else "",
                f"{chance:.1e}" if chance != "" else "",
            )
    out = Console(highlight=False)
    out.print(table)
    if counts.total() > _SHOWN_POSITIONS:
        out.print(f"… and {counts.total() - _SHOWN_POSITIONS:,} more: --output FILE.csv writes all of them")
    return counts


def _lines(found: MatchedPosition) -> Iterator[dict[str, Any]]:
    """One line a catalogue: its best counterpart, or the nearest object."""
    for catalogue, answer in found.answers.items():
        best = answer.result.matches[0] if answer.result.matches else None
        yield {
            "name": found.name,
            "ra_deg": found.target.ra_deg,
            "dec_deg": found.target.dec_deg,
            "status": found.status,
            "catalogue": catalogue,
            "counterpart": best.found.name if best else "",
            "object_type": best.found.object_type if best else "",
            "relation": best.relation if best else ("" if answer.covered else "not_covered"),
            "separation_arcsec": round(best.separation_arcsec, 3) if best else "",
            "match_radius_arcsec": round(best.match_radius_arcsec, 3) if best else "",
            "chance_probability": best.chance_probability if best and best.chance_probability is not None else "",
        }


def _document(found: MatchedPosition) -> dict[str, Any]:
    return {
        "name": found.name,
        "ra_deg": found.target.ra_deg,
        "dec_deg": found.target.dec_deg,
        "status": found.status,
        "catalogues": {
            catalogue: {
                "status": answer.result.status,
                "covered": answer.covered,
                "counterparts": [
                    {
                        "name": match.found.name,
                        "object_type": match.found.object_type,
                        "ra_deg": match.found.ra_deg,
                        "dec_deg": match.found.dec_deg,
                        "separation_arcsec": match.separation_arcsec,
                        "match_radius_arcsec": match.match_radius_arcsec,
                        "chance_probability": match.chance_probability,
                        "relation": match.relation,
                        "explains": match.explains,
                    }
                    for match in answer.result.matches
                ],
            }
            for catalogue, answer in found.answers.items()
        },
    }


def _row(manifest: Manifest) -> tuple[str, ...]:
    return (
        manifest.name + (" (watchlist)" if manifest.kind == "watchlist" else ""),
        f"{manifest.rows:,}",
        f"{manifest.bad_rows:,}",
        f"{manifest.sky_fraction:.2%}",
        manifest.coverage,
        f"{manifest.epoch_year:g}",
        f"{manifest.imported_at:%Y-%m-%d}" if manifest.imported_at.year > 1970 else "with the package",
        printable(manifest.title),
    )


def _print_import(out: Console, report: ImportReport, home: Path) -> None:
    manifest = report.manifest
    out.print(
        f"{manifest.name}: {manifest.rows:,} objects, {manifest.sky_fraction:.3%} of the sky ({manifest.coverage})"
    )
    used = ", ".join(f"{role} from {printable(column)}" for role, column in manifest.columns.items())
    out.print(f"columns: {used}", soft_wrap=True)
    if manifest.notify:
        out.print(f"told of images at its places: {printable(', '.join(manifest.notify))}", soft_wrap=True)
    for sentence in report.left_out:
        out.print(f"left out: {printable(sentence)}", soft_wrap=True)
    for column, count in manifest.dropped_values.items():
        out.print(f"{count:,} values of {printable(column)} are no number that can be, and were dropped")
    for reason, count in manifest.bad_reasons.items():
        out.print(f"{count:,} rows refused: {reason}")
    for bad in report.faults.listed[:_SHOWN_BAD_ROWS]:
        out.print(f"  row {bad.number}: {bad.reason} ({printable(bad.value)})", soft_wrap=True)
    if report.faults.bad_rows > _SHOWN_BAD_ROWS and (current := current_import(home)) is not None:
        out.print(f"  … more in {current / BAD_ROWS}", soft_wrap=True)


@contextmanager
def _progress(out: Console, what: str) -> Iterator[Any]:
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn())
    # Without a terminal a bar is noise in a log.
    bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=out, disable=not out.is_terminal)
    with bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
