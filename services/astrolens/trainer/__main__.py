"""`python -m astrolens.trainer`: train, calibrate and write a model bundle."""

import argparse
import json
import logging
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from astrolens.contracts.ids import content_digest
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.bundle_builder import Provenance, build_bundle
from astrolens.trainer.dataset import CLASSES, Split, labelled_samples, labels_digest, simulated_samples
from astrolens.trainer.image_arrays import ImageArrays, prepare_arrays
from astrolens.trainer.training import Recipe, Trained, train

log = logging.getLogger("astrolens.trainer")


def main() -> None:
    """Run the command line."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    spec = PreprocessingSpec()
    recipe = Recipe(seed=options.seed, epochs=options.epochs, minutes=options.minutes)
    samples = [*labelled_samples(options.data), *simulated_samples(options.seed, options.simulated)]
    arrays = {
        split: prepare_arrays(samples, split, spec, cache=options.cache, workers=options.threads) for split in Split
    }
    data_digest = labels_digest(options.data)
    data = f"{data_digest} {options.simulated}"
    trained = _trained(arrays, spec, recipe, options.cache, data, resume=options.resume)
    provenance = Provenance(name=options.name, version=options.version, data_digest=data_digest, note=options.note)
    bundle = build_bundle(trained, arrays, spec, recipe, provenance, options.out)
    log.info("%s", bundle.card)
    log.info("bundle %s written to %s", bundle.digest, options.out)


def _trained(
    arrays: dict[Split, ImageArrays],
    spec: PreprocessingSpec,
    recipe: Recipe,
    cache: Path,
    data: str,
    *,
    resume: Path | None = None,
) -> Trained:
    """Load the weights of the same recipe and data from the cache, or train them."""
    config = BackboneConfig()
    key = content_digest(f"{recipe} {config} {spec} {data} {resume}".encode())[:16]
    path = cache / f"backbone-{key}.safetensors"
    if not path.with_suffix(".json").is_file():
        start = _load_weights(resume, spec, config) if resume is not None else None
        trained = train(arrays[Split.BACKBONE], arrays[Split.COMBINED], spec, recipe, config, start=start)
        save_file({name: weight.contiguous() for name, weight in trained.model.state_dict().items()}, path)
        note = {"draws": trained.draws, "minutes": trained.minutes, "by_clock": trained.by_clock}
        path.with_suffix(".json").write_text(json.dumps(note))
        log.info("weights saved in %s", path)
    return _load_weights(path, spec, config)


def _load_weights(path: Path, spec: PreprocessingSpec, config: BackboneConfig) -> Trained:
    """Load weights that an earlier run saved."""
    model = Backbone(spec, len(CLASSES), config)
    model.load_state_dict(load_file(path))
    return Trained(model.eval(), **json.loads(path.with_suffix(".json").read_text()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m astrolens.trainer", description=__doc__)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/galaxies"), help="folder of labels.csv")
    parser.add_argument(
        "--out", type=Path, default=PACKAGED_BUNDLE, help="folder of the bundle; its content is replaced"
    )
    parser.add_argument("--cache", type=Path, default=home / "astrolens" / "trainer", help="folder of prepared arrays")
    parser.add_argument("--name", default="first-light")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--note", default="", help="a sentence about the recipe for the model card")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs, help="of 6,000 images; about half a minute each")
    parser.add_argument("--minutes", type=float, help="time limit, even if that means fewer epochs")
    parser.add_argument(
        "--resume", type=Path, help="continue from the weights (.safetensors) that an earlier run saved"
    )
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--simulated", type=int, default=2000, help="simulated images to train the backbone on")
    parser.add_argument("--threads", type=int, default=2, help="1 is faster where the cores are shared")
    return parser.parse_args()


if __name__ == "__main__":
    main()
