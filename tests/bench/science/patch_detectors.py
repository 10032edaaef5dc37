"""Do patches, or neighbours among the embeddings, find odd images on new skies? They stand beside the survey model.

Run it as `python -m tests.bench.science.patch_detectors`: some two CPU minutes with cached inputs. Both lost (decision
0034); it is kept to be run again with another bundle.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import faiss
import numpy as np
from astrolens.inference.patch_graph import PatchGraph
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.patch_codebook import fit_patch_codebook
from astrolens.science.survey_model import fit_survey_model
from astrolens.trainer.evaluation import Half, auroc, recall_at_false_alarms
from numpy.typing import NDArray

from tests.bench.science.bundles import BundleUnderTest
from tests.bench.science.new_skies import Sky, new_skies
from tests.bench.science.options import has_data, options_of
from tests.bench.science.pictures import cutouts_of, inputs_of
from tests.bench.science.tables import galaxy_tables, pack_tables
from tests.bench.science.text import table

_SPLITS: Final = 2
_MAX_IMAGES: Final = 200
"""Odd and ordinary images of a split that are evaluated."""
_FOLDS: Final = 5
_NEIGHBOURS: Final = 10
_HALF: Final = 0.5
"""Weight of an addition to the survey model."""

Values = NDArray[np.float64]


def neighbour_distances(own: Values, rest: Values, k: int) -> Values:
    """1 - cosine similarity [n] of embeddings to the k-th nearest of a survey's own, by FAISS."""
    index = faiss.IndexFlatIP(own.shape[1])
    index.add(_unit(own))
    similarity, _ = index.search(_unit(rest), k)
    return np.asarray(1.0 - similarity[:, -1], dtype=np.float64)


def detector_scores(bundle: BundleUnderTest, graph: PatchGraph, own: NDArray, rest: NDArray) -> dict[str, Values]:
    """Scores [n] by name of inputs `rest`, fitted on the inputs `own`."""
    ids = [f"{row:06d}" for row in range(len(own))]
    own_features, features = bundle.features(own), bundle.features(rest)
    own_taps, recipe = bundle.taps(own_features)
    model = fit_survey_model(own_taps, survey="new", model_digest=bundle.bundle.digest, image_ids=ids, recipe=recipe)
    base = model.score(bundle.taps(features)[0]).combined
    embedding = own_features.embedding
    near = np.log(neighbour_distances(embedding, features.embedding, _NEIGHBOURS))
    own_near = np.log(_cross_fitted(embedding, lambda a, b: neighbour_distances(a, b, _NEIGHBOURS)))
    patches = graph.run(own)
    kept = np.random.default_rng(1).permutation(len(own))
    fitted, held = kept[: 2 * len(own) // 3], kept[2 * len(own) // 3 :]
    codebook = fit_patch_codebook(
        patches[fitted], survey="new", model_digest=bundle.bundle.digest, image_ids=[ids[row] for row in fitted]
    )
    far, own_far = _pooled(codebook.distances(graph.run(rest))), _pooled(codebook.distances(patches[held]))
    added = {f"patch {name}": _units(own_far[name], values) for name, values in far.items()}
    added[f"{_NEIGHBOURS}th neighbour"] = _units(own_near, near)
    sums = {f"survey model + half {name}": base + _HALF * values for name, values in added.items()}
    return {"survey model": base, **added, **sums}


def _pooled(distances: Values) -> dict[str, Values]:
    ranked = np.sort(distances.reshape(len(distances), -1), axis=1)
    return {"farthest": np.log(ranked[:, -1]), "9 farthest": np.log(ranked[:, -9:].mean(axis=1))}


def _cross_fitted(own: Values, score: Callable[[Values, Values], Values]) -> Values:
    fold = np.random.default_rng(0).permutation(np.arange(len(own)) % _FOLDS)
    scores = np.empty(len(own))
    for number in range(_FOLDS):
        scores[fold == number] = score(own[fold != number], own[fold == number])
    return scores


def _units(own: Values, values: Values) -> Values:
    """In units of the upper spread of the survey's own images, as the survey model sums its detectors."""
    median, upper = np.quantile(own, (0.5, 0.84))
    return np.asarray((values - median) / max(upper - median, 1e-9), dtype=np.float64)


def _unit(values: Values) -> NDArray[np.float32]:
    return np.ascontiguousarray(values / np.linalg.norm(values, axis=1, keepdims=True), dtype=np.float32)


def _evaluated(sky: Sky, own: NDArray, rest: NDArray) -> NDArray:
    """At most 200 odd and 200 ordinary images; of a survey that is left out those of the choose half."""
    if sky.group == "left-out":
        rest = np.setdiff1d(np.flatnonzero(sky.cutouts.table.roles == Half.CHOOSE), own)
    rng = np.random.default_rng(4)
    return np.concatenate([rng.permutation(rest[sky.odd[rest] == odd])[:_MAX_IMAGES] for odd in (True, False)])


def main() -> None:
    """Print one table: AUROC and recall at rank 5 % of each score on each sky."""
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, default=PACKAGED_BUNDLE)
    parser.add_argument("--sky", action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    if not has_data(options.data, benchmark="patch_detectors"):
        return
    bundle = BundleUnderTest(options.bundle)
    graph = PatchGraph(bundle.bundle)
    galaxies = {
        name: cutouts_of(own, cache=options.cache, workers=options.workers)
        for name, own in galaxy_tables(options.data).items()
    }
    packs = {
        name: cutouts_of(own, cache=options.cache, workers=options.workers)
        for name, own in pack_tables(options.data).items()
    }
    rows: dict[str, dict[str, str]] = {}
    for sky in new_skies(galaxies, packs, splits=_SPLITS):
        if sky.group == "small" or (options.sky and sky.name not in options.sky):
            continue
        inputs = inputs_of(
            (galaxies | packs)[sky.table], bundle.bundle.preprocessing, cache=options.cache, workers=options.workers
        )[sky.rows]
        found: dict[str, list[tuple[float, float]]] = {}
        for split in sky.splits:
            rest = _evaluated(sky, split.own, split.rest)
            for name, values in detector_scores(bundle, graph, inputs[split.own], inputs[rest]).items():
                odd = sky.odd[rest]
                found.setdefault(name, []).append((auroc(odd, values), recall_at_false_alarms(odd, values, 0.05)))
        for name, figures in found.items():
            area, recall = np.mean(figures, axis=0)
            rows.setdefault(name, {})[sky.name] = f"{area:.3f} / {recall:.2f}"
    skies = list(next(iter(rows.values())))
    print(table(("score", *skies), [(name, *(own[sky] for sky in skies)) for name, own in rows.items()]))


if __name__ == "__main__":
    main()
