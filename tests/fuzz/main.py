"""Decode mutants in the sandbox and read mutants of tables; count what becomes of them.

Run as `python -m tests.fuzz.main --mutants 2000`. Exit code 1 where one is not accounted for: an error other than a
rejection, a decoder that died or hung, more memory than a child may have.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import psutil
from astrolens.ingestor.sandbox import DecodingSandbox, SandboxLimits
from astrolens.science.rejection import ImageRejected
from astrolens.usecases.tables.columns import assign_columns
from astrolens.usecases.tables.reading import open_table
from astrolens.usecases.tables.rows import BadRow, describe
from astrolens.usecases.tables.table import TableUnreadable

from tests.fuzz.mutants import KINDS, mutant

_MAX_CONCURRENT = 16


@dataclass(slots=True)
class Report:
    """What became of the mutants.

    Attributes:
        outcomes: By kind and outcome: `accepted`, or the code of the rejection.
        faults: Sentences about mutants that are not accounted for.
        slowest_s: Longest time of one mutant in its decoder, as its child answered.
        peak_bytes: Largest resident memory of a child.
        deaths: Causes of lost children.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_bytes: int = 0
    deaths: Counter[str] = field(default_factory=Counter)

    def count(self, kind: str, outcome: str) -> None:
        """One mutant more."""
        self.outcomes.setdefault(kind, Counter())[outcome] += 1


async def fuzz(mutants: int, *, first: int = 0, limits: SandboxLimits | None = None) -> Report:
    """Decode and read mutants of every kind.

    Args:
        mutants: Of all kinds together.
        first: Number of the first of each kind.
        limits: Of the sandbox's children.
    """
    limits = limits or SandboxLimits()
    report = Report()
    each = -(-mutants // len(KINDS))

    def decoded(seconds: float) -> None:
        report.slowest_s = max(report.slowest_s, seconds)
        report.peak_bytes = max(report.peak_bytes, *_peaks(), 0)

    def died(cause: str) -> None:
        report.deaths[cause] += 1

    async with DecodingSandbox(1, limits, on_decoded=decoded, on_death=died) as sandbox:
        gate = asyncio.Semaphore(_MAX_CONCURRENT)

        async def one(kind: str, number: int) -> None:
            async with gate:
                try:
                    await sandbox.decode(mutant(kind, number))
                    report.count(kind, "accepted")
                except ImageRejected as rejected:
                    report.count(kind, rejected.code)
                    if rejected.code == "decoder-died" or "Its decoder failed" in rejected.detail:
                        report.faults.append(f"{kind} {number}: {rejected}")
                except Exception as error:  # noqa: BLE001 - anything else is what this looks for
                    report.count(kind, "fault")
                    report.faults.append(f"{kind} {number}: {type(error).__name__}: {error}")

        pictures = [(kind, number) for kind in KINDS if kind != "csv" for number in range(first, first + each)]
        await asyncio.gather(*(one(kind, number) for kind, number in pictures))
    for number in range(first, first + each):
        _read_table(number, report)
    if report.peak_bytes > limits.address_space:
        report.faults.append(f"a child had {report.peak_bytes} bytes, more than {limits.address_space}")
    return report


def _read_table(number: int, report: Report) -> None:
    data = mutant("csv", number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(data)
        try:
            with open_table(path) as table:
                uses = assign_columns(table.columns)
                for row in table.rows:
                    if row.fault is None:
                        try:
                            describe(uses, row.cells)
                        except BadRow:
                            continue
            report.count("csv", "read")
        except TableUnreadable:
            report.count("csv", "refused")
        except Exception as error:  # noqa: BLE001 - anything else is what this looks for
            report.count("csv", "fault")
            report.faults.append(f"csv {number}: {type(error).__name__}: {error}")


def _peaks() -> list[int]:
    """Largest resident memory so far of each child, bytes."""
    peaks = []
    for child in psutil.Process().children():
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            continue
        if "VmHWM:" in status:
            peaks.append(int(status.split("VmHWM:")[1].split()[0]) * 1024)
    return peaks


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant of each kind")
    options = parser.parse_args()
    start = monotonic()
    report = asyncio.run(fuzz(options.mutants, first=options.first))
    for kind, outcomes in report.outcomes.items():
        print(f"{kind:5} {sum(outcomes.values()):5}  " + ", ".join(f"{n} {what}" for what, n in outcomes.most_common()))
    print(
        f"{monotonic() - start:.0f} s; slowest {report.slowest_s:.2f} s; peak memory of a child "
        f"{report.peak_bytes / 2**20:.0f} MiB; lost children: {dict(report.deaths) or 'none'}"
    )
    for fault in report.faults:
        print("FAULT", fault)
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
