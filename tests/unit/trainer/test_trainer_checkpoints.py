"""A `ViTForImageClassification` checkpoint as the backbone: a whole run from it, its bundle served, and refusals."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from astrolens.contracts.records import Answer
from astrolens.contracts.training_runs import TrainingOptions
from astrolens.inference.backbone import Backbone as ServedBackbone
from astrolens.inference.engine import Engine, Item, ItemResult
from astrolens.science.bundle import Bundle
from astrolens.science.cutouts import encode_jpeg
from astrolens.science.golden import check_golden
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.science.scoring import Scorer
from astrolens.science.survey_model import RECIPE
from astrolens.trainer import early_views, export
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.bundle_builder import Provenance, build_bundle
from astrolens.trainer.dataset import CLASSES, Sample, Split
from astrolens.trainer.image_arrays import prepare_arrays
from astrolens.trainer.retraining import checkpoints, data_set
from astrolens.trainer.retraining.archive_images import ArchiveImage, GivenAnswer
from astrolens.trainer.retraining.checkpoints import BackboneRefused, describe, find_checkpoint, load_checkpoint
from astrolens.trainer.retraining.orders import Bounds, Order, Outcome
from astrolens.trainer.retraining.run import Run
from astrolens.trainer.retraining.starting_point import PromotedNetwork
from astrolens.trainer.retraining.starting_weights import DESCRIPTION, WEIGHTS, files_beside, load_backbone
from astrolens.trainer.training import Recipe, Trained
from astrolens.trainer.training_views import KIND_NAMES
from astrolens.trainer.vit_backbone import ViTBackbone
from safetensors.torch import load_file
from transformers import ViTConfig, ViTForImageClassification

NAME = "somebody/vit-tiny"
SIDE = 32
CHAMPION_SPEC = PreprocessingSpec(size=32, views=("object", "frame"))
PREPROCESSOR = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "resample": 3,
    "rescale_factor": 1 / 255,
    "size": {"height": SIDE, "width": SIDE},
}


def few_samples(seed: int, count: int) -> Iterator[Sample]:
    plan = ((Split.BACKBONE, 20, 0.0), (Split.FIT, 12, 0.0), (Split.CALIBRATION, 24, 0.0), (Split.DEVELOP, 2, 1.0))
    for position, (split, number, rate) in enumerate((*plan, (Split.TEST, 24, 0.0), (Split.TEST, 22, 1.0))):
        for index in range(number):
            yield Sample(split, key=f"simulated/{seed}/{position}/{index}", draw=(seed + position, index, rate))


@pytest.fixture(scope="module", autouse=True)
def small(cheap_bundles: None) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(early_views, "SHARD", 20)
        patch.setattr(early_views, "HELD_OUT_SHARDS", 1)
        patch.setattr(data_set, "simulated_samples", few_samples)
        yield


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of backbones with one checkpoint of random weights, saved as its maker would."""
    folder = tmp_path_factory.mktemp("backbones")
    torch.manual_seed(1)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=SIDE,
        patch_size=8,
        num_labels=7,
    )
    ViTForImageClassification(config).save_pretrained(folder / NAME)
    (folder / NAME / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.manual_seed(4)
    model = Backbone(CHAMPION_SPEC, 4, len(KIND_NAMES), BackboneConfig(width=20, layers=1, registers=2, pooled_width=8))
    cache = tmp_path_factory.mktemp("arrays")
    arrays = {
        split: prepare_arrays(list(few_samples(3, 40)), split, CHAMPION_SPEC, cache=cache, workers=0) for split in Split
    }
    folder = tmp_path_factory.mktemp("champion")
    provenance = Provenance("tiny", "1", "d")
    return build_bundle(Trained(model.eval(), 0, 0.0), arrays, CHAMPION_SPEC, Recipe(), provenance, folder)


def answered(folder: Path) -> list[ArchiveImage]:
    images = []
    for number in range(16):
        path = folder / f"{number}.jpg"
        path.write_bytes(encode_jpeg(np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)))
        answer = GivenAnswer(Answer.ARTEFACT, "vera", "2026-05-01T00:00:00Z", f"label-{number}")
        images.append(ArchiveImage(f"{number:032x}", path, "ab" * 32, "sdss", "spiral", "anomaly", answer=answer))
    return images


def perform(champion: Path, backbones: Path, folder: Path) -> Outcome:
    options = TrainingOptions.model_construct(views=20, epochs=2.0, seed=3, replay=10, simulated=40, backbone=NAME)
    order = Order.model_construct(
        run_id="0123456789abcdef",
        options=options,
        champion=champion,
        false_alarms_per_1000=10.0,
        sets=(),
        backbones=backbones,
        fetch_hosts=(),
        bounds=Bounds(),
        memory_mib=4096,
        cpu_hours=1.0,
    )
    folder.mkdir(exist_ok=True)
    return Run(
        order, folder, read_archive=lambda own, _: (answered(own.parent), []), publish=lambda *_: "data/1"
    ).perform()


@pytest.fixture(scope="module")
def done(champion: Bundle, backbones: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Bundle]:
    folder = tmp_path_factory.mktemp("run")
    outcome = perform(champion.path, backbones, folder)
    return outcome, Bundle.load(folder / "bundle", expected_digest=outcome.challenger)


def test_a_run_makes_a_bundle_of_the_checkpoint(done: tuple[Outcome, Bundle], backbones: Path) -> None:
    outcome, bundle = done
    manifest = bundle.manifest
    assert manifest.model.architecture == "huggingface-vit-d16-l2"
    assert manifest.preprocessing == PreprocessingSpec(size=SIDE, views=("object", "frame"), resample="bicubic")
    assert manifest.classes == CLASSES
    assert {DESCRIPTION, WEIGHTS} <= manifest.files.keys()
    assert {tap for entry in RECIPE for tap in entry.taps} <= manifest.model.taps.keys(), "survey models need these"
    assert NAME in bundle.card
    assert any(NAME in change for change in outcome.changes)
    own = load_file(backbones / NAME / "model.safetensors")
    after = load_file(bundle.path / WEIGHTS)
    names = [name for name in after if name.endswith("mlp.fc1.weight") and name.startswith("vit.")]
    assert len(names) == 2
    before = [value for name, value in own.items() if value.shape == (32, 16)]
    for name in names:
        distances = [float((after[name] - each).abs().max()) for each in before]
        assert 0.0 < min(distances) < 0.05, "its own weights, trained on a little"


def test_its_gates_say_the_figures(done: tuple[Outcome, Bundle]) -> None:
    outcome, _ = done
    assert outcome.gates is not None
    gates = {gate.name: gate for gate in outcome.gates.gates}
    assert gates["parity of PyTorch and ONNX Runtime"].passed
    assert gates["size of the graph"].passed
    assert gates["cost of an image"].challenger is not None
    assert outcome.before is not None
    assert outcome.after is not None
    assert set(outcome.before.by_survey) == set(outcome.after.by_survey)


def test_the_bundle_is_served(done: tuple[Outcome, Bundle]) -> None:
    _, bundle = done
    engine = Engine(bundle=bundle, scorer=Scorer(bundle), backbone=ServedBackbone(bundle))
    jpeg = encode_jpeg(np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8))
    one, two = engine.analyze([Item("", "sdss", jpeg), Item("", "simulated-sdss", jpeg)])
    assert isinstance(one, ItemResult)
    assert isinstance(two, ItemResult)
    assert one.embedding == two.embedding
    assert len(one.embedding) == 2 * bundle.manifest.model.embedding_dim
    assert 0.0 < one.scores.p_value <= 1.0
    assert check_golden(bundle, lambda pixels: export.run(export.session(bundle.model), pixels)) == 4


def test_a_promoted_one_can_be_trained_on(done: tuple[Outcome, Bundle]) -> None:
    _, bundle = done
    inputs = np.random.default_rng(0).integers(0, 256, (4, 6, SIDE, SIDE), dtype=np.uint8)
    assert export.check_parity(load_backbone(bundle), export.session(bundle.model), inputs) < 1e-4
    start = PromotedNetwork(bundle)
    model = start.load(len(bundle.manifest.kinds) + 1)
    assert start.reused_arrays() == {}, "all its layers learn"
    assert model.frozen_in_retraining() == []
    assert files_beside(model)[DESCRIPTION] == (bundle.path / DESCRIPTION).read_bytes()


def test_the_graph_normalises_as_the_preprocessor_does(backbones: Path) -> None:
    torch.manual_seed(0)
    model = load_checkpoint(NAME, backbones, kinds=3, hosts=()).eval()
    assert isinstance(model, ViTBackbone)
    pixels = np.random.default_rng(2).integers(0, 256, (2, 6, SIDE, SIDE), dtype=np.uint8)
    plain = ViTForImageClassification.from_pretrained(backbones / NAME).eval()
    mean, deviation = (np.array(PREPROCESSOR[name])[:, None, None] for name in ("image_mean", "image_std"))
    normalised = torch.from_numpy((pixels[:, :3] / 255.0 - mean) / deviation).float()
    with torch.inference_mode():
        states = plain.vit(pixel_values=normalised).last_hidden_state
        embedding = model(torch.from_numpy(pixels))[1]
    assert torch.allclose(embedding[:, :16], states[:, 0], atol=1e-5)
    assert torch.allclose(embedding[:, 16:], states[:, 1:].mean(dim=1), atol=1e-5)


@pytest.mark.parametrize("name", ["", "../secret", "/etc", "a/b/c", "a/..", ".hidden"])
def test_no_name_leads_out_of_the_folder(name: str, backbones: Path) -> None:
    with pytest.raises(BackboneRefused, match="cannot be used"):
        find_checkpoint(name, backbones, hosts=("huggingface.co",))


def test_offline_it_says_what_to_do(backbones: Path) -> None:
    with pytest.raises(BackboneRefused, match=r"put its config\.json.*ASTROLENS_FETCH_HOSTS"):
        find_checkpoint("google/vit-base-patch16-224", backbones, hosts=("skyserver.sdss.org",))


def test_a_hub_that_cannot_be_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr(checkpoints, "hf_hub_download", refuse)
    with pytest.raises(BackboneRefused, match=r"connection refused.*check name and network"):
        find_checkpoint("google/vit-tiny", tmp_path, hosts=("huggingface.co",))


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("config.json", {"architectures": ["BertModel"], "model_type": "bert"}, "it is a BertModel"),
        ("config.json", {"num_channels": 1}, "three colours"),
        ("config.json", {"image_size": 40}, "makes pictures of 32 pixels, and config.json takes 40"),
        ("preprocessor_config.json", {"resample": 0}, "resizes by filter 0"),
        ("preprocessor_config.json", {"size": None}, "no usable size"),
        ("preprocessor_config.json", None, r"has no preprocessor_config\.json"),
        ("model.safetensors", None, r"it has no model\.safetensors"),
    ],
)
def test_what_is_refused(
    file: str, change: dict[str, object] | None, reason: str, backbones: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    shutil.copytree(backbones / NAME, own)
    if change is None:
        (own / file).unlink()
    else:
        (own / file).write_text(json.dumps(json.loads((own / file).read_text()) | change))
    with pytest.raises(BackboneRefused, match=reason):
        describe(own, "own")


def test_pickled_weights_are_never_opened(backbones: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(backbones / NAME, own)
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    with pytest.raises(BackboneRefused, match="pickled, which could run code"):
        load_checkpoint("own", tmp_path, kinds=3, hosts=())
