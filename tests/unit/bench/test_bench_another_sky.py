"""The benchmark of another sky under a known name, on made scores."""

import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.science.scoring import DetectorScore, ImageScores

from tests.bench.science.another_sky import night_row


def scores(p_value: float) -> ImageScores:
    return ImageScores(
        class_probabilities={"spiral": 1.0},
        predicted_class="spiral",
        detectors={"energy": DetectorScore(1.0, p_value)},
        p_value=p_value,
        p_value_at_most=False,
        calibration_images=600,
        calibration_survey="sdss",
        calibration_fit="own",
        rank_score=1.0,
        verdict=Verdict.ANOMALY if p_value <= 0.01 else Verdict.ORDINARY,
    )


KNOWN = [scores((n + 1) * 0.618 % 1) for n in range(60)]


@pytest.mark.parametrize("pace", ["fast", "slow"])
async def test_a_night_tells_when_another_sky_is_found(pace: str) -> None:
    after, compared, alerts, drifts = await night_row(KNOWN, [scores(0.004)] * 160, pace)
    assert after == 90 if pace == "fast" else 20 < after < 60
    assert compared
    assert (8 <= alerts < 50, drifts) == (True, 0)


async def test_a_night_of_the_same_sky_has_nothing_to_tell() -> None:
    assert await night_row(KNOWN, KNOWN[::-1], "slow") == ("not", "", 0, 0)
