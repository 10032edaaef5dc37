"""`python -m astrolens.trainer`: train, calibrate and write a model bundle, or calibrate one anew."""

import argparse
import json
import logging
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from astrolens.contracts.ids import content_digest
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import Bundle
from astrolens.trainer.backbone import SPEC, Backbone, BackboneConfig
from astrolens.trainer.bundle_builder import Provenance, build_bundle, recalibrate_bundle
from astrolens.trainer.dataset import (
    CLASSES,
    Split,
    labelled_samples,
    labels_digest,
    pack_samples,
    simulated_samples,
)
from astrolens.trainer.early_views import Drawing, prepare_views
from astrolens.trainer.export import export_early
from astrolens.trainer.image_arrays import ImageArrays, prepare_arrays
from astrolens.trainer.training import Recipe, Trained, calibrate_kinds, train
from astrolens.trainer.training_views import KIND_NAMES

log = logging.getLogger("astrolens.trainer")


def main() -> None:
    """Run the command line."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    recipe = Recipe(seed=options.seed, views=options.views, epochs=options.epochs)
    samples = [
        *labelled_samples(options.data / "galaxies"),
        *pack_samples(options.data / "packs"),
        *simulated_samples(options.seed, options.simulated),
    ]
    splits = (Split.FIT, Split.CALIBRATION, Split.TEST) if options.recalibrate else tuple(Split)
    arrays = {
        split: prepare_arrays(samples, split, SPEC, cache=options.cache, workers=options.threads) for split in splits
    }
    provenance = Provenance(
        name=options.name,
        version=options.version,
        data_digest=labels_digest(options.data),
        note=options.note,
    )
    if options.recalibrate:
        bundle = recalibrate_bundle(Bundle.load(options.recalibrate), arrays, recipe, provenance, options.out)
    else:
        images = arrays[Split.BACKBONE]
        trained = _trained(images, recipe, options.cache, workers=options.threads, device=options.device)
        bundle = build_bundle(trained, arrays, SPEC, recipe, provenance, options.out)
    log.info("%s", bundle.card)
    log.info("bundle %s written to %s", bundle.digest, options.out)


def _trained(images: ImageArrays, recipe: Recipe, cache: Path, *, workers: int, device: str) -> Trained:
    """Load the weights of the same recipe and data from the cache, or train them.

    A training that was interrupted goes on: the views that are drawn, and the last finished epoch, are in the cache.
    """
    torch.manual_seed(recipe.seed)
    graph = export_early(Backbone(SPEC, len(CLASSES), len(KIND_NAMES)), SPEC)
    drawing = Drawing(recipe.seed, recipe.views, SPEC.size, recipe.balance, recipe.ranges)
    views = prepare_views(images, graph, drawing, cache=cache, workers=workers)
    where = "" if device == "cpu" else f" {device}"
    key = content_digest(f"{recipe} {BackboneConfig()} {views.digest}{where}".encode())[:16]
    path = cache / f"backbone-{key}.safetensors"
    if not path.with_suffix(".json").is_file():
        checkpoint = cache / f"backbone-{key}.checkpoint"
        trained = train(views.training, SPEC, recipe, checkpoint=checkpoint, device=device)
        calibrate_kinds(trained.model, views.held_out)
        save_file({name: weight.contiguous() for name, weight in trained.model.state_dict().items()}, path)
        note = {"draws": trained.draws, "minutes": trained.minutes}
        path.with_suffix(".json").write_text(json.dumps(note))
        log.info("weights saved in %s", path)
    model = Backbone(SPEC, len(CLASSES), len(KIND_NAMES))
    model.load_state_dict(load_file(path))
    return Trained(model.eval(), **json.loads(path.with_suffix(".json").read_text()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m astrolens.trainer", description=__doc__)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of galaxies/ and packs/")
    parser.add_argument(
        "--out", type=Path, default=PACKAGED_BUNDLE, help="folder of the bundle; its content is replaced"
    )
    parser.add_argument("--cache", type=Path, default=home / "astrolens" / "trainer", help="folder of prepared arrays")
    parser.add_argument(
        "--recalibrate", type=Path, help="a bundle whose network and detectors are kept; nothing is trained"
    )
    parser.add_argument("--name", default="second-light")
    parser.add_argument("--version", default="0.3.3")
    parser.add_argument("--note", default="", help="a sentence about the recipe for the model card")
    parser.add_argument("--views", type=int, default=Recipe.views, help="training views; 1,000 take some ten seconds")
    parser.add_argument("--epochs", type=float, default=Recipe.epochs, help="how often each view is read")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--simulated", type=int, default=2000, help="simulated images to train the backbone on")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="what trains the network")
    parser.add_argument("--threads", type=int, default=2, help="1 is faster where the cores are shared")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA device here: train with --device cpu")
    return options


if __name__ == "__main__":
    main()
