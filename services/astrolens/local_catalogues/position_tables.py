"""Tables of positions against the catalogues on this machine, a part at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astrolens.local_catalogues.catalogue_folder import LocalCatalogues, PlaceAnswer
from astrolens.local_catalogues.columns import choose_columns
from astrolens.local_catalogues.readers import open_table
from astrolens.local_catalogues.rows import RowBuilder, RowFaults, names_in
from astrolens.science.match_radius import Target

_BATCH_ROWS = 5000
"""Positions whose answers are held together."""


@dataclass(frozen=True, kw_only=True)
class MatchedPosition:
    """A position of a table and what each catalogue says of it."""

    name: str
    target: Target
    answers: Mapping[str, PlaceAnswer]

    @property
    def status(self) -> str:
        """`known`, `open` (it cannot be told from chance), `nothing`, or `not_covered` where no catalogue looked."""
        statuses = {answer.result.status for answer in self.answers.values()}
        if "explained" in statuses:
            return "known"
        if "ambiguous" in statuses:
            return "open"
        return "nothing" if any(answer.covered for answer in self.answers.values()) else "not_covered"


@dataclass(frozen=True, kw_only=True)
class PositionOptions:
    """How a table of positions is read; see `ImportOptions`."""

    columns: Mapping[str, str]
    units: Mapping[str, str]
    error_arcsec: float | None = None
    epoch_year: float | None = None
    catalogues: Sequence[str] | None = None


class PositionTable:
    """A table of positions that is matched once, from its beginning.

    Attributes:
        rows: Their number, where the file tells it.
        faults: Rows without a position, counted and listed.

    Raises:
        ConfigurationError: The table cannot be read, or has no positions.
    """

    def __init__(self, path: Path, options: PositionOptions) -> None:
        self._table = open_table(path)
        self._options = options
        self._builder = RowBuilder(choose_columns(self._table.columns, given=options.columns, units=options.units))
        self.rows = self._table.rows

    @property
    def faults(self) -> RowFaults:
        """Rows that were left out so far."""
        return self._builder.faults

    def matched(self, catalogues: LocalCatalogues) -> Iterator[MatchedPosition]:
        """Every position with its answers.

        Raises:
            ConfigurationError: A catalogue that was asked for is not there.
        """
        for batch in self._table.batches(self._builder.source_columns):
            made = self._builder.build(batch)
            names = names_in(made)
            for start in range(0, len(made.rows), _BATCH_ROWS):
                rows = made.rows[start : start + _BATCH_ROWS]
                targets = [self._target(row) for row in rows]
                answers = catalogues.match(targets, names=self._options.catalogues)
                for offset, target in enumerate(targets):
                    yield MatchedPosition(
                        name=names[start + offset],
                        target=target,
                        answers={catalogue: each[offset] for catalogue, each in answers.items()},
                    )

    def _target(self, row: np.void) -> Target:
        columns = row.dtype.names or ()

        def value(name: str) -> float | None:
            number = float(row[name]) if name in columns else np.nan
            return None if np.isnan(number) else number

        return Target(
            ra_deg=float(row["ra_deg"]),
            dec_deg=float(row["dec_deg"]),
            error_arcsec=value("error_arcsec") or self._options.error_arcsec,
            radius_arcsec=value("semi_major_arcsec"),
            magnitude=value("magnitude"),
            epoch_year=self._options.epoch_year,
        )
