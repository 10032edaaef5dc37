"""`python -m tests.bench.science.new_survey`: what a new survey's own calibration promises after 500 of its images.

The product's survey model (`fit_survey_model`) of 500 images of a survey that the bundle does not know, without labels,
and the ordinary ones among the rest that it flags. The sets are HST-like stamps of real galaxies (`hst_stamps.py`) and
packs; the 500 hold oddities at a prevalence, or as the pack has them. Means over draws of the 500, the central 95 % of
the draws, and the 95 % range that 500 calibration images and so many judged ones allow to a sound calibration: its rate
is Beta(k, n + 1 - k) with k = budget (n + 1) [Vovk 2012], and of those judged a binomial number is flagged.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from astrolens.contracts.ids import content_digest
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from astrolens.science.density import DensityEntry, Taps
from astrolens.science.survey_model import BUDGET, fit_survey_model
from astrolens.trainer.evaluation import split_groups
from numpy.typing import NDArray
from scipy.stats import betabinom

from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.hst_stamps import hst_stamp
from tests.bench.science.options import has_data, options_of
from tests.bench.science.pictures import Cutouts, cutouts_of, inputs_of
from tests.bench.science.tables import FIT, ImageTable, galaxy_tables, pack_tables
from tests.bench.science.text import percent, table

_OWN: Final = 500
_DRAWS: Final = 10
_BUDGETS: Final = (0.01, BUDGET)
_PREVALENCES: Final = (0.0, 0.02, 0.05)
_PACKS: Final = ("sdss-gz2-paper", "euclid-q1-vis", "decals-dr1")
_NATURAL_PREVALENCE: Final = None

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class NewSky:
    """Images of one survey: what a survey model reads of them, and which are ordinary."""

    name: str
    taps: Taps
    recipe: tuple[DensityEntry, ...]
    ordinary: NDArray[np.bool_]
    groups: NDArray[np.str_]


def sky_rows(sky: NewSky, bundle: BundleUnderTest, prevalence: float | None) -> list[tuple[Any, ...]]:
    """Per budget: the ordinary images that are flagged, over draws of the 500."""
    flagged: dict[float, list[float]] = {budget: [] for budget in _BUDGETS}
    judged = odd = 0
    for seed in range(_DRAWS):
        own, rest = _drawn(sky, prevalence, seed)
        model = fit_survey_model(
            {name: values[own] for name, values in sky.taps.items()},
            survey="new-survey",
            model_digest=bundle.bundle.digest,
            image_ids=[f"{row:06d}" for row in own],
            recipe=sky.recipe,
        )
        p_values = model.score({name: values[rest] for name, values in sky.taps.items()}).p_value
        judged += len(rest)
        odd += int((~sky.ordinary[own]).sum())
        for budget, shares in flagged.items():
            shares.append(float((p_values <= budget).mean()))
    made = []
    for budget, shares in flagged.items():
        n, each = _OWN, judged // _DRAWS
        k = int(budget * (n + 1))
        low, high = (betabinom.ppf(q, each, k, n + 1 - k) / each for q in (0.025, 0.975))
        inside = np.mean([low <= share <= high for share in shares])
        spread = " to ".join(percent(float(value)) for value in np.quantile(shares, (0.025, 0.975)))
        allowed = f"{percent(low)} to {percent(high)}"
        contents = percent(odd / (_DRAWS * _OWN))
        made.append(
            (sky.name, contents, percent(budget), percent(np.mean(shares)), spread, allowed, percent(inside), each)
        )
    return made


def _drawn(sky: NewSky, prevalence: float | None, seed: int) -> tuple[Rows, Rows]:
    """Rows of the 500, and of the ordinary images that share no group with them."""
    rng = np.random.default_rng([seed, 12])
    if prevalence is _NATURAL_PREVALENCE:
        own, rest = split_groups(sky.groups.tolist(), count=_OWN, seed=seed)
        return own, rest[sky.ordinary[rest]]
    odd_count = round(prevalence * _OWN)
    odd = rng.permutation(np.flatnonzero(~sky.ordinary))[:odd_count]
    ordinary = np.flatnonzero(sky.ordinary & ~np.isin(sky.groups, sky.groups[odd]))
    chosen, rest = split_groups(sky.groups[ordinary].tolist(), count=_OWN - odd_count, seed=seed)
    return np.sort(np.concatenate((ordinary[chosen], odd))), ordinary[rest]


def hst_table(data: Path, folder: Path) -> ImageTable:
    """HST-like stamps of the galaxies that the network was not trained on; made once, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [own.where(own.roles != FIT) for own in galaxy_tables(data).values()]
    paths = [path for part in parts for path in _stamps(part, folder)]
    first = parts[0]
    return replace(
        first,
        name="hst-like",
        paths=tuple(paths),
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("ids", "oddities", "morphology", "roles", "groups", "reviewed_out")
        },
    )


def _stamps(part: ImageTable, folder: Path) -> Iterator[Path]:
    for source in part.paths:
        path = folder / f"{part.name}-{source.stem}.fits"
        if not path.is_file():
            try:
                picture = decode_cutout(make_cutout(source.read_bytes()).jpeg)
                path.write_bytes(hst_stamp(picture, int(content_digest(source.name.encode())[:8], 16)))
            except ImageRejected:
                path.write_bytes(b"")
        yield path


def _sky(cutouts: Cutouts, bundle: BundleUnderTest, *, cache: Path, workers: int) -> NewSky:
    inputs = inputs_of(cutouts, bundle.bundle.preprocessing, cache=cache, workers=workers)
    taps, recipe = bundle.taps(bundle.features(inputs))
    own = cutouts.table
    return NewSky(own.name, taps, recipe, own.ordinary & ~own.reviewed_out, own.groups)


def main() -> None:
    """Print the table of one bundle."""
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, default=PACKAGED_BUNDLE)
    options = parser.parse_args()
    if not has_data(options.data, benchmark="new_survey"):
        return
    bundle = BundleUnderTest(options.bundle)
    packs = pack_tables(options.data)
    rows = []
    for own in (hst_table(options.data, options.cache / "hst-like"), *(packs[name] for name in _PACKS)):
        cutouts = cutouts_of(own, cache=options.cache, workers=options.workers)
        print(own.name, len(cutouts.table), "images, refused", cutouts.refused_figures()["images"] - len(cutouts.table))
        sky = _sky(cutouts, bundle, cache=options.cache, workers=options.workers)
        for prevalence in _PREVALENCES if own.name == "hst-like" else (0.0, _NATURAL_PREVALENCE):
            rows += sky_rows(sky, bundle, prevalence)
            # A run takes minutes: what is known already is told.
            print(*(" | ".join(map(str, row)) for row in rows[-len(_BUDGETS) :]), sep="\n", flush=True)
    head = ("survey", "odd in the 500", "budget", "flagged", "95 % of draws", "sound is", "draws inside", "judged")
    print(f"\n## New survey, {_OWN} images, {_DRAWS} draws ({bundle.name})\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
