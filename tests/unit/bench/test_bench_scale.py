"""The arithmetic behind `make bench-scale`: schedules, percentiles, and the model of pods."""

import hashlib
import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.arrivals import Schedule, visit_folder
from tests.bench.capacity import CEILING, NIGHTS, Cost, fit, images_per_s, limits, pods
from tests.bench.latency import Journey, summary


def test_a_schedule_ends_when_it_says_and_a_packet_is_due_when_it_is_complete() -> None:
    schedule = Schedule(count=10_000, seconds=39.0)
    assert schedule.due_s(9_999) == 39.0
    assert schedule.due_s(0) == schedule.due_s(schedule.packet - 1) == pytest.approx(39.0 * schedule.packet / 10_000)
    assert schedule.due_s(schedule.packet) == pytest.approx(2 * schedule.due_s(0))


def test_the_pictures_of_a_visit_are_pictures_and_no_two_have_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.arrivals._DISTINCT", 4)
    folder = visit_folder(tmp_path / "visit", 10)
    contents = [path.read_bytes() for path in sorted(folder.iterdir())]
    assert len({hashlib.sha256(content).digest() for content in contents}) == 10
    first, fifth = (np.asarray(Image.open(io.BytesIO(contents[index]))) for index in (0, 4))
    np.testing.assert_array_equal(first, fifth)


def test_percentiles_count_from_the_moment_a_picture_was_due() -> None:
    travelled = [
        Journey(due=100.0, received=101.0, ingested=103.0, analyzed=100.0 + late, alerted=None) for late in range(101)
    ]
    told = summary(travelled)
    assert told["due to analyzed"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert told["at the door"]["p99"] == 1.0
    assert told["due to alert"] == {}


def _run(wall_s: float, images: int, **cpu_s: float) -> dict[str, object]:
    return {"wall_s": wall_s, "images": images, "cpu_s": cpu_s}


def test_the_fit_finds_what_the_figures_were_made_of() -> None:
    def spent(wall_s: float, images: int, analyzers: int) -> dict[str, float]:
        names = ["analyzer", *(f"analyzer-{number}" for number in range(2, analyzers + 1))]
        return dict.fromkeys(names, 0.02 * wall_s + 0.004 * images / analyzers)

    stretches = [(60.0, 1680, 1), (160.0, 10_000, 1), (120.0, 10_000, 2), (110.0, 10_000, 4)]
    cost = fit([_run(wall_s, images, **spent(wall_s, images, n)) for wall_s, images, n in stretches])["analyzer"]
    assert cost.idle_cores == pytest.approx(0.02)
    assert cost.work_s == pytest.approx(0.004)


def test_a_cost_is_never_negative() -> None:
    cost = fit([_run(60.0, 1000, notifier=1.0), _run(60.0, 10, notifier=2.0)])["notifier"]
    assert cost.idle_cores >= 0
    assert cost.work_s >= 0


def test_pods_carry_the_rate_below_the_ceiling() -> None:
    cost = Cost(idle_cores=0.02, work_s=0.002)
    for rate in (1.0, 37.0, 256.0, 1333.0):
        count = pods(cost, 1.0, rate)
        assert count * cost.idle_cores + rate * cost.work_s <= CEILING * count
        assert count == 1 or (count - 1) * images_per_s(cost, 1.0) < rate
    assert math.isinf(images_per_s(Cost(0.01, 0.0), 1.0))


def test_the_limits_come_from_the_manifests_of_every_service() -> None:
    assert set(limits()) == {"analyzer", "console", "crossref", "ingestor", "model-server", "notifier", "trainer"}
    assert all(cores >= 0.5 for cores in limits().values())
    assert NIGHTS[1].per_s == pytest.approx(256.4, abs=0.1)
