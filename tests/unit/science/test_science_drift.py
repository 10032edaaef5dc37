"""Drift: the distance of p-values from uniform, on a bounded window."""

import numpy as np
import pytest
from astrolens.science.drift import DriftMonitor, distance_from_uniform
from scipy.stats import kstest


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("count", [1, 7, 500])
def test_the_distance_is_that_of_kolmogorov_and_smirnov(power: float, count: int) -> None:
    p_values = np.random.default_rng(3).random(count) ** power
    assert distance_from_uniform(p_values) == pytest.approx(kstest(p_values, "uniform").statistic)


def test_ordinary_images_show_no_drift_and_another_instrument_does() -> None:
    rng = np.random.default_rng(4)
    monitor = DriftMonitor()
    for p_value in rng.random(500):
        monitor.add("sdss", {"combined": p_value})
    for p_value in rng.random(500) ** 2:
        monitor.add("efigi", {"combined": p_value})
    found = {drift.calibration: drift for drift in monitor.measure()}
    assert found["sdss"].distance < 0.08
    assert found["efigi"].distance > 0.2
    assert found["sdss"].images == 500


def test_only_the_recent_stream_counts_and_memory_is_bounded() -> None:
    monitor = DriftMonitor(window=100)
    for p_value in np.full(5000, 0.01):
        monitor.add("sdss", {"msp": p_value})
    for p_value in np.linspace(0.005, 0.995, 100):
        monitor.add("sdss", {"msp": p_value})
    (drift,) = monitor.measure()
    assert (drift.calibration, drift.detector, drift.images) == ("sdss", "msp", 100)
    assert drift.distance == pytest.approx(0.005)
    monitor.clear()
    assert list(monitor.measure()) == []
