"""What becomes of an alert when its image, or its survey, is judged again."""

from typing import Any

import pytest
from astrolens.contracts.records import MAX_EARLIER_MESSAGES, AlertRecord, ImageRecord
from astrolens.contracts.verdicts import CalibrationFit, Verdict
from astrolens.notifier import handlers
from astrolens.platform.stores.collections import Collection

from tests.unit.notifier.notifier_fakes import World, candidate, image


async def test_another_model_updates_then_retracts_then_raises_again(world: World) -> None:
    service = world.service("mailto #1")
    written: list[tuple[str, int, float]] = []
    for model, verdict, p_value in (
        ("a", Verdict.ANOMALY, 0.002),
        ("b", Verdict.ANOMALY, 0.004),
        ("c", Verdict.NEAR_MISS, 0.02),
        ("d", Verdict.ORDINARY, 0.4),
        ("a", Verdict.ANOMALY, 0.002),
    ):
        picture = image(1, model=model, verdict=verdict, p_value=p_value, predicted_class=f"class {model}")
        await world.put(picture)
        for _ in range(2):
            await handlers.candidate_matched(service)([candidate(picture)])
        record = await world.alert(picture)
        assert record is not None
        written.append((record.alert_type, record.revision, record.p_value))
    assert written == [
        ("initial", 0, 0.002),
        ("update", 1, 0.004),
        ("retraction", 2, 0.02),
        ("retraction", 2, 0.02),
        ("update", 3, 0.002),
    ]
    packets = world.outbox.packets()
    assert [packet.alert_type for packet in packets] == ["initial", "update", "retraction", "update"]
    assert len({packet.event_id for packet in packets}) == 4
    assert len({packet.alert_id for packet in packets}) == 1
    # Readers of the initial alert's topic get all messages of the alert.
    assert {event.topic for event in world.outbox.published} == {
        "astrolens.alerts.sdss.class-a.v1",
        "astrolens.alerts-json.sdss.class-a.v1",
    }


async def test_an_alert_keeps_what_each_of_its_messages_said(world: World) -> None:
    service = world.service("mailto #1")
    said = (("a", Verdict.ANOMALY, 0.002), ("b", Verdict.NEAR_MISS, 0.02), ("c", Verdict.ANOMALY, 0.003))
    for model, verdict, p_value in said:
        picture = image(1, model=model, verdict=verdict, p_value=p_value)
        await world.put(picture)
        await service.reconcile([picture.image_id])
    record = await world.alert(picture)
    assert record is not None
    messages = (*record.earlier, record.last_message)
    assert [message.alert_type for message in messages] == ["initial", "retraction", "update"]
    assert [message.p_value for message in messages] == [0.002, 0.02, 0.003]
    assert [message.revision for message in messages] == [0, 1, 2]
    digests = [packet.provenance.model_digest for packet in world.outbox.packets()]
    assert [message.model_digest for message in messages] == digests
    assert len(set(digests)) == 3


async def test_of_very_many_messages_the_initial_one_and_the_last_are_kept(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    service = world.service()
    for number in range(MAX_EARLIER_MESSAGES + 4):
        other = measured(picture, "own", calibration=f"c{number}", p_value=0.001 + number / 1e5)
        await world.put(other)
        await service.reconcile([picture.image_id])
    record = await world.alert(picture)
    assert record is not None
    assert record.revision == MAX_EARLIER_MESSAGES + 3
    kept = [message.revision for message in record.earlier]
    assert kept == [0, *range(4, MAX_EARLIER_MESSAGES + 3)]


async def test_people_get_messages_of_retractions_and_new_anomalies_but_not_of_new_figures(world: World) -> None:
    service = world.service("mailto #1")

    async def analyzed_by(model: str, verdict: Verdict) -> AlertRecord:
        picture = image(1, model=model, verdict=verdict)
        await world.put(picture)
        await service.reconcile([picture.image_id])
        record = await world.alert(picture)
        assert record is not None
        delivered = record.deliveries[0].model_copy(update={"state": "delivered"})
        await world.records.upsert(
            Collection.ALERTS, [record.model_copy(update={"deliveries": (delivered,), "undelivered": False})]
        )
        return record

    assert (await analyzed_by("a", Verdict.ANOMALY)).undelivered
    assert not (await analyzed_by("b", Verdict.ANOMALY)).undelivered
    assert (await analyzed_by("c", Verdict.ORDINARY)).undelivered
    assert (await analyzed_by("d", Verdict.ANOMALY)).undelivered
    assert world.deliveries_queued == 3


def measured(
    picture: ImageRecord,
    fit: CalibrationFit,
    *,
    at_most: bool = False,
    calibration: str = "c",
    p_value: float | None = None,
) -> ImageRecord:
    """The image after an analysis with another calibration."""
    assert picture.analysis is not None
    update: dict[str, Any] = {"calibration_fit": fit, "p_value_at_most": at_most, "calibration_id": calibration}
    if p_value is not None:
        update["p_value"] = p_value
    return picture.model_copy(update={"analysis": picture.analysis.model_copy(update=update)})


@pytest.mark.parametrize("fit", ["pooled", "does-not-fit"])
async def test_an_anomaly_of_a_sky_that_is_not_known_raises_no_alert(world: World, fit: CalibrationFit) -> None:
    picture = measured(image(1, survey="decals"), fit)
    await world.put(picture)
    assert await handlers.candidate_matched(world.service())([candidate(picture)]) == []
    assert await world.alert(picture) is None
    assert world.outbox.published == []


async def test_a_survey_model_alerts_beyond_all_its_images_only(world: World) -> None:
    within, beyond = image(1, survey="decals"), image(2, survey="decals")
    await world.put(measured(within, "survey-model"), measured(beyond, "survey-model", at_most=True))
    await world.service().reconcile([within.image_id, beyond.image_id])
    assert await world.alert(within) is None
    alert = await world.alert(beyond)
    assert alert is not None
    assert alert.topic == "astrolens.alerts.other.spiral.v1", "a survey model gives a survey no topic of its own"


async def test_an_alert_is_retracted_when_its_survey_turns_out_to_be_another_sky_and_may_come_back(
    world: World,
) -> None:
    picture = image(1)
    await world.put(picture)
    service = world.service()
    await service.reconcile([picture.image_id])
    for fit, calibration, expected in (("does-not-fit", "unfit", "retraction"), ("survey-model", "own", "update")):
        await world.put(measured(picture, fit, at_most=True, calibration=calibration))
        await service.reconcile([picture.image_id])
        alert = await world.alert(picture)
        assert alert is not None
        assert alert.alert_type == expected
