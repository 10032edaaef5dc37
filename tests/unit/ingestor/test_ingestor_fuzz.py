"""A small share of `make fuzz`: mutants of every kind of file are accounted for, and cost no child."""

import os

from tests.fuzz.main import fuzz
from tests.fuzz.mutants import KINDS, mutant

MUTANTS = int(os.environ.get("ASTROLENS_FUZZ_MUTANTS", "240"))


async def test_all_mutants_are_accounted_for() -> None:
    report = await fuzz(MUTANTS)
    assert report.faults == []
    assert {cause: n for cause, n in report.deaths.items() if cause != "stalled"} == {}
    assert report.outcomes.keys() == set(KINDS)
    assert sum(sum(outcomes.values()) for outcomes in report.outcomes.values()) >= MUTANTS
    for kind in ("fits", "tiff", "png", "jpeg"):
        assert report.outcomes[kind]["accepted"] > 0
        assert len(report.outcomes[kind]) > 1
    assert 0 < report.peak_bytes < 600 * 2**20


def test_the_same_number_gives_the_same_mutant() -> None:
    assert all(mutant(kind, 7) == mutant(kind, 7) != mutant(kind, 8) for kind in KINDS)
