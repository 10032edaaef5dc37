"""`python -m tests.bench.science.looks`: what answers find, with intervals over pools, by good and by weak rankings.

Interesting oddities of the report half (or `--half choose`) that a person finds after 50, 100 and 200 looks (artefacts
do not count) by the bundle's rank alone, Astronomaly's NeighbourScore and the interest ranking, in pools of `--seeds`,
five of each; and the same where one weak detector ranks alone, or another bundle ranks (`--rank-of`). All rankings see
the same pools; a difference is that of one pool, with the 95 % interval of its mean over pools (Student's t). Pools
share their ordinary images and draw from one half of the oddities: the interval is that of the draw, not of other
skies.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.detectors import Features
from astrolens.science.scoring import ImageScores
from astrolens.trainer.evaluation import Half, rank_values
from scipy.stats import t

from tests.bench.science.answers import INTEREST, LOOKS, NEIGHBOUR_SCORE, RANK, AnsweredImages, found_in_pools
from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.options import has_data, options_of
from tests.bench.science.pictures import Cutouts, cutouts_of, inputs_of
from tests.bench.science.tables import FIT, galaxy_tables
from tests.bench.science.text import table

_POOLS: Final = 5
_WEAK: Final = "msp"


def rows_of(found: dict[str, list[list[int]]], title: str) -> list[tuple[Any, ...]]:
    """Per number of looks: means with spreads, differences of the interest ranking with intervals, and its ratio."""
    made = []
    for place, looks in enumerate(LOOKS):
        own = {name: np.array([row[place] for row in rows], dtype=np.float64) for name, rows in found.items()}
        means = [f"{values.mean():.1f} ± {values.std(ddof=1):.1f}" for values in own.values()]
        differences = [_difference(own[INTEREST] - own[other]) for other in (RANK, NEIGHBOUR_SCORE)]
        made.append((title, looks, *means, *differences, _ratio(own[INTEREST], own[RANK])))
    return made


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of a few draws."""
    own = np.asarray(values, dtype=np.float64)
    half = float(t.ppf(0.975, len(own) - 1) * own.std(ddof=1) / np.sqrt(len(own)))
    return float(own.mean()) - half, float(own.mean()) + half


def _judged(
    bundle: BundleUnderTest, cutouts: Cutouts, survey: str, options: argparse.Namespace
) -> tuple[list[ImageScores], Features]:
    """Scores and features of n images of a survey."""
    features = bundle.features(
        inputs_of(cutouts, bundle.bundle.preprocessing, cache=options.cache, workers=options.workers)
    )
    return bundle.scores(features, survey), features


def _ratio(found: np.ndarray, by_rank: np.ndarray) -> str:
    """How many times as many on average, with the 95 % interval over resampled pools."""
    rows = np.random.default_rng(0).integers(len(found), size=(2000, len(found)))
    drawn = found[rows].mean(axis=1) / np.maximum(by_rank[rows].mean(axis=1), 1e-9)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return f"{found.mean() / max(by_rank.mean(), 1e-9):.2f} [{low:.2f}, {high:.2f}]"


def _difference(values: np.ndarray) -> str:
    low, high = interval(values)
    return f"{values.mean():+.1f} [{low:+.1f}, {high:+.1f}]"


def main() -> None:
    """Print the table of each bundle."""
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, action="append", help="a bundle's folder; several stand side by side")
    parser.add_argument(
        "--rank-of", type=Path, help="a bundle that ranks instead; features and answers stay the other's"
    )
    parser.add_argument("--out", type=Path, help="file of what was found in each pool, JSON")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of pools, from 0")
    parser.add_argument("--half", type=Half, choices=list(Half), default=Half.REPORT, help="whose oddities are found")
    parser.add_argument("--weak", action=argparse.BooleanOptionalAction, default=True, help=f"also {_WEAK} alone")
    options = parser.parse_args()
    if not has_data(options.data, benchmark="looks"):
        return
    whole, rows = {}, []
    tables = {name: own.where(own.roles != FIT) for name, own in galaxy_tables(options.data).items()}
    cutouts = {name: cutouts_of(own, cache=options.cache, workers=options.workers) for name, own in tables.items()}
    ranking = BundleUnderTest(options.rank_of) if options.rank_of else None
    for bundle in [BundleUnderTest(path) for path in options.bundle or [PACKAGED_BUNDLE]]:
        images = {}
        for name, own in cutouts.items():
            scores, features = _judged(bundle, own, name, options)
            rank = rank_values(_judged(ranking, own, name, options)[0]) if ranking else None
            images[name] = AnsweredImages(own, scores, features.embedding, rank)
        for weak in ("", _WEAK)[: 1 + options.weak]:
            found: dict[str, list[list[int]]] = {}
            for seed in range(options.seeds):
                for name, own_rows in found_in_pools(
                    images, half=options.half, seed=seed, weak=weak, pools=_POOLS
                ).items():
                    found.setdefault(name, []).extend(own_rows)
            by = f"{weak} alone" if weak else ranking.name if ranking else ""
            title = f"{bundle.name}{f', ranked by {by}' if by else ''}"
            whole[title] = found
            rows += rows_of(found, title)
            # A run takes minutes: what is known already is told.
            print(*(" | ".join(map(str, row)) for row in rows[-len(LOOKS) :]), sep="\n", flush=True)
    head = ("bundle", "looks", RANK, NEIGHBOUR_SCORE, INTEREST, "less rank alone", "less NeighbourScore", "times rank")
    print(f"\n{options.seeds * _POOLS} pools, {options.half} half\n\n{table(head, rows)}")
    if options.out:
        options.out.write_text(json.dumps(whole, indent=2) + "\n")


if __name__ == "__main__":
    main()
