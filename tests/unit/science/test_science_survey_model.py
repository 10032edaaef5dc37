"""A survey model ranks and calibrates by the survey's own images; its bytes are exact, and its scores independent."""

import io
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from astrolens.science.bundle import arrays_from_bytes, arrays_to_bytes
from astrolens.science.density import DensityEntry
from astrolens.science.survey_model import RECIPE, SurveyModel, SurveyModelDamaged, TooFewImages, fit_survey_model

WIDTHS = {"frame_asymmetry": 40, "object_asymmetry": 20, "object_embedding": 10}
MIXING = np.random.default_rng(7).normal(size=(6, sum(WIDTHS.values())))


def made_taps(count: int, seed: int, *, odd: int = 0) -> dict[str, np.ndarray]:
    """Features of images on a six-dimensional sheet; those of the `odd` first leave it in directions of their own."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(count, 6)) @ MIXING + 0.3 * rng.normal(size=(count, MIXING.shape[1]))
    values[:odd] += 3.0 * rng.normal(size=(odd, MIXING.shape[1]))
    values = np.sqrt(np.abs(values)).astype(np.float32)
    parts = np.split(values, np.cumsum(list(WIDTHS.values()))[:-1], axis=1)
    return dict(zip(WIDTHS, parts, strict=True))


def names(count: int) -> list[str]:
    return [f"image-{row:04d}" for row in range(count)]


def fitted(count: int = 300, *, odd: int = 0, odd_ids: tuple[str, ...] = (), seed: int = 1) -> SurveyModel:
    return fit_survey_model(
        made_taps(count, 1, odd=odd),
        survey="made",
        model_digest="d" * 64,
        image_ids=names(count),
        odd_ids=odd_ids,
        seed=seed,
    )


@pytest.fixture(scope="module")
def model() -> SurveyModel:
    return fitted(odd=30)


def test_it_ranks_oddities_first_though_its_images_hold_a_tenth_of_them(model: SurveyModel) -> None:
    scores = model.score(made_taps(200, 2, odd=50)).rank_score
    above = (scores[:50, None] > scores[None, 50:]).mean()
    assert above > 0.95


def test_false_alarms_stay_below_the_budget(model: SurveyModel) -> None:
    p = model.score(made_taps(1000, 3)).p_value
    assert (p <= 0.05).mean() <= 0.05
    assert (p <= 0.01).mean() <= 0.01


def test_false_alarms_of_a_clean_survey_are_as_promised() -> None:
    p = fitted().score(made_taps(2000, 3)).p_value
    assert 0.02 <= (p <= 0.05).mean() <= 0.08


def test_p_values_end_where_the_calibration_ends(model: SurveyModel) -> None:
    far = {name: 50.0 * values for name, values in made_taps(3, 4).items()}
    found = model.score(far)
    assert found.p_value == pytest.approx(1 / 301)
    assert found.at_most.all()
    assert set(found.calibration_images) == {300}
    assert not model.score(made_taps(50, 5)).at_most.any()


def test_the_strangest_images_are_the_odd_ones(model: SurveyModel) -> None:
    strangest = model.strangest_images(40)
    assert len(strangest) == 40
    assert len(set(strangest) & set(names(30))) >= 28


def test_leaving_out_what_a_person_called_odd_finds_more() -> None:
    taps = made_taps(400, 6, odd=100)
    before, after = fitted(odd=30), fitted(odd=30, odd_ids=tuple(names(30)))
    assert after.manifest.images == 270
    assert after.manifest.dropped == 30
    found = [(model.score(taps).p_value[:100] <= 0.05).sum() for model in (before, after)]
    assert found[1] > found[0]


def test_images_of_the_fit_are_ranked_among_the_others(model: SurveyModel) -> None:
    own = model.score(made_taps(300, 1, odd=30))
    assert [(own.p_value <= budget).sum() for budget in (1 / 300, 0.01, 0.05)] == [1, 3, 15]
    assert own.p_value.min() == 1 / 300
    assert own.at_most.sum() == 1
    assert set(own.calibration_images) == {299}
    by_rank = np.argsort(-own.rank_score, kind="stable")[:40]
    assert [model.image_ids[row] for row in by_rank] == model.strangest_images(40)


def test_a_copy_of_an_image_of_the_fit_has_its_verdict(model: SurveyModel) -> None:
    taps, rng = made_taps(300, 1, odd=30), np.random.default_rng(3)
    copies = {name: values * (1.0 + 0.003 * rng.normal(size=values.shape)) for name, values in taps.items()}
    own, again = model.score(taps), model.score(copies)
    assert (again.p_value == own.p_value).all()
    assert (again.rank_score == own.rank_score).all()
    new = model.score(made_taps(500, 6)).calibration_images
    assert (new == 300).mean() > 0.98, "an image that only resembles one of the fit is new"


def test_a_model_of_the_first_format_judges_as_it_did(model: SurveyModel) -> None:
    old = replace(model, manifest=model.manifest.model_copy(update={"format": 1}))
    read = SurveyModel.from_bytes(old.to_bytes(), expected_digest=old.digest)
    assert read.digest != model.digest
    own = read.score(made_taps(300, 1, odd=30))
    assert set(own.calibration_images) == {300}
    assert own.combined[0] != model.score(made_taps(300, 1, odd=30)).combined[0]


def test_a_row_does_not_depend_on_its_batch(model: SurveyModel) -> None:
    new, own = made_taps(6, 8, odd=3), made_taps(300, 1, odd=30)
    taps = {name: np.concatenate((values, own[name][:3])) for name, values in new.items()}
    together = model.score(taps)
    for row in range(9):
        alone = model.score({name: values[row : row + 1] for name, values in taps.items()})
        assert alone.combined[0] == together.combined[row]
        assert alone.p_value[0] == together.p_value[row]
    backwards = model.score({name: values[::-1] for name, values in taps.items()})
    assert (backwards.combined[::-1] == together.combined).all()


def test_a_replay_is_identical_whatever_the_order_of_the_images(model: SurveyModel) -> None:
    taps, order = made_taps(300, 1, odd=30), np.random.default_rng(0).permutation(300)
    again = fit_survey_model(
        {name: values[order] for name, values in taps.items()},
        survey="made",
        model_digest="d" * 64,
        image_ids=[names(300)[row] for row in order],
        seed=1,
    )
    assert again.to_bytes() == model.to_bytes()
    assert again.digest == model.digest
    assert fitted(odd=30, seed=2).digest != model.digest


def test_the_bytes_give_the_same_model(model: SurveyModel) -> None:
    read = SurveyModel.from_bytes(model.to_bytes(), expected_digest=model.digest)
    taps = made_taps(20, 9, odd=5)
    assert read.manifest == model.manifest
    assert read.to_bytes() == model.to_bytes()
    assert (read.score(taps).combined == model.score(taps).combined).all()
    assert (read.score(taps).p_value == model.score(taps).p_value).all()
    assert read.strangest_images() == model.strangest_images()


def test_changed_bytes_are_refused_wherever_the_change_is(model: SurveyModel) -> None:
    data = model.to_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        headers = [entry.header_offset for entry in archive.infolist()]
    rng = np.random.default_rng(4)
    near = [start + int(rng.integers(0, 240)) for start in headers for _ in range(6)]
    for place in [*near, *rng.integers(0, len(data), 20), *range(len(data) - 600, len(data), 7)]:
        changed = bytearray(data)
        changed[place] ^= int(rng.integers(1, 256))
        with pytest.raises(SurveyModelDamaged):
            SurveyModel.from_bytes(bytes(changed))


@pytest.mark.parametrize("data", [b"", b"nonsense", b"PK\x03\x04" + 100 * b"\0"])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(SurveyModelDamaged, match="no archive with a valid manifest"):
        SurveyModel.from_bytes(data)


def test_truncated_bytes_are_refused(model: SurveyModel) -> None:
    data = model.to_bytes()
    with pytest.raises(SurveyModelDamaged):
        SurveyModel.from_bytes(data[: len(data) // 2])


def test_an_exchanged_array_is_refused(model: SurveyModel) -> None:
    arrays = arrays_from_bytes(model.to_bytes())
    arrays["appearance-density.calibration"] = arrays["appearance-density.calibration"] - 1.0
    with pytest.raises(SurveyModelDamaged, match="its arrays are not those that the manifest names"):
        SurveyModel.from_bytes(arrays_to_bytes(arrays))


def test_another_revision_is_refused(model: SurveyModel) -> None:
    with pytest.raises(SurveyModelDamaged, match="not 0000 as was asked for"):
        SurveyModel.from_bytes(model.to_bytes(), expected_digest="0000")


def test_the_bytes_hold_no_pickle(model: SurveyModel) -> None:
    with zipfile.ZipFile(io.BytesIO(model.to_bytes())) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())


def test_too_few_images_are_refused() -> None:
    with pytest.raises(TooFewImages, match="survey made has 299 images to learn from, and a survey model needs 300"):
        fitted(299)
    with pytest.raises(TooFewImages, match="needs 200"):
        fitted(300, odd_ids=tuple(names(150)))


def test_what_cannot_be_fitted_is_named() -> None:
    taps = made_taps(300, 1)
    given = {"survey": "made", "model_digest": "d" * 64, "image_ids": names(300)}
    with pytest.raises(ValueError, match="needs the tap object_asymmetry"):
        fit_survey_model({"frame_asymmetry": taps["frame_asymmetry"]}, **given)
    with pytest.raises(ValueError, match="given twice"):
        fit_survey_model(taps, **{**given, "image_ids": [*names(299), "image-0000"]})
    broken = {**taps, "object_asymmetry": taps["object_asymmetry"].copy()}
    broken["object_asymmetry"][17, 3] = np.nan
    with pytest.raises(ValueError, match="image image-0017 has values in tap object_asymmetry that are not finite"):
        fit_survey_model(broken, **given)


def test_taps_of_another_model_are_refused(model: SurveyModel) -> None:
    taps = made_taps(2, 1)
    with pytest.raises(ValueError, match="was fitted on 70 numbers an image, not 69"):
        model.score({**taps, "object_asymmetry": taps["object_asymmetry"][:, 1:]})


def test_a_score_of_the_bundle_joins_the_densities() -> None:
    """Oddities that only the bundle's own detector sees are found too, and the rest is not lost."""
    rng = np.random.default_rng(12)
    recipe = (*RECIPE, DensityEntry(name="synthetic", kind="score", taps=("oddity",)))
    taps = {**made_taps(300, 1), "oddity": rng.normal(size=(300, 1))}
    given = {"survey": "made", "model_digest": "d" * 64, "image_ids": names(300)}
    model = SurveyModel.from_bytes(fit_survey_model(taps, recipe=recipe, **given).to_bytes())
    asked = {**made_taps(40, 5, odd=10), "oddity": rng.normal(size=(40, 1))}
    asked["oddity"][10:20] += 6.0
    found = model.score(asked)
    assert found.rank_score[:20].min() > np.median(found.rank_score[20:])
    assert set(found.detector_p_values) == {"appearance-density", "synthetic"}
    with pytest.raises(ValueError, match=r"takes one tap \[n, 1\]"):
        fit_survey_model({**taps, "oddity": np.zeros((300, 2))}, recipe=recipe, **given)
