import io
from dataclasses import replace

import numpy as np
import pytest
from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine, Item, ItemError, ItemErrorCode, ItemResult
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import Bundle, BundleDamaged
from astrolens.science.density import DensityEntry
from astrolens.science.preprocessing import PreprocessingSpec, preprocess_picture
from astrolens.science.scoring import Scorer
from astrolens.science.survey_model import fit_survey_model
from astrolens.science.survey_scoring import NO_SURVEY_CALIBRATIONS, SurveyCalibrations
from PIL import Image

from tests.unit.inference.tiny_bundle import CLASSES, DIMENSIONS, KINDS, SPEC, picture


@pytest.fixture(scope="module", params=["tiny", "first-light"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "tiny":
        return request.getfixturevalue("tiny_engine")
    bundle = Bundle.load(PACKAGED_BUNDLE)
    return Engine(bundle=bundle, scorer=Scorer(bundle), backbone=Backbone(bundle))


def items(count: int) -> list[Item]:
    surveys = ("sdss", "simulated-lsst", "unknown")
    return [Item("", surveys[seed % 3], picture(seed, side=40 + seed)) for seed in range(count)]


def test_what_is_said_of_an_image_does_not_depend_on_its_batch_mates(engine: Engine) -> None:
    every = items(33)
    alone = [engine.analyze([item])[0] for item in every]
    for size in (2, 3, 5, 8, 13, 32, 33):
        for start in range(0, len(every), size):
            assert engine.analyze(every[start : start + size]) == alone[start : start + size]


def test_images_of_a_survey_model_and_others_share_a_batch(tiny_engine: Engine) -> None:
    every = items(33)
    ids, taps = tiny_engine.extract_taps([Item(f"{seed:032x}", "", picture(seed)) for seed in range(24)], ["scaled"])
    recipe = (DensityEntry(name="scaled-density", taps=("scaled",), components=4, neighbours=3),)
    model = fit_survey_model(
        taps, survey="unknown", model_digest="0", image_ids=ids, recipe=recipe, minimum_images=len(ids)
    )
    tiny_engine.serve(SurveyCalibrations(models={"unknown": model}))
    try:
        alone = [tiny_engine.analyze([item])[0] for item in every]
        assert tiny_engine.analyze(every) == alone
        fits = {each.scores.calibration_fit for each in alone[2::3] if isinstance(each, ItemResult)}
        assert fits == {"survey-model"}
    finally:
        tiny_engine.serve(NO_SURVEY_CALIBRATIONS)


def test_order_of_a_batch_does_not_matter(engine: Engine) -> None:
    every = items(16)
    assert engine.analyze(every[::-1]) == engine.analyze(every)[::-1]


def test_a_bad_cutout_is_refused_and_harms_no_other(tiny_engine: Engine) -> None:
    good = items(3)
    png = io.BytesIO()
    Image.new("RGB", (8, 8)).save(png, "PNG")
    huge = io.BytesIO()
    Image.new("RGB", (1025, 8)).save(huge, "JPEG")
    bad = [
        Item("", "sdss", b""),
        Item("", "sdss", b"not an image"),
        Item("", "sdss", good[0].jpeg[:200]),
        Item("", "sdss", png.getvalue()),
        Item("", "sdss", huge.getvalue()),
        Item("", "sdss", bytes((1 << 20) + 1)),
    ]
    mixed = [good[0], *bad[:3], good[1], *bad[3:], good[2]]
    outcomes = tiny_engine.analyze(mixed)
    assert [outcomes[0], outcomes[4], outcomes[8]] == tiny_engine.analyze(good)
    faults = [outcome.code for outcome in outcomes if isinstance(outcome, ItemError)]
    undecodable = ItemErrorCode.UNDECODABLE
    assert faults == [
        ItemErrorCode.INVALID,
        undecodable,
        undecodable,
        undecodable,
        ItemErrorCode.TOO_LARGE,
        ItemErrorCode.TOO_LARGE,
    ]


def test_all_bad_and_none_at_all(tiny_engine: Engine) -> None:
    [refused] = tiny_engine.analyze([Item("", "sdss", b"x")])
    assert isinstance(refused, ItemError)
    assert tiny_engine.analyze([]) == []


def test_a_result_is_whole(tiny_engine: Engine) -> None:
    [scored] = tiny_engine.analyze(items(1))
    assert isinstance(scored, ItemResult)
    assert set(scored.scores.class_probabilities) == set(CLASSES)
    assert len(np.frombuffer(scored.embedding, dtype="<f2")) == DIMENSIONS
    assert scored.scores.calibration_survey == "sdss"


def test_an_answer_that_is_not_finite_is_refused(tiny_bundle: Bundle) -> None:
    class Broken(Backbone):
        def run(self, pixels, *, all_taps=True):
            features = super().run(pixels, all_taps=all_taps)
            features.logits[1] = np.nan
            return features

    engine = Engine(bundle=tiny_bundle, scorer=Scorer(tiny_bundle), backbone=Broken(tiny_bundle))
    outcomes = engine.analyze(items(3))
    assert [isinstance(outcome, ItemResult) for outcome in outcomes] == [True, False, True]
    assert outcomes[1] == ItemError(ItemErrorCode.NOT_FINITE, "the model's answer is not finite")


def test_an_embedding_beyond_float16_is_refused(tiny_bundle: Bundle) -> None:
    class Huge(Backbone):
        def run(self, pixels, *, all_taps=True):
            features = super().run(pixels, all_taps=all_taps)
            return replace(features, embedding=features.embedding * 1e6)

    engine = Engine(bundle=tiny_bundle, scorer=Scorer(tiny_bundle), backbone=Huge(tiny_bundle))
    [outcome] = engine.analyze(items(1))
    assert isinstance(outcome, ItemError)
    assert outcome.code is ItemErrorCode.NOT_FINITE


def test_whatever_a_picture_provokes_costs_no_batch_mate(tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from astrolens.inference import engine as module

    every = items(3)
    expected = tiny_engine.analyze(every)
    prepare, calls = module.preprocess_picture, 0

    def provoked(picture: Image.Image, spec: PreprocessingSpec, *, places: frozenset[int] | None = None) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise RuntimeError("a bug in a decoder")
        return prepare(picture, spec, places=places)

    monkeypatch.setattr(module, "preprocess_picture", provoked)
    outcomes = tiny_engine.analyze(every)
    assert [outcomes[0], outcomes[2]] == [expected[0], expected[2]]
    assert outcomes[1] == ItemError(ItemErrorCode.UNDECODABLE, "RuntimeError: a bug in a decoder")


def test_a_graph_that_does_not_load_is_a_damaged_bundle(tiny_bundle: Bundle) -> None:
    from dataclasses import replace

    with pytest.raises(BundleDamaged, match=r"model\.onnx: ONNX Runtime does not load it"):
        Backbone(replace(tiny_bundle, model=b"no graph"))
    entry = tiny_bundle.manifest.model.model_copy(update={"logits": "other"})
    manifest = tiny_bundle.manifest.model_copy(update={"model": entry})
    with pytest.raises(BundleDamaged, match="not those that the manifest names"):
        Backbone(replace(tiny_bundle, manifest=manifest))


def test_for_its_detectors_a_backbone_gives_what_they_read(tiny_bundle: Bundle) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (9, SPEC.channels, SPEC.size, SPEC.size), dtype=np.uint8)
    backbone = Backbone(tiny_bundle)
    some, every = backbone.run(pixels, all_taps=False), backbone.run(pixels)
    assert not some.taps
    assert np.array_equal(some.embedding, every.embedding)
    assert backbone.views == {0, 1}


def test_the_committed_bundle_judges_without_the_view_of_the_frame() -> None:
    bundle = Bundle.load(PACKAGED_BUNDLE)
    backbone, spec = Backbone(bundle), bundle.preprocessing
    assert [spec.views[place] for place in backbone.views] == ["object"]
    cutouts = [Image.open(io.BytesIO(picture(seed, side=64))) for seed in range(9)]
    whole = np.stack([preprocess_picture(cutout, spec) for cutout in cutouts])
    part = np.stack([preprocess_picture(cutout, spec, places=backbone.views) for cutout in cutouts])
    assert np.array_equal(part[:, :3], whole[:, :3])
    assert not part[:, 3:].any()
    every, some = backbone.run(whole), backbone.run(part, all_taps=False)
    assert every.taps.keys() == bundle.manifest.model.taps.keys()
    assert some.taps.keys() == {"core_asymmetry"}
    for one, two in ((every.logits, some.logits), (every.embedding, some.embedding)):
        assert np.array_equal(one, two)
    assert np.array_equal(every.kind_logits, some.kind_logits)
    assert np.array_equal(every.taps["core_asymmetry"], some.taps["core_asymmetry"])


def test_the_backbone_gives_what_the_manifest_names(tiny_bundle: Bundle) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (3, SPEC.channels, SPEC.size, SPEC.size), dtype=np.uint8)
    features = Backbone(tiny_bundle).run(pixels)
    assert features.kind_logits is not None
    assert features.kind_logits.shape == (3, len(KINDS))
    assert features.taps["scaled"] == pytest.approx(pixels.mean(axis=(2, 3)) / 64.0, rel=1e-5)
    assert features.with_embedding("scaled").embedding is features.taps["scaled"]
    with pytest.raises(KeyError, match="late"):
        features.with_embedding("late")
