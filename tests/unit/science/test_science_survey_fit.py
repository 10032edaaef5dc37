"""Images of a survey fit its calibration, those of another scale do not; some strange ones change nothing."""

import numpy as np
import pytest
from astrolens.science.survey_fit import MINIMUM_SAMPLE, fits_calibration
from astrolens.science.survey_model import SurveyModel

from tests.unit.science.test_science_survey_model import fitted, made_taps


@pytest.fixture(scope="module")
def model() -> SurveyModel:
    return fitted()


def test_other_images_of_the_survey_fit(model: SurveyModel) -> None:
    tests = [fits_calibration(model, made_taps(60, 100 + look)) for look in range(40)]
    assert all(test.fits for test in tests)
    assert min(test.p_value for test in tests) > 0.0005


def test_some_strange_images_do_not_make_it_another_sky(model: SurveyModel) -> None:
    assert fits_calibration(model, made_taps(300, 5, odd=45)).fits


def test_another_scale_does_not_fit_after_thirty_images(model: SurveyModel) -> None:
    other = {name: 2.0 * values for name, values in made_taps(MINIMUM_SAMPLE, 6).items()}
    test = fits_calibration(model, other)
    assert not test.fits
    assert test.p_value < 1e-3
    assert test.excess > 0.25
    assert "mean features of 30 images are shifted by" in test.detail


def test_a_small_difference_is_significant_and_still_fits(model: SurveyModel) -> None:
    other = {name: 1.15 * values for name, values in made_taps(2000, 7).items()}
    test = fits_calibration(model, other)
    assert test.p_value < 1e-3
    assert test.fits


def test_the_p_values_of_another_calibration_count(model: SurveyModel) -> None:
    small = np.full(60, 0.01)
    assert not fits_calibration(model, made_taps(60, 8), p_values=small, calibration_images=600).fits
    uniform = (np.arange(60) + 0.5) / 60
    assert fits_calibration(model, made_taps(60, 8), p_values=uniform, calibration_images=600).fits


def test_a_few_images_are_not_compared(model: SurveyModel) -> None:
    with pytest.raises(ValueError, match="a comparison needs 30 images, not 29"):
        fits_calibration(model, made_taps(29, 9))
