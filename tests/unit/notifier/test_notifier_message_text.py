"""Message texts: text from outside is escaped, digests are short."""

import pytest
from astrolens.contracts import examples
from astrolens.contracts.records import AlertRecord
from astrolens.notifier import lifecycle, message_text
from astrolens.notifier.message_text import AlertWithImage

from tests.unit.notifier.notifier_fakes import EPOCH, crossmatch, image

CONSOLE = "http://localhost:8080"


def _alert(number: int, **changes: object) -> AlertWithImage:
    picture = image(number)
    record: AlertRecord = lifecycle.new_record(
        picture, examples.analysis(), crossmatch(), match_revision=1, raised_at=EPOCH, channels=()
    )
    return AlertWithImage(record.model_copy(update=changes), picture)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("NGC 5194", "NGC 5194"),
        ("@everyone", "(at)everyone"),
        ("<!here>", "( !here>"),
        ("a\x1b[31m\nsubject: x", "a [31m subject: x"),
        ("y" * 200, "y" * 80),
    ],
)
def test_text_from_outside_is_escaped(text: str, escaped: str) -> None:
    assert message_text.escape_text(text) == escaped


def test_an_image_beyond_its_calibration_is_stranger_than_all_of_it() -> None:
    known = {"p_value": 1 / 606, "p_value_at_most": True, "calibration_images": 605}
    text = message_text.single_alert(_alert(1, **known), console=CONSOLE)
    assert text.title == "Strange: spiral in sdss (p ≤ 1/606)"
    assert "Verdict anomaly: stranger than all 605 ordinary images (p ≤ 1/606)." in text.body
    assert "Detectors: mahalanobis p ≤ 1/1,250, energy p = 0.012, msp p = 0.21" in text.body
    pooled = message_text.single_alert(_alert(1, **known, calibration_fit="does-not-fit"), console=CONSOLE)
    said = (
        "a ranking only: above all 605 ordinary images of the bundle (pooled p ≤ 1/606); calibration: pooled, does not"
    )
    assert f"Verdict anomaly: {said} fit." in pooled.body
    assert pooled.title == "Strange: spiral in sdss (pooled p ≤ 1/606)"


def test_detectors_of_an_image_that_is_only_ranked_promise_no_rate_either() -> None:
    subject = _alert(1)
    assert subject.image is not None
    assert subject.image.analysis is not None
    ranked = subject.image.analysis.model_copy(update={"calibration_fit": "pooled"})
    image = subject.image.model_copy(update={"analysis": ranked})
    text = message_text.single_alert(message_text.AlertWithImage(subject.alert, image), console=CONSOLE)
    assert "Detectors: mahalanobis pooled p ≤ 1/1,250, energy pooled p = 0.012, msp pooled p = 0.21" in text.body


def test_a_digest_lists_the_strangest_and_counts_retractions() -> None:
    alerts = [_alert(number, p_value=(30 - number) / 1000, rank_score=float(number)) for number in range(29)]
    alerts.append(_alert(29, p_value=0.9, rank_score=0.05, alert_type="retraction"))
    text = message_text.digest(alerts, console=CONSOLE)
    lines = text.body.splitlines()
    assert text.title == "30 alerts, 1 retracted"
    assert len(lines) == 21
    assert "p = 0.002" in lines[0]
    assert lines[-1] == f"and 10 more: {CONSOLE}/triage"


def test_a_digest_is_marked_as_a_test_only_if_all_its_alerts_are() -> None:
    tests = [_alert(number, alert_tense="test") for number in range(2)]
    assert message_text.digest(tests, console=CONSOLE).title == "[TEST] 2 alerts"
    assert message_text.digest([*tests, _alert(3)], console=CONSOLE).title == "3 alerts"


def test_an_alert_without_its_image_still_has_figures_and_a_link() -> None:
    alert = _alert(1).alert
    text = message_text.single_alert(AlertWithImage(alert, None), console=CONSOLE)
    assert text.title.startswith("Strange: ")
    assert text.body.splitlines()[-1] == f"{CONSOLE}/image/{alert.image_id}"
