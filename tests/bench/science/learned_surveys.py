"""`python -m tests.bench.science.learned_surveys`: how unlike its model other skies look under a learned survey's name.

Five sets of pictures each have survey models of 300 of their images, in several splits by group. Then 160 other images
of each set are scored: the largest excess, over a uniform distribution, of small p-values of the sum and of each
detector, or of large ones of the sum. `inference/survey_models/checking.py` compares that with `MAX_OWN_EXCESS` plus
what chance adds.
"""

from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Final, Literal

import numpy as np
from astrolens.inference.survey_models.checking import KOLMOGOROV_0_0001, MAX_OWN_EXCESS
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.density import DensityEntry, Taps
from astrolens.science.survey_model import MINIMUM_IMAGES, fit_survey_model
from astrolens.trainer.evaluation.halves import split_groups
from numpy.typing import NDArray

from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.options import has_data, options_of
from tests.bench.science.pictures import cutouts_of, inputs_of
from tests.bench.science.tables import FIT, ImageTable, galaxy_tables, pack_tables
from tests.bench.science.text import table

_PACKS: Final = ("sdss-gz2-paper", "decals-dr1", "euclid-q1-vis")
_IMAGES: Final = 800
"""Of each set, drawn at random."""
_SPLITS: Final = 3
_FED: Final = 160


@dataclass(frozen=True)
class _Sky:
    taps: Taps
    recipe: tuple[DensityEntry, ...]
    groups: list[str]


def main() -> None:
    """Print the largest excess of every set on the models of every set, over the splits."""
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, default=PACKAGED_BUNDLE, help="whose feature maps the models read")
    options = parser.parse_args()
    if not has_data(options.data, benchmark="learned_surveys"):
        return
    bundle = BundleUnderTest(options.bundle)
    galaxies, packs = galaxy_tables(options.data), pack_tables(options.data)
    tables = [own.where(own.roles != FIT) for own in galaxies.values()] + [packs[name] for name in _PACKS]
    skies = {own.name: _sky(own, bundle, options.cache, options.workers) for own in tables}
    rows = []
    for name, sky in skies.items():
        found: dict[str, list[float]] = {other: [] for other in skies}
        for seed in range(_SPLITS):
            own, rest = split_groups(sky.groups, count=MINIMUM_IMAGES, seed=seed)
            model = fit_survey_model(
                _rows(sky.taps, own),
                survey="sky",
                model_digest="0" * 64,
                image_ids=[f"{row:032x}" for row in own],
                recipe=sky.recipe,
            )
            for other, fed in skies.items():
                usable = rest if other == name else np.arange(len(fed.groups))
                drawn = np.random.default_rng(seed).permutation(usable)[:_FED]
                scores = model.score(_rows(fed.taps, drawn))
                small = (_excess(values, "small") for values in (scores.p_value, *scores.detector_p_values.values()))
                found[other].append(max(*small, _excess(scores.p_value, "large")))
        rows.append((name, *(f"{min(each):.2f} to {max(each):.2f}" for each in found.values())))
    limit = MAX_OWN_EXCESS + KOLMOGOROV_0_0001 * sqrt(1 / _FED + 1 / MINIMUM_IMAGES)
    print(table(("models of", *skies), rows))
    print(f"\nBeyond {limit:.2f}, a quarter and what chance adds, a survey is called another sky.")


def _sky(own: ImageTable, bundle: BundleUnderTest, cache: Path, workers: int) -> _Sky:
    drawn = np.sort(np.random.default_rng(3).permutation(len(own))[:_IMAGES])
    cutouts = cutouts_of(own.where(drawn), cache=cache, workers=workers)
    inputs = inputs_of(cutouts, bundle.bundle.preprocessing, cache=cache, workers=workers)
    taps, recipe = bundle.taps(bundle.features(inputs))
    return _Sky(taps, recipe, cutouts.table.groups.tolist())


def _rows(taps: Taps, rows: NDArray[np.int64]) -> Taps:
    return {name: values[rows] for name, values in taps.items()}


def _excess(p_values: NDArray[np.float64], kind: Literal["small", "large"]) -> float:
    """Largest share by which more p-values are small, or large, than of a uniform distribution."""
    ordered, count = np.sort(p_values), len(p_values)
    if kind == "small":
        return float(np.max(np.arange(1, count + 1) / count - ordered))
    return float(np.max(ordered - np.arange(count) / count))


if __name__ == "__main__":
    main()
