"""`python -m tests.bench.science.calibration`: what calibrations promise when the sky, the night or the survey changes.

Three tables of one bundle, on the real data (`../shared/data` or `ASTROLENS_SHARED_DATA`):

- *Drift.* Ordinary test images under the changes of `shifts.py`: flagged at 1 % by the calibration as it is, and when
  verdicts allow for the drift that 200 of them show; the others are flagged or not. Means over draws of the 200, each
  with its exact interval as a share of the images that one draw judges.
- *Discovery list.* Nights made of the ordinary test images, drawn with repetition, and oddities of the report half at a
  prevalence: the realised share of ordinary images among the listed (0 where none is), and how many are listed.
- *New survey.* A pack under an unknown name: a survey model of 500 of its images as they come, without labels, and the
  ordinary ones among the rest that it flags.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.cutouts import decode_cutout
from astrolens.science.drift_adjustment import measure_adjustment
from astrolens.science.preprocessing import preprocess
from astrolens.science.scoring import ImageScores
from astrolens.science.survey_model import BUDGET, fit_survey_model
from astrolens.science.survey_scoring import adjusted_p_value
from astrolens.trainer.evaluation import Half, clopper_pearson, p_values_of, split_groups
from astrolens.usecases.discoveries import listed_count
from numpy.typing import NDArray

from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.options import has_data, options_of
from tests.bench.science.pictures import Cutouts, cutouts_of, inputs_of
from tests.bench.science.shifts import SHIFTS
from tests.bench.science.tables import FIT, galaxy_tables, pack_tables
from tests.bench.science.text import percent, table

_FLAGGED_AT: Final = 0.01
_MEASURED: Final = 200
_DRAWS: Final = 40
_NIGHTS: Final = 200
_PREVALENCES: Final = (0.01, 0.02, 0.05)
_LEVELS: Final = (0.1, 0.2)
_OWN: Final = 500
_SPLITS: Final = 6
_PACKS: Final = ("decals-dr1", "euclid-q1-vis", "sdss-gz2-paper")
_CHANGES: Final = (
    "none",
    "gamma 0.8",
    "blur 1 px",
    "blur 2 px",
    "blur 2.2 px",
    "blur 3 px",
    "noise 4 levels",
    "noise 10 levels",
)

Values = NDArray[np.float64]
Rows = NDArray[np.int64]


def drift_rows(bundle: BundleUnderTest, cutouts: Cutouts, changes: Sequence[str] = _CHANGES) -> list[tuple[Any, ...]]:
    """Per change: shift, flagged before and after, recall before and after."""
    ordinary, odd = _roles(cutouts)
    pictures = {row: decode_cutout(cutouts.jpegs[row]) for row in np.concatenate([ordinary, odd])}
    made = []
    for name in changes:
        inputs = np.stack([preprocess(SHIFTS[name](each), bundle.bundle.preprocessing) for each in pictures.values()])
        scores = bundle.scores(bundle.features(inputs), cutouts.table.name)
        usual, strange = scores[: len(ordinary)], scores[len(ordinary) :]
        drawn = [_after_drift(usual, strange, np.random.default_rng(seed)) for seed in range(_DRAWS)]
        shift, before, after, found, kept = np.mean(drawn, axis=0)
        worst = np.quantile([draw[2] for draw in drawn], 0.95)
        shares = [_with_interval(share, len(ordinary) - _MEASURED) for share in (before, after)]
        row = (cutouts.table.name, name, f"{shift:.2f}", *shares, percent(worst), f"{found:.2f}", f"{kept:.2f}")
        # A run takes minutes: what is known already is told.
        print(*row, sep=" | ", flush=True)
        made.append(row)
    return made


def _with_interval(share: float, judged: int) -> str:
    low, high = clopper_pearson(round(share * judged), judged)
    return f"{percent(share)} [{percent(low)}, {percent(high)}]"


def _after_drift(
    usual: Sequence[ImageScores], strange: Sequence[ImageScores], rng: np.random.Generator
) -> tuple[float, float, float, float, float]:
    order = rng.permutation(len(usual))
    measured, judged = order[:_MEASURED], [usual[row] for row in order[_MEASURED:]]
    adjustment = measure_adjustment(p_values_of([usual[row] for row in measured]))

    def flagged(images: Sequence[ImageScores]) -> float:
        return float(np.mean([adjusted_p_value(each, adjustment) <= _FLAGGED_AT for each in images]))

    before, found = (float((p_values_of(images) <= _FLAGGED_AT).mean()) for images in (judged, strange))
    return adjustment.shift, before, flagged(judged), found, flagged(strange)


def discovery_rows(cutouts: Cutouts, scores: Sequence[ImageScores]) -> list[tuple[Any, ...]]:
    """Per level and prevalence: realised false share, images listed, nights with an empty list, oddities listed."""
    ordinary, odd = _roles(cutouts)
    p_values = p_values_of(scores)
    made = []
    for q in _LEVELS:
        for prevalence in _PREVALENCES:
            nights = [
                _night(p_values[ordinary], p_values[odd], prevalence, q, np.random.default_rng(seed))
                for seed in range(_NIGHTS)
            ]
            false, listed, found = np.mean(nights, axis=0)
            empty = float(np.mean([night[1] == 0 for night in nights]))
            figures = (f"{false:.3f}", f"{listed:.1f}", percent(empty), percent(found))
            made.append((cutouts.table.name, q, percent(prevalence), *figures))
    return made


def _night(
    ordinary: Values, odd: Values, prevalence: float, q: float, rng: np.random.Generator
) -> tuple[float, int, float]:
    strange = max(1, round(prevalence * len(ordinary) / (1.0 - prevalence)))
    p_values = np.concatenate(
        [rng.choice(ordinary, len(ordinary)), rng.choice(odd, strange, replace=strange > len(odd))]
    )
    order = np.argsort(p_values, kind="stable")
    listed = order[: listed_count(p_values[order].tolist(), tested=len(p_values), q=q)]
    false = int((listed < len(ordinary)).sum())
    return false / max(len(listed), 1), len(listed), (len(listed) - false) / strange


def new_survey_rows(bundle: BundleUnderTest, cutouts: Cutouts, inputs: NDArray[np.uint8]) -> list[tuple[Any, ...]]:
    """Per budget: ordinary images flagged by a survey model of 500 images, with the exact interval of all splits."""
    taps, recipe = bundle.taps(bundle.features(inputs))
    groups, usual = cutouts.table.groups.tolist(), cutouts.table.ordinary
    counts = dict.fromkeys((_FLAGGED_AT, BUDGET), 0)
    total = 0
    for seed in range(_SPLITS):
        own, rest = split_groups(groups, count=_OWN, seed=seed)
        model = fit_survey_model(
            {name: values[own] for name, values in taps.items()},
            survey="new-survey",
            model_digest=bundle.bundle.digest,
            image_ids=[f"{row:06d}" for row in own],
            recipe=recipe,
        )
        judged = rest[usual[rest]]
        p_values = model.score({name: values[judged] for name, values in taps.items()}).p_value
        total += len(judged)
        for budget in counts:
            counts[budget] += int((p_values <= budget).sum())
    made = []
    for budget, flagged in counts.items():
        low, high = clopper_pearson(flagged // _SPLITS, total // _SPLITS)
        interval = f"{percent(low)} to {percent(high)}"
        made.append((cutouts.table.name, percent(budget), percent(flagged / total), interval, total // _SPLITS))
    return made


def _roles(cutouts: Cutouts) -> tuple[Rows, Rows]:
    """Ordinary test images without the reviewed ones, and oddities of the report half."""
    own = cutouts.table
    report = own.roles == Half.REPORT
    return np.flatnonzero(report & own.ordinary & ~own.reviewed_out), np.flatnonzero(report & ~own.ordinary)


def main() -> None:
    """Print the three tables of one bundle."""
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, default=PACKAGED_BUNDLE)
    options = parser.parse_args()
    if not has_data(options.data, benchmark="calibration"):
        return
    bundle = BundleUnderTest(options.bundle)
    drift, lists, new = [], [], []
    for whole in galaxy_tables(options.data).values():
        own = whole.where(whole.roles != FIT)
        cutouts = cutouts_of(own, cache=options.cache, workers=options.workers)
        drift += drift_rows(bundle, cutouts)
        spec = bundle.bundle.preprocessing
        inputs = inputs_of(cutouts, spec, cache=options.cache, workers=options.workers)
        lists += discovery_rows(cutouts, bundle.scores(bundle.features(inputs), own.name))
    for name in _PACKS:
        cutouts = cutouts_of(pack_tables(options.data)[name], cache=options.cache, workers=options.workers)
        inputs = inputs_of(cutouts, bundle.bundle.preprocessing, cache=options.cache, workers=options.workers)
        new += new_survey_rows(bundle, cutouts, inputs)
    heads = (
        ("survey", "change", "shift", "flagged before", "after", "95 % of draws below", "recall before", "after"),
        ("survey", "q", "odd", "realised false share", "listed", "empty nights", "odd ones listed"),
        ("new survey", "budget", "flagged", "95 % interval of one split", "ordinary images"),
    )
    titles = ("Drift", "Discovery list", "New survey, 500 images")
    for title, head, rows in zip(titles, heads, (drift, lists, new), strict=True):
        print(f"\n## {title} ({bundle.name})\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
