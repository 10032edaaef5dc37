"""A blind review of the "ordinary" pictures of the test split, or of what calibrates the bundle.

Criteria and outcome are in `docs/blind-review.md`.

    python -m tests.bench.science.blind_review draw --survey sdss --out FOLDER

writes contact sheets with running numbers, `key.csv` and an empty `verdicts.csv`. When every verdict is written,

    python -m tests.bench.science.blind_review join --survey sdss --out FOLDER

joins both into the record beside this module (both take `--split calibration`), and

    python -m tests.bench.science.blind_review compare

prints how often controls, strangest and random pictures were called not ordinary, from the records alone, and

    python -m tests.bench.science.blind_review estimate

the figures of the shipped bundle as if every ordinary picture of the test split had been looked at.
"""

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.cutouts import decode_cutout
from astrolens.science.density import DensityEntry, fit_density
from astrolens.trainer.evaluation import RINGS, Half, clopper_pearson, kind_masks, p_values_of, rank_values
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from tests.bench.science.baselines import forest_scores
from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.options import has_data, options_of
from tests.bench.science.pictures import Cutouts, cutouts_of, inputs_of
from tests.bench.science.tables import CALIBRATE, FIT, ImageTable, calibrating_tables, galaxy_tables
from tests.bench.science.text import percent, table

RECORDS: Final = Path(__file__).with_name("blind_reviews")
"""One file for each survey and split: what was shown, in which group it was, and what was said of it."""
SURVEYS: Final = ("sdss", "efigi")
TEST: Final = "test"
CALIBRATION: Final = "calibration"
VERDICTS: Final = ("ordinary", "not-ordinary", "unclear")
CONTROL: Final = "control"
RANDOM: Final = "random"
REPEAT: Final = "repeat"

_SEED: Final = 20261126
_STRANGEST: Final = 40
_CONTROLS: Final = 30
_REPEATS: Final = 20
_PICTURES: Final = 20
"""A sheet."""
_COLUMNS: Final = 5
_SIDE: Final = 300
_CAPTION: Final = 16
_BATCH: Final = 64

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """One picture on a sheet.

    Attributes:
        row: In the set.
        groups: Names of the scores that it is among the strangest of, or `control`, `random` or `repeat`.
        mirrored: Shown mirrored.
    """

    row: int
    groups: tuple[str, ...]
    mirrored: bool = False


def choose_pictures(
    own: ImageTable,
    scores: Mapping[str, Values],
    *,
    role: str = Half.REPORT,
    strangest: int = _STRANGEST,
    seed: int = _SEED,
) -> list[Shown]:
    """What is shown, in the order of the running numbers.

    Args:
        own: The survey's images.
        scores: [n] by name, larger is stranger.
        role: Of the ordinary images that are reviewed.
        strangest: How many of them each score names.
        seed: Of every draw.
    """
    rng = np.random.default_rng(seed)
    ordinary = np.flatnonzero(own.ordinary & (own.roles == role))
    groups: dict[int, list[str]] = {}
    for name, values in scores.items():
        for row in ordinary[np.argsort(-values[ordinary], kind="stable")][:strangest]:
            groups.setdefault(int(row), []).append(name)
    others = np.array([row for row in ordinary if int(row) not in groups])
    drawn = rng.choice(others, min(len(groups), len(others)), replace=False)
    groups |= {int(row): [RANDOM] for row in drawn}
    odd = np.flatnonzero(~own.ordinary & (own.roles == Half.CHOOSE))
    controls = [Shown(int(row), (CONTROL,)) for row in rng.choice(odd, min(_CONTROLS, len(odd)), replace=False)]
    again = rng.choice(sorted(groups), min(_REPEATS, len(groups)), replace=False)
    repeats = [Shown(int(row), (REPEAT,), mirrored=True) for row in again]
    shown = [Shown(row, tuple(names)) for row, names in sorted(groups.items())] + controls + repeats
    return [shown[place] for place in rng.permutation(len(shown))]


def strangeness(bundle: BundleUnderTest, cutouts: Cutouts, inputs: NDArray[np.uint8]) -> dict[str, Values]:
    """The four scores [n] by which the strangest are taken.

    Args:
        bundle: The shipped one.
        cutouts: Of the survey.
        inputs: Of the bundle, [n, channels, size, size]; the first three channels are the view of the object.
    """
    fit = cutouts.table.roles == FIT
    means, asymmetry = _frozen_features(inputs[:, :3])
    neighbours = fit_density(asymmetry[fit], DensityEntry(name="neighbours", taps=("frozen",)))
    return {
        "combination": rank_values(bundle.scores(bundle.features(inputs), cutouts.table.name)),
        "frozen-mahalanobis": _mahalanobis(means[fit], means),
        "frozen-neighbours": neighbours.distances(neighbours.project_features(asymmetry)),
        "pixel-forest": forest_scores(cutouts.thumbnails[fit], cutouts.thumbnails),
    }


def write_sheets(folder: Path, cutouts: Cutouts, shown: Sequence[Shown]) -> None:
    """Write sheets, key and an empty list of verdicts."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(shown), _PICTURES):
        part = shown[first : first + _PICTURES]
        lines = -(-len(part) // _COLUMNS)
        sheet = Image.new("RGB", (_COLUMNS * _SIDE, lines * (_SIDE + _CAPTION)), "white")
        draw = ImageDraw.Draw(sheet)
        for place, one in enumerate(part):
            left, top = place % _COLUMNS * _SIDE, place // _COLUMNS * (_SIDE + _CAPTION)
            picture = Image.fromarray(decode_cutout(cutouts.jpegs[one.row]))
            picture = ImageOps.contain(picture, (_SIDE - 4, _SIDE - 4), Image.Resampling.LANCZOS)
            sheet.paste(ImageOps.mirror(picture) if one.mirrored else picture, (left + 2, top + _CAPTION))
            draw.text((left + 3, top + 2), str(first + place + 1), fill="black")
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        (folder / f"sheet-{first // _PICTURES + 1:02d}.png").write_bytes(buffer.getvalue())
    ids = cutouts.table.ids
    key = [(number, ids[one.row], "+".join(one.groups)) for number, one in enumerate(shown, start=1)]
    _write(folder / "key.csv", ("number", "object_id", "groups"), key)
    empty = [(number, "", "") for number in range(1, len(shown) + 1)]
    _write(folder / "verdicts.csv", ("number", "verdict", "why"), empty)


def join_verdicts(folder: Path, survey: str) -> list[dict[str, str]]:
    """Key and verdicts as one list, in the columns of a record.

    Raises:
        ValueError: A verdict is missing or unknown, or one that is not `ordinary` has no reason.
    """
    verdicts = {row["number"]: row for row in _read(folder / "verdicts.csv")}
    rows = []
    for one in _read(folder / "key.csv"):
        said = verdicts.get(one["number"], {"verdict": "", "why": ""})
        if said["verdict"] not in VERDICTS or (said["verdict"] != "ordinary" and not said["why"]):
            raise ValueError(f"{folder / 'verdicts.csv'}, number {one['number']}: give one of {VERDICTS}, and why")
        rows.append({**one, "survey": survey, "verdict": said["verdict"], "why": said["why"]})
    return rows


def agreement(rows: Sequence[Mapping[str, str]]) -> dict[str, tuple[int, int, int]]:
    """By group: how many pictures were shown, called `not-ordinary`, and `unclear`."""
    counted: dict[str, list[int]] = {}
    for row in rows:
        for group in row["groups"].split("+"):
            counts = counted.setdefault(group, [0, 0, 0])
            counts[0] += 1
            counts[1] += row["verdict"] == "not-ordinary"
            counts[2] += row["verdict"] == "unclear"
    return {group: (shown, odd, unclear) for group, (shown, odd, unclear) in counted.items()}


def repeats_agree(rows: Sequence[Mapping[str, str]]) -> tuple[int, int]:
    """How many pictures were shown twice, and of how many the same was said twice."""
    first = {row["object_id"]: row["verdict"] for row in rows if row["groups"] != REPEAT}
    again = [row for row in rows if row["groups"] == REPEAT]
    return len(again), sum(first[row["object_id"]] == row["verdict"] for row in again)


def report(records: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Agreement by record and group, as a Markdown table."""
    lines = []
    for survey, rows in records.items():
        for group, (shown, odd, unclear) in sorted(agreement(rows).items()):
            low, high = clopper_pearson(odd, shown)
            share = f"{percent(odd / shown)} [{percent(low)}, {percent(high)}]"
            lines.append((survey, group, shown, odd, share, unclear))
        again, same = repeats_agree(rows)
        lines.append((survey, "same verdict twice", again, same, percent(same / max(again, 1)), ""))
    return table(("record", "group", "shown", "not ordinary", "share", "unclear"), lines)


def shown_weights(own: ImageTable, rows: Sequence[Mapping[str, str]]) -> Values:
    """How many pictures [n] of the test split each image of a survey stands for.

    One of the strangest stands for itself, one drawn at random for its share of those that nobody looked at; all
    others, and the ones that were called not ordinary, for none.

    Args:
        own: The survey's images.
        rows: Of its record.
    """
    verdicts = {row["object_id"]: row["verdict"] for row in rows if row["groups"] != REPEAT}
    drawn = {row["object_id"] for row in rows if row["groups"] == RANDOM}
    ordinary = own.ordinary & (own.roles == Half.REPORT)
    shown = np.array([name in verdicts for name in own.ids.tolist()]) & ordinary
    random = np.array([name in drawn for name in own.ids.tolist()]) & ordinary
    weights = np.where(random, 1.0 + (ordinary & ~shown).sum() / max(random.sum(), 1), np.where(shown, 1.0, 0.0))
    kept = np.array([verdicts.get(name) != "not-ordinary" for name in own.ids.tolist()])
    return np.asarray(np.where(kept, weights, 0.0))


def estimated_figures(own: ImageTable, values: Values, p_values: Values, weights: Values) -> dict[str, float]:
    """AUROC, recalls and flagged ordinary images of the report half, objects whose only oddity is a ring left out.

    Args:
        own: The survey's images.
        values: [n], larger is stranger.
        p_values: [n].
        weights: [n] of ordinary images, see `shown_weights`.
    """
    rings = kind_masks(own.oddities).get(RINGS, np.zeros(len(own), dtype=np.bool_))
    odd = ~own.ordinary & (own.roles == Half.REPORT) & ~rings
    found, total = values[odd], weights.sum()
    wins = [float((found > value).mean() + 0.5 * (found == value).mean()) for value in values]
    above = np.array([weights[values >= value].sum() for value in found])
    return {
        "ordinary": float(total),
        "auroc": float(np.dot(weights, wins) / total),
        "recall at rank 1 %": float((above <= 0.01 * total).mean()),
        "recall at p <= 1 %": float((p_values[odd] <= 0.01).mean()),
        "flagged at 1 %": float(weights[p_values <= 0.01].sum() / total),
    }


def read_record(survey: str, split: str = TEST) -> list[dict[str, str]]:
    """The record of a survey and split."""
    return _read(_record(survey, split))


def _record(survey: str, split: str) -> Path:
    return RECORDS / (f"{survey}.csv" if split == TEST else f"{survey}-{split}.csv")


def _frozen_features(views: NDArray[np.uint8]) -> tuple[Values, Values]:
    """Centre-weighted means and rotation asymmetries, [n, 232] each, of maps 4, 7 and 10 of the pretrained trunk."""
    import torch  # of the trainer's extra, as is the trunk: drawing needs them, reading a record does not
    from astrolens.trainer.trunk import EarlyTrunk, GenericTrunk

    early, generic = EarlyTrunk(), GenericTrunk()
    means, asymmetry = [], []
    with torch.no_grad():
        for start in range(0, len(views), _BATCH):
            maps = early(torch.from_numpy(views[start : start + _BATCH]))
            pooled = [one.numpy() for one in (maps[-1], *generic(maps[-1]))]
            means.append(np.concatenate([_centre_mean(one) for one in pooled], axis=1))
            asymmetry.append(np.concatenate([_asymmetry(one) for one in pooled], axis=1))
    return np.concatenate(means), np.concatenate(asymmetry)


def _centre_mean(maps: NDArray[np.float32]) -> Values:
    side = maps.shape[-1]
    offset = (np.arange(side) - (side - 1) / 2) / (side / 4)
    weight = np.exp(-0.5 * (offset[:, None] ** 2 + offset[None, :] ** 2))
    return np.asarray((maps * weight).sum(axis=(2, 3)) / weight.sum(), dtype=np.float64)


def _asymmetry(maps: NDArray[np.float32]) -> Values:
    return np.asarray(np.abs(maps - maps[:, :, ::-1, ::-1]).mean(axis=(2, 3)), dtype=np.float64)


def _mahalanobis(own: Values, features: Values) -> Values:
    """Distances [n] to the mean of `own` by its shrunk covariance."""
    from sklearn.covariance import LedoitWolf  # of the trainer's extra, which an installation may lack

    scale = np.maximum(own.std(axis=0), 1e-6)
    return np.asarray(LedoitWolf().fit(own / scale).mahalanobis(features / scale))


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([head, *rows])


def _draw(options: argparse.Namespace) -> None:
    bundle, cutouts, inputs = _measured(options, options.survey)
    role, strangest = Half.REPORT, _STRANGEST
    if options.split == CALIBRATION:
        # The same share as of the test split: both must be reviewed alike.
        test = galaxy_tables(options.data)[options.survey]
        share = _STRANGEST / (test.ordinary & (test.roles == Half.REPORT)).sum()
        role = CALIBRATE
        strangest = round(share * (cutouts.table.ordinary & (cutouts.table.roles == CALIBRATE)).sum())
    scores = strangeness(bundle, cutouts, inputs)
    shown = choose_pictures(cutouts.table, scores, role=role, strangest=strangest)
    write_sheets(options.out, cutouts, shown)
    print(f"blind-review: {len(shown)} pictures of {options.survey} in {options.out}")


def _join(options: argparse.Namespace) -> None:
    rows = join_verdicts(options.out, options.survey)
    _write(_record(options.survey, options.split), tuple(rows[0]), [tuple(row.values()) for row in rows])


def _compare(_options: argparse.Namespace) -> None:
    records = {(survey, split): read_record(survey, split) for split in (TEST, CALIBRATION) for survey in SURVEYS}
    print(report({f"{survey}, {split}": rows for (survey, split), rows in records.items()}))


def _estimate(options: argparse.Namespace) -> None:
    lines = []
    for survey in SURVEYS:
        bundle, cutouts, inputs = _measured(options, survey)
        scores = bundle.scores(bundle.features(inputs), survey)
        own, weights = cutouts.table, shown_weights(cutouts.table, read_record(survey))
        figures = estimated_figures(own, rank_values(scores), p_values_of(scores), weights)
        lines.append((survey, *(f"{value:.3f}" for value in figures.values())))
    print(table(("survey", *figures), lines))


def _measured(options: argparse.Namespace, survey: str) -> tuple[BundleUnderTest, Cutouts, NDArray[np.uint8]]:
    """The shipped bundle, and cutouts and inputs of a survey."""
    bundle = BundleUnderTest(PACKAGED_BUNDLE)
    tables = calibrating_tables if options.split == CALIBRATION else galaxy_tables
    cutouts = cutouts_of(tables(options.data)[survey], cache=options.cache, workers=options.workers)
    spec = bundle.bundle.preprocessing
    return bundle, cutouts, inputs_of(cutouts, spec, cache=options.cache, workers=options.workers)


def main() -> None:
    """Draw sheets, join verdicts, compare, or estimate."""
    parser = options_of(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    steps = {"draw": _draw, "join": _join, "compare": _compare, "estimate": _estimate}
    parser.add_argument("step", choices=tuple(steps))
    parser.add_argument("--split", choices=(TEST, CALIBRATION), default=TEST)
    parser.add_argument("--survey", choices=SURVEYS, default="sdss")
    parser.add_argument("--out", type=Path, default=Path("build/blind-review"), help="folder of sheets and verdicts")
    options = parser.parse_args()
    if options.step in {"join", "compare"} or has_data(options.data, benchmark="blind-review"):
        steps[options.step](options)


if __name__ == "__main__":
    main()
