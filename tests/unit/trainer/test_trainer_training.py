"""Augmentation, backbone, loss and export on small shapes."""

import numpy as np
import pytest
import torch
from astrolens.science.preprocessing import PreprocessingSpec, preprocess
from astrolens.trainer import export
from astrolens.trainer.augmentation import AugmentationRanges, augment
from astrolens.trainer.backbone import Backbone, BackboneConfig, logit_norm_loss
from astrolens.trainer.image_arrays import SOURCE_SIDE, ImageArrays, source_fraction
from astrolens.trainer.training import Recipe, infer, sampling_weights, temperature_of, train

SPEC = PreprocessingSpec(size=32)
TINY = BackboneConfig(width=16, layers=1, heads=2, stem=(8, 8, 16))
STILL = AugmentationRanges(zoom=0, shift=0, gain=0, colour=0, gamma=0, background=0, noise=0, blur=0)


def sources(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth random sources, one view inside the other."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 6, 8, 8, generator=generator) * 255
    fine = torch.nn.functional.interpolate(coarse, SOURCE_SIDE, mode="bilinear").to(torch.uint8)
    return fine.reshape(count, 2, 3, SOURCE_SIDE, SOURCE_SIDE)


def test_augmentation_is_seeded_and_bounded() -> None:
    def made(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return augment(sources(5), SPEC.views, size=32, generator=generator, ranges=AugmentationRanges())

    assert made(1).shape == (5, 6, 32, 32)
    assert torch.equal(made(1), made(1))
    assert not torch.equal(made(1), made(2))
    assert made(1).min() >= 0
    assert made(1).max() <= 255


def test_without_changes_a_view_is_the_centre_of_its_source() -> None:
    """Only turns and mirrors are left, so that what is symmetric must come out as the plain pipeline gives it."""
    y, x = np.mgrid[-128:128, -128:128] + 0.5
    picture = np.repeat((250 * np.exp(-(x**2 + y**2) / 3000))[..., None], 3, axis=2).astype(np.uint8)
    wide = PreprocessingSpec(size=SOURCE_SIDE, views=tuple(source_fraction(f) for f in SPEC.views))
    source = torch.from_numpy(preprocess(picture, wide)).reshape(1, 2, 3, SOURCE_SIDE, SOURCE_SIDE)
    generator = torch.Generator().manual_seed(3)
    plain = preprocess(picture, SPEC).astype(float)
    rows, columns = np.mgrid[-16:16, -16:16] + 0.5
    inside = rows**2 + columns**2 < 15**2
    for _ in range(6):
        made = augment(source, SPEC.views, size=32, generator=generator, ranges=STILL)[0].numpy()
        # The corners of a turned frame show its own reflection.
        assert np.abs(made - plain)[:, inside].max() < 4.0


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


def images(count: int = 60) -> ImageArrays:
    made = sources(count)
    classes = np.arange(count) % 2
    return ImageArrays(
        inputs=augment(made, SPEC.views, size=32, generator=torch.Generator().manual_seed(0), ranges=STILL)
        .to(torch.uint8)
        .numpy(),
        sources=made.numpy(),
        classes=classes.astype(np.int64),
        surveys=np.array(["sdss", "efigi", "simulated-sdss"])[np.arange(count) % 3],
        oddities=np.array([""] * count),
    )


def test_surveys_and_classes_are_drawn_by_weight() -> None:
    own = images(60)
    weights = sampling_weights(own, balance=0.3)
    assert weights.sum() == pytest.approx(1.0)
    shares = {name: weights[own.surveys == name].sum() for name in np.unique(own.surveys)}
    assert shares == pytest.approx({"sdss": 0.42, "efigi": 0.33, "simulated-sdss": 0.25})


def test_training_is_repeatable() -> None:
    recipe = Recipe(seed=5, epochs=1, draws=40, batch=20)
    own = images()
    one, two = (train(own, own, SPEC, recipe, TINY).model for _ in range(2))
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first, second)


def test_training_continues_from_earlier_weights() -> None:
    own = images()
    recipe = Recipe(seed=5, epochs=1, draws=40, batch=20)
    first = train(own, own, SPEC, recipe, TINY)
    second = train(own, own, SPEC, recipe, TINY, start=first)
    assert (first.draws, second.draws) == (40, 80)
    fresh = Backbone(SPEC, 4, TINY)

    def distance(one: Backbone, two: Backbone) -> float:
        return sum(float((a - b).detach().abs().sum()) for a, b in zip(one.parameters(), two.parameters(), strict=True))

    assert 0 < distance(second.model, first.model) < distance(second.model, fresh)


def test_the_time_limit_ends_the_training() -> None:
    own = images()
    recipe = Recipe(seed=5, epochs=1000, draws=40, batch=20, minutes=0.02)
    trained = train(own, own, SPEC, recipe, TINY)
    assert trained.by_clock
    assert trained.draws < 40_000


def test_the_exported_graph_gives_the_same_bits_in_every_batch() -> None:
    torch.manual_seed(1)
    model = Backbone(SPEC, 4, TINY).eval()
    model.temperature.fill_(0.3)
    ready = export.session(export.export(model, SPEC), threads=1)
    inputs = np.random.default_rng(0).integers(0, 256, (37, 6, 32, 32), dtype=np.uint8)
    assert export.check_parity(model, ready, inputs) < 1e-4
    export.check_batches(ready, inputs)
    features = export.run(ready, inputs[:1])
    assert features.logits.shape == (1, 4)
    assert features.embedding.shape == (1, 32)


def test_a_graph_with_other_results_is_refused() -> None:
    torch.manual_seed(1)
    model = Backbone(SPEC, 4, TINY).eval()
    ready = export.session(export.export(model, SPEC), threads=1)
    inputs = np.random.default_rng(0).integers(0, 256, (4, 6, 32, 32), dtype=np.uint8)
    model.head.weight.data.mul_(1.5)
    with pytest.raises(export.ExportFailed, match="differ"):
        export.check_parity(model, ready, inputs)


def test_the_temperature_divides_the_logits() -> None:
    torch.manual_seed(1)
    model = Backbone(SPEC, 4, TINY).eval()
    inputs = np.random.default_rng(0).integers(0, 256, (3, 6, 32, 32), dtype=np.uint8)
    before, _ = infer(model, inputs)
    model.temperature.fill_(4.0)
    assert infer(model, inputs)[0] == pytest.approx(before / 4.0, rel=1e-5)
