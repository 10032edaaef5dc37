"""95 % intervals: exact for rates, by bootstrap for everything else."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

_DRAWS: Final = 500


def clopper_pearson(successes: int, trials: int, *, level: float = 0.95) -> list[float]:
    """The exact binomial interval of a rate [Clopper & Pearson 1934]: its two limits."""
    rest = (1.0 - level) / 2.0
    low = beta.ppf(rest, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1.0 - rest, successes + 1, trials - successes) if successes < trials else 1.0
    return [round(float(low), 4), round(float(high), 4)]


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], strata: NDArray[Any], *, seed: int) -> list[float]:
    """The 95 % percentile interval of `statistic(rows)` over 500 resamples within strata: its two limits.

    A statistic that takes the difference of two bundles on the same rows gives their paired interval.
    """
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(strata == value) for value in np.unique(strata)]
    draws = [statistic(np.concatenate([rng.choice(own, len(own)) for own in groups])) for _ in range(_DRAWS)]
    return [round(float(value), 4) for value in np.quantile(draws, (0.025, 0.975))]
