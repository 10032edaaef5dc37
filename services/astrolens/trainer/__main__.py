"""`python -m astrolens.trainer`: train, calibrate and write a bundle."""

import argparse
import hashlib
import json
import logging
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.building import Provenance, build
from astrolens.trainer.pictures import Pictures, prepare
from astrolens.trainer.samples import CLASSES, Role, galaxies, labels_digest, simulated
from astrolens.trainer.training import Recipe, Trained, train

log = logging.getLogger("astrolens.trainer")


def main() -> None:
    """Train with the options of the command line."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(options.threads)
    spec = PreprocessingSpec()
    recipe = Recipe(seed=options.seed, epochs=options.epochs, minutes=options.minutes)
    samples = [*galaxies(options.data), *simulated(options.seed, options.simulated)]
    pictures = {role: prepare(samples, role, spec, cache=options.cache, workers=options.threads) for role in Role}
    data_digest = labels_digest(options.data)
    data = f"{data_digest} {options.simulated}"
    trained = _trained(pictures, spec, recipe, options.cache, data, resume=options.resume)
    provenance = Provenance(name=options.name, version=options.version, data_digest=data_digest, note=options.note)
    bundle = build(trained, pictures, spec, recipe, provenance, options.out)
    log.info("%s", bundle.card)
    log.info("bundle %s written to %s", bundle.digest, options.out)


def _trained(
    pictures: dict[Role, Pictures],
    spec: PreprocessingSpec,
    recipe: Recipe,
    cache: Path,
    data: str,
    *,
    resume: Path | None = None,
) -> Trained:
    """Weights of the same recipe and data from the cache, or new ones."""
    config = BackboneConfig()
    wanted = hashlib.sha256(f"{recipe} {config} {spec} {data} {resume}".encode()).hexdigest()[:16]
    path = cache / f"backbone-{wanted}.safetensors"
    if not path.with_suffix(".json").is_file():
        start = _kept(resume, spec, config) if resume is not None else None
        trained = train(pictures[Role.BACKBONE], pictures[Role.COMBINED], spec, recipe, config, start=start)
        save_file({name: weight.contiguous() for name, weight in trained.model.state_dict().items()}, path)
        note = {"draws": trained.draws, "minutes": trained.minutes, "by_clock": trained.by_clock}
        path.with_suffix(".json").write_text(json.dumps(note))
        log.info("weights kept in %s", path)
    return _kept(path, spec, config)


def _kept(path: Path, spec: PreprocessingSpec, config: BackboneConfig) -> Trained:
    """Weights that an earlier run kept."""
    model = Backbone(spec, len(CLASSES), config)
    model.load_state_dict(load_file(path))
    return Trained(model.eval(), **json.loads(path.with_suffix(".json").read_text()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m astrolens.trainer", description=__doc__)
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/galaxies"), help="folder of labels.csv")
    parser.add_argument(
        "--out", type=Path, default=PACKAGED_BUNDLE, help="folder of the bundle; what is in it is replaced"
    )
    parser.add_argument("--cache", type=Path, default=home / "astrolens" / "trainer", help="folder of prepared arrays")
    parser.add_argument("--name", default="first-light")
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--note", default="", help="a sentence about the recipe for the model card")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs, help="of 6,000 pictures; about half a minute each")
    parser.add_argument("--minutes", type=float, help="end by then, even if that means fewer epochs")
    parser.add_argument("--resume", type=Path, help="go on from the weights (.safetensors) that an earlier run kept")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--simulated", type=int, default=2000, help="simulated pictures to train the backbone on")
    parser.add_argument("--threads", type=int, default=2, help="1 is faster where the cores are shared")
    return parser.parse_args()


if __name__ == "__main__":
    main()
