"""The files of a catalogue on this machine.

A catalogue is a folder: `manifest.json`; `keys.npy`, the order-29 HEALPix cell of each row; `rows.npy`, the rows in the
same order; `names.bin`, names and aliases as UTF-8 text; `density.npy`, counts of objects for chance probabilities, of
every cell, or where most are empty of the others only; `coverage.npy`, ranges of keys that the catalogue covers;
`bad_rows.csv`, what the import refused.

Rows lie in blocks of objects with a similar reach (their size, and how far they move in decades), each in the order of
its keys: a search widens its circle by what the largest object of a block needs, and by no more.
"""

import json
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from astrolens.contracts.base import Contract, Slug, UtcTime
from astrolens.platform.errors import PermanentError

FORMAT_VERSION: Final = 1
MANIFEST, KEYS, ROWS, NAMES, DENSITY, COVERAGE, BAD_ROWS = (
    "manifest.json",
    "keys.npy",
    "rows.npy",
    "names.bin",
    "density.npy",
    "coverage.npy",
    "bad_rows.csv",
)

OPTIONAL_COLUMNS: Final = (
    "pm_ra_mas_yr",
    "pm_dec_mas_yr",
    "parallax_mas",
    "redshift",
    "magnitude",
    "semi_major_arcsec",
    "semi_minor_arcsec",
    "position_angle_deg",
    "error_arcsec",
    "outline_arcsec",
)
"""Columns of `rows.npy` that a catalogue may have, float32, NaN where a row has no value.

`outline_arcsec` is the largest radius of what belongs to an object: its semi-major axis, or the distance-scaled radius
of a galaxy without one."""

ALIAS_SEPARATOR: Final = "\x1f"
"""Between the names of one object in `names.bin`."""

CLASS_REACH_ARCSEC: Final = (15.0, 60.0, 240.0, 960.0, 3840.0, np.inf)
"""Largest reach of each block's objects."""
CLASS_YEARS: Final = 50.0
"""Years of proper motion that count into a row's class; a search allows for the true number of years."""


class Block(Contract):
    """Rows of one reach class.

    Attributes:
        start: First row.
        stop: First row beyond.
        max_size_arcsec: Largest semi-major axis.
        max_motion_mas_yr: Largest proper motion.
    """

    start: int
    stop: int
    max_size_arcsec: float = 0.0
    max_motion_mas_yr: float = 0.0


class Manifest(Contract):
    """What is in a catalogue on this machine."""

    format_version: int = FORMAT_VERSION
    name: Slug
    title: str
    kind: Literal["catalogue", "watchlist"] = "catalogue"
    private: bool = Field(default=False, description="Whether its matches must stay out of public alerts.")
    notify: tuple[str, ...] = Field(
        default=(), description="Channels that are told of images at the places of a watchlist, such as `mailto #1`."
    )
    credit: str = Field(default="", description="Whom to credit, and the licence.")
    release: str = Field(default="", description="Release, version or date of the table.")
    link: str | None = Field(default=None, description="Page of an object; `{name}` stands for its name.")
    source: str = Field(description="File or folder that it was imported from, without its path.")
    imported_at: UtcTime
    epoch_year: float = Field(default=2000.0, description="Julian year of the positions; proper motions count from it.")
    rows: int
    bad_rows: int = 0
    bad_reasons: dict[str, int] = Field(default_factory=dict)
    dropped_values: dict[str, int] = Field(
        default_factory=dict, description="Values that were no number or impossible."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Which column of the source each of ours came from."
    )
    object_types: tuple[str, ...] = Field(default=(), description="The types that `type_code` of a row counts.")
    blocks: tuple[Block, ...] = ()
    default_error_arcsec: float = Field(
        default=0.5, description="Of positions without an error, one sigma along an axis."
    )
    max_error_arcsec: float = 0.5
    density_order: int = 0
    coverage: str = Field(default="", description="Where the coverage is known from.")
    sky_fraction: float = 1.0

    @property
    def density_per_deg2(self) -> float:
        """Objects a square degree of the sky that it covers."""
        return self.rows / max(self.sky_fraction * 41_252.96, 1e-9)


class CatalogueDamaged(PermanentError):
    """A catalogue's files cannot be used."""

    def __init__(self, folder: Path, why: object) -> None:
        super().__init__("catalogue-damaged", f"the catalogue in {folder} cannot be used ({why}); import it again")


def row_type(columns: tuple[str, ...]) -> np.dtype[Any]:
    """The type of a row with these optional columns."""
    optional = [(name, "<f4") for name in OPTIONAL_COLUMNS if name in columns]
    fields = [
        ("ra_deg", "<f8"),
        ("dec_deg", "<f8"),
        *optional,
        ("type_code", "<u2"),
        ("name_size", "<u2"),
        ("name_at", "<u8"),
    ]
    return np.dtype(fields)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a catalogue.

    Raises:
        CatalogueDamaged: It is missing, damaged, or of a newer format.
    """
    try:
        document = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest.model_validate(document)
    except (OSError, ValueError, ValidationError) as error:
        raise CatalogueDamaged(folder, error) from error
    if manifest.format_version != FORMAT_VERSION:
        raise CatalogueDamaged(folder, f"format {manifest.format_version}; this version reads {FORMAT_VERSION}")
    return manifest


def map_array(folder: Path, name: str) -> NDArray[Any]:
    """An array of a catalogue, memory-mapped: replicas on one machine share its pages.

    Raises:
        CatalogueDamaged: It is missing or damaged.
    """
    path = folder / name
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise CatalogueDamaged(folder, f"{name}: {error}") from error
    return array
