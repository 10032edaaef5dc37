"""Options that every science benchmark has: where the data and the cutouts are, and how many processes decode."""

import argparse
import os
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[3]


def options_of(description: str | None) -> argparse.ArgumentParser:
    """A parser with `--data`, `--cache` and `--workers`."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    data = os.environ.get("ASTROLENS_SHARED_DATA", _REPOSITORY.parent / "shared" / "data")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path(data), help="folder of galaxies/ and packs/")
    parser.add_argument("--cache", type=Path, default=home / "astrolens-bench" / "science", help="folder of cutouts")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that decode")
    return parser


def has_data(data: Path, *, benchmark: str) -> bool:
    """Whether the real data are there; says so where they are not."""
    if (data / "galaxies" / "labels.csv").is_file():
        return True
    print(f"{benchmark}: skipped, there is no real data at {data}; set ASTROLENS_SHARED_DATA")
    return False
