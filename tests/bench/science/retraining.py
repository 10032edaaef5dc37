"""What 150 answers of a scripted person bring: one retraining run on real galaxies, champion and challenger compared.

The person looks at images in the order of the product's queue, which learns after every five answers, and answers by
the catalogue: EFIGI's `contaminated` and SDSS's `dont-know` are artefacts, other oddities are interesting, all else is
ordinary. The pool has the oddities of the choose half and ordinary images of the `val` split; what was in the pool is
left out of everything else. The figures are of the report half. Run `python -m tests.bench.science.retraining`.
"""

import argparse
import csv
import hashlib
import json
import logging
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import torch
from astrolens.contracts.ids import content_digest
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import TrainingOptions
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import Bundle
from astrolens.science.cutouts import ImageRejected, decode_cutout, make_cutout
from astrolens.science.preprocessing import preprocess_many
from astrolens.science.scoring import Scorer
from astrolens.trainer import export
from astrolens.trainer.dataset import Sample, Split, labelled_samples
from astrolens.trainer.evaluation import rank_values
from astrolens.trainer.ranking.features import PoolFeatures, feature_rows
from astrolens.trainer.ranking.interest import learn_ranking
from astrolens.trainer.retraining.archive_images import ArchiveImage, GivenAnswer
from astrolens.trainer.retraining.orders import Order
from astrolens.trainer.retraining.run import Run

LOOKS: Final = 150
_POOL_ODD: Final = 110
_ANSWERS_PER_FIT: Final = 5
_ARTEFACTS: Final = frozenset({"contaminated", "dont-know"})
_BUDGET: Final = 10.0


def main() -> None:
    """Run the command line."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    found = [_one_seed(options, seed) for seed in options.seeds]
    text = json.dumps(found, indent=2)
    options.out.write_text(text + "\n")
    print(text)


def _one_seed(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    began = process_time()
    folder = options.cache / f"retraining-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    champion = Bundle.load(PACKAGED_BUNDLE)
    pool = first_looks_pool(options.data / "galaxies", seed)
    answered = _answer(champion, pool, folder)
    galaxies = _without(options.data / "galaxies", {sample.key for sample in pool}, folder, share=options.share)
    order = Order(
        run_id=hashlib.sha256(str(seed).encode()).hexdigest()[:16],
        options=TrainingOptions(
            views=options.views,
            network=options.network,
            epochs=options.epochs,
            seed=seed,
            simulated=options.simulated,
        ),
        champion=PACKAGED_BUNDLE,
        false_alarms_per_1000=_BUDGET,
        sets=(f"galaxies:{galaxies}",),
        memory_mib=8192,
        cpu_hours=8.0,
    )
    given = answered if options.answers else []
    outcome = Run(order, folder, read_archive=lambda _, __: (given, []), publish=lambda *_: None).perform()
    report = outcome.model_dump(mode="json", include={"before", "after", "gates", "data", "changes"})
    counts = {answer.value: sum(own.answer.answer is answer for own in answered if own.answer) for answer in Answer}
    return {"seed": seed, "answers": counts, "cpu_s": round(process_time() - began), **report}


def first_looks_pool(folder: Path, seed: int) -> list[Sample]:
    """Oddities of the choose half, and half of the ordinary images of the `val` split."""
    rng = np.random.default_rng([seed, 7])
    samples = list(labelled_samples(folder))
    odd = [each for each in samples if each.oddity and each.split is Split.DEVELOP]
    with (folder / "labels.csv").open(newline="") as stream:
        val = {row["file"] for row in csv.DictReader(stream) if row["split"] == "val"}
    ordinary = [each for each in samples if each.key in val and not each.oddity and _half(each.key)]
    chosen = rng.choice(len(odd), min(_POOL_ODD, len(odd)), replace=False)
    return [*ordinary, *(odd[row] for row in sorted(chosen))]


def _answer(champion: Bundle, pool: list[Sample], folder: Path) -> list[ArchiveImage]:
    """The first `LOOKS` images of the queue with their answers."""
    cutouts = folder / "cutouts"
    cutouts.mkdir(exist_ok=True)
    paths, shown = [], []
    for sample in pool:
        assert sample.path is not None
        path = cutouts / f"{content_digest(sample.key.encode())[:32]}.jpg"
        try:
            path.write_bytes(make_cutout(sample.path.read_bytes()).jpeg)
        except ImageRejected:
            continue
        paths.append(path)
        shown.append(sample)
    pool = shown
    inputs = preprocess_many([decode_cutout(path.read_bytes()) for path in paths], champion.preprocessing)
    features = export.run(export.session(champion.model), inputs)
    scores = Scorer(champion, _BUDGET).score(features, [sample.survey for sample in pool])
    names, kinds = sorted(scores[0].detectors), sorted(scores[0].kinds)
    p_values = np.array([[own.detectors[name].p_value for name in names] for own in scores])
    shares = np.array([[own.kinds[name] for name in kinds] for own in scores])
    known = PoolFeatures(
        image_ids=tuple(path.stem for path in paths),
        features=feature_rows(features.embedding.astype(np.float64), p_values, shares),
        strangeness=rank_values(scores),
        kinds=shares,
        kind_names=tuple(kinds),
        is_candidate=np.ones(len(pool), dtype=bool),
    )
    given: dict[str, Answer] = {}
    answered: list[ArchiveImage] = []
    while len(answered) < LOOKS:
        for row in learn_ranking(known, given).queue[:_ANSWERS_PER_FIT].tolist():
            sample, path = pool[row], paths[row]
            given[path.stem] = _said(sample.oddity)
            answer = GivenAnswer(given[path.stem], "script", "2026-01-01T00:00:00Z", path.stem)
            digest = content_digest(path.read_bytes())
            verdict = scores[row].verdict.value
            answered.append(
                ArchiveImage(path.stem, path, digest, sample.survey, sample.morphology, verdict, answer=answer)
            )
    return answered


def _said(oddity: str) -> Answer:
    if not oddity:
        return Answer.ORDINARY
    return Answer.ARTEFACT if _ARTEFACTS & set(oddity.split("+")) else Answer.INTERESTING


def _without(source: Path, left_out: set[str], folder: Path, *, share: float) -> Path:
    """A copy of the label table without some pictures, and with a share of those that train, beside the pictures."""
    copy = folder / "galaxies"
    copy.mkdir(exist_ok=True)
    kept = {
        sample.key
        for sample in labelled_samples(source)
        if sample.key not in left_out and (sample.split is not Split.BACKBONE or _draw(sample.key) < share)
    }
    with (source / "labels.csv").open(newline="") as stream, (copy / "labels.csv").open("w", newline="") as out:
        reader = csv.DictReader(stream)
        writer = csv.DictWriter(out, reader.fieldnames or ())
        writer.writeheader()
        writer.writerows(row for row in reader if row["file"] in kept)
    for pictures in (each for each in source.iterdir() if each.is_dir()):
        if not (copy / pictures.name).exists():
            (copy / pictures.name).symlink_to(pictures.resolve())
    return copy


def _half(key: str) -> bool:
    return _draw(f"pool/{key}") < 0.5


def _draw(key: str) -> float:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2.0**64


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--cache", type=Path, required=True, help="folder of what each run keeps; it can go on there")
    parser.add_argument("--out", type=Path, default=Path("retraining.json"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[20])
    parser.add_argument("--views", type=int, default=TrainingOptions().views)
    parser.add_argument("--network", action="store_true", help="train the transformer on, not only the kinds' heads")
    parser.add_argument("--epochs", type=float, default=TrainingOptions().epochs)
    parser.add_argument("--simulated", type=int, default=TrainingOptions().simulated)
    parser.add_argument("--share", type=float, default=1.0, help="share of the training pictures that is replayed")
    parser.add_argument("--answers", action=argparse.BooleanOptionalAction, default=True, help="learn from the answers")
    return parser.parse_args()


if __name__ == "__main__":
    main()
