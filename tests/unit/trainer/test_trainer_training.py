"""Backbone, loss, training and export on small shapes."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer import export, training
from astrolens.trainer.__main__ import main
from astrolens.trainer.backbone import Backbone, BackboneConfig
from astrolens.trainer.early_views import EarlyViews
from astrolens.trainer.pooling import MapStatistics, rotation_asymmetry
from astrolens.trainer.trainable_backbone import BackboneOutputs, logit_norm_loss
from astrolens.trainer.training import Recipe, calibrate_kinds, infer, temperature_of, train

SPEC = PreprocessingSpec(size=32, views=("object", "frame"))
TINY = BackboneConfig(width=16, layers=1, heads=2, registers=2, pooled_width=8)
KINDS = 3
RECIPE = Recipe(seed=5, views=60, epochs=2, batch=20)


def backbone() -> Backbone:
    torch.manual_seed(1)
    return Backbone(SPEC, 4, KINDS, TINY).eval()


def views(count: int = 60, seed: int = 0) -> EarlyViews:
    """Maps whose first channel tells the class and whose second tells the kind."""
    rng = np.random.default_rng(seed)
    classes, kinds = rng.integers(0, 4, count), rng.integers(0, KINDS, count)
    maps = rng.normal(size=(count, 40, 4, 4))
    maps[:, 0] += 3.0 * classes[:, None, None]
    maps[:, 1] += 3.0 * kinds[:, None, None]
    return EarlyViews(maps.astype(np.float16), classes, kinds)


def trained(recipe: Recipe = RECIPE, checkpoint: Path | None = None) -> Backbone:
    return train(views(), SPEC, recipe, TINY, kinds=KINDS, checkpoint=checkpoint).model


def same_weights(one: Backbone, two: Backbone) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_logit_norm_ignores_length() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    classes = torch.tensor([0, 1])
    expected = -np.log(np.exp(1 / 0.5) / (np.exp(1 / 0.5) + 2))
    assert logit_norm_loss(logits, classes, tau=0.5).item() == pytest.approx(expected, rel=1e-5)
    assert logit_norm_loss(logits * 9, classes, tau=0.5).item() == pytest.approx(expected, rel=1e-5)


def test_the_temperature_is_recovered() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(20_000, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (p.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    assert temperature_of((logits * 2.5).astype(np.float32), classes) == pytest.approx(2.5, rel=0.05)


def test_asymmetry_is_of_a_turn_by_half() -> None:
    even = torch.rand(2, 3, 4, 4)
    even = even + even.flip((2, 3))
    one_sided = torch.zeros(1, 3, 4, 4)
    one_sided[:, :, 1, 1] = 16.0
    assert rotation_asymmetry([even]).max().item() == pytest.approx(1e-3, abs=1e-4)
    # Two of sixteen places differ by 16.
    assert rotation_asymmetry([one_sided]).tolist()[0] == pytest.approx([np.sqrt(2.0)] * 3, rel=1e-4)
    assert (rotation_asymmetry([one_sided], central=True) > rotation_asymmetry([one_sided])).all()


def test_pooled_maps_are_standardised_by_the_example() -> None:
    statistics = MapStatistics((3, 2))
    maps = [torch.rand(50, 3, 4, 4) * 7.0, torch.rand(50, 2, 2, 2)]
    statistics.standardise_by(maps)
    made = statistics(maps)
    assert made.shape == (50, statistics.dim) == (50, 20)
    assert made.mean(dim=0).tolist() == pytest.approx([0.0] * 20, abs=1e-4)
    assert made.std(dim=0).tolist() == pytest.approx([1.0] * 20, abs=0.05)


@pytest.fixture(scope="module")
def unbroken() -> Backbone:
    """Trained in one go; nobody changes it."""
    return trained()


def test_the_early_trunk_never_learns_and_the_middle_does(unbroken: Backbone) -> None:
    before, after = backbone(), unbroken
    for part in ("early", "generic"):
        kept = after.get_submodule(part).state_dict()
        assert all(torch.equal(kept[name], value) for name, value in before.get_submodule(part).state_dict().items())
    weights = dict(after.middle.named_parameters())
    assert not all(torch.equal(weights[name], value) for name, value in before.middle.named_parameters())


def test_the_batch_statistics_are_those_of_ordinary_views_and_stay(unbroken: Backbone) -> None:
    seen = views()
    expected = backbone()
    ordinary = torch.from_numpy(seen.maps[seen.kinds == 0].astype(np.float32))
    expected.middle.measure_batch_statistics(ordinary)
    found = dict(unbroken.middle.named_buffers())
    for name, value in expected.middle.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            assert found[name].numpy() == pytest.approx(value.numpy(), rel=1e-3, abs=1e-4)
    first = expected.middle.blocks[0]
    assert not any(layer.training for layer in first.modules())


def test_training_is_repeatable(unbroken: Backbone) -> None:
    assert same_weights(trained(), unbroken)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_cuda_device_learns_nearly_the_same() -> None:
    undropped = replace(TINY, drop=0.0, pooled_drop=0.0)
    one, two = (train(views(), SPEC, RECIPE, undropped, kinds=KINDS, device=own).model for own in ("cpu", "cuda"))
    for own, other in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert own.device.type == other.device.type == "cpu"
        assert other.numpy() == pytest.approx(own.numpy(), rel=0.02, abs=0.02)


def test_a_missing_cuda_device_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["trainer", "--device", "cuda"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main()
    assert "--device cpu" in capsys.readouterr().err


@pytest.fixture(scope="module")
def learned() -> Backbone:
    return trained(Recipe(seed=5, views=60, epochs=20, batch=20, rate=5e-3, warm_up=5))


def test_training_learns(learned: Backbone) -> None:
    seen = views()
    with torch.inference_mode():
        outputs = learned.forward_early(torch.from_numpy(seen.maps.astype(np.float32)))
        logits = learned.class_head(outputs.class_features)
    ordinary = seen.kinds == 0
    assert (logits.numpy().argmax(axis=1) == seen.classes)[ordinary].mean() > 0.6
    for kinds in (outputs.kinds, outputs.pooled_kinds):
        assert (kinds.numpy().argmax(axis=1) == seen.kinds).mean() > 0.6


@pytest.mark.parametrize("every_s", [0.0, 60.0], ids=["within an epoch", "after an epoch"])
def test_an_interrupted_training_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float, unbroken: Backbone
) -> None:
    monkeypatch.setattr(training, "_CHECKPOINT_EVERY_S", every_s)

    class Interrupted(Exception):
        pass

    checkpoint = tmp_path / "state.checkpoint"
    calls = 0
    original = Backbone.forward_early

    def stops(self: Backbone, early: torch.Tensor) -> BackboneOutputs:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Interrupted
        return original(self, early)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Backbone, "forward_early", stops)
        with pytest.raises(Interrupted):
            trained(checkpoint=checkpoint)
    assert checkpoint.is_file()
    assert same_weights(trained(checkpoint=checkpoint), unbroken)


def test_the_kinds_are_calibrated_on_other_views(learned: Backbone) -> None:
    others = views(400, seed=9)

    def loss() -> float:
        with torch.inference_mode():
            outputs = learned.forward_early(torch.from_numpy(others.maps.astype(np.float32)))
            kinds = (outputs.kinds + outputs.pooled_kinds) / (2.0 * learned.kind_temperature)
        return torch.nn.functional.cross_entropy(kinds, torch.from_numpy(others.kinds)).item()

    before = loss()
    calibrate_kinds(learned, others)
    assert loss() < before


def test_the_exported_graph_gives_the_same_bits_in_every_batch() -> None:
    model = backbone()
    model.temperature.fill_(0.3)
    ready = export.session(export.export(model, SPEC), threads=1)
    inputs = np.random.default_rng(0).integers(0, 256, (37, 6, 32, 32), dtype=np.uint8)
    assert export.check_parity(model, ready, inputs) < 1e-4
    export.check_batches(ready, inputs)
    features = export.run(ready, inputs[:1])
    assert features.logits.shape == (1, 4)
    assert features.embedding.shape == (1, 32)
    assert features.kind_logits is not None
    assert features.kind_logits.shape == (1, KINDS)
    assert {name: values.shape[1] for name, values in features.taps.items()} == model.taps


def test_the_early_graph_is_the_part_that_the_views_are_kept_of() -> None:
    model = backbone()
    ready = export.session(export.export_early(model, SPEC), threads=1)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    [early] = ready.run(["early"], {"pixels": pixels})
    with torch.inference_mode():
        logits = model.class_head(model.forward_early(torch.from_numpy(early)).class_features).numpy()
    both = np.concatenate((pixels, pixels), axis=1)
    assert logits == pytest.approx(infer(model, both)[0], abs=1e-3)


def test_a_graph_with_other_results_is_refused() -> None:
    model = backbone()
    ready = export.session(export.export(model, SPEC), threads=1)
    inputs = np.random.default_rng(0).integers(0, 256, (4, 6, 32, 32), dtype=np.uint8)
    model.class_head.weight.data.mul_(1.5)
    with pytest.raises(export.ExportFailed, match="differ"):
        export.check_parity(model, ready, inputs)


def test_the_temperature_divides_the_logits() -> None:
    model = backbone()
    inputs = np.random.default_rng(0).integers(0, 256, (3, 6, 32, 32), dtype=np.uint8)
    before = infer(model, inputs)[0]
    model.temperature.fill_(4.0)
    assert infer(model, inputs)[0] == pytest.approx(before / 4.0, rel=1e-5)
