"""Alerts: one per image, raised, updated and retracted under one id, each message once."""

import asyncio
from datetime import timedelta

import pytest
from astrolens.contracts import topics
from astrolens.contracts.ids import alert_id
from astrolens.contracts.records import NearDuplicate, Observation
from astrolens.contracts.surveys import SOURCE_SURVEYS
from astrolens.contracts.verdicts import Verdict
from astrolens.ingestor.sources.skyserver import Galaxy, SkyServer
from astrolens.notifier import handlers
from astrolens.notifier.delivery_queue import DeliveryQueue
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.science.simulation.instruments import INSTRUMENTS

from tests.unit.notifier.notifier_fakes import EPOCH, JPEG, World, candidate, image


async def test_an_anomaly_raises_an_alert_on_both_topics(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    assert await handlers.candidate_matched(world.service())([candidate(picture)]) == []
    record = await world.alert(picture)
    assert record is not None
    assert (record.alert_type, record.alert_tense, record.revision) == ("initial", "current", 0)
    assert record.topic == "astrolens.alerts.sdss.spiral.v1"
    assert record.pending == ()
    assert [(event.topic, event.key, event.binary) for event in world.outbox.published] == [
        ("astrolens.alerts.sdss.spiral.v1", picture.image_id, True),
        ("astrolens.alerts-json.sdss.spiral.v1", picture.image_id, False),
    ]
    assert world.outbox.published[0].content_type == "application/avro"


async def test_surveys_that_nobody_declared_share_their_topics(world: World) -> None:
    pictures = [image(number, survey=f"made-up-{number}") for number in range(20)]
    declared = image(20, survey="euclid")
    await world.put(*pictures, declared)
    service = world.service(surveys=("euclid",))
    await service.reconcile([each.image_id for each in (*pictures, declared)])
    assert {event.topic for event in world.outbox.published} == {
        "astrolens.alerts.other.spiral.v1",
        "astrolens.alerts-json.other.spiral.v1",
        "astrolens.alerts.euclid.spiral.v1",
        "astrolens.alerts-json.euclid.spiral.v1",
    }
    assert {alert.survey for alert in world.outbox.packets()} == {"euclid", *(f"made-up-{n}" for n in range(20))}


async def test_a_survey_with_a_calibration_has_topics_of_its_own(world: World) -> None:
    picture = image(1, survey="efigi")
    assert picture.analysis is not None
    calibrated = picture.analysis.model_copy(update={"calibration_survey": "efigi"})
    await world.put(picture.model_copy(update={"analysis": calibrated}))
    await world.service().reconcile([picture.image_id])
    assert world.outbox.published[0].topic == "astrolens.alerts.efigi.spiral.v1"


def test_the_surveys_of_all_sources_have_topics_of_their_own() -> None:
    surveys = {instrument.survey for instrument in INSTRUMENTS} | {Observation().survey, "sdss"}
    assert surveys == SOURCE_SURVEYS


async def test_the_first_alert_of_a_survey_is_an_increase(world: World) -> None:
    labels = {"survey": "sdss", "alert_type": "initial", "alert_tense": "current"}
    ordinary = image(2, verdict=Verdict.ORDINARY)
    await world.put(ordinary)
    handle = handlers.candidate_matched(world.service())
    await handle([candidate(ordinary)])
    assert world.sample("astrolens_alerts_total", **labels) == 0
    await world.put(image(1))
    await handle([candidate(image(1))])
    assert world.sample("astrolens_alerts_total", **labels) == 1


async def test_latency_is_observed_for_initial_alerts_only(world: World) -> None:
    arrived = {"received_at": image(1).analyzed_at}
    await world.put(image(1).model_copy(update=arrived))
    await world.service().reconcile([image(1).image_id])
    await world.put(image(1, model="b").model_copy(update=arrived))
    await world.service().reconcile([image(1).image_id])
    labels = {"survey": "sdss", "alert_tense": "current"}
    assert world.sample("astrolens_alerts_total", alert_type="initial", **labels) == 1
    assert world.sample("astrolens_alerts_total", alert_type="update", **labels) == 1
    assert world.sample("astrolens_stage_seconds_count", stage="alert") == 2
    assert world.sample("astrolens_latency_seconds_count", stage="alert") == 1


async def test_the_packet_holds_all_that_is_known(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    await world.service().reconcile([picture.image_id])
    (alert,), (as_json,) = world.outbox.packets(), world.outbox.json_alerts()
    analysis = picture.analysis
    assert analysis is not None
    assert alert.alert_id == alert_id(picture.image_id)
    assert alert.event_id == world.outbox.published[0].event_id == as_json["event_id"]
    assert alert.event_id != alert.alert_id
    assert (alert.ra_deg, alert.dec_deg) == (202.4696, 47.1952)
    assert alert.survey_object_id == 587722984435351614
    assert as_json["survey_object_id"] == "587722984435351614"
    assert alert.false_alarms_per_1000 == pytest.approx(2.5)
    assert {found.name: (found.score, found.p_value) for found in alert.detectors} == {
        name: (result.score, result.p_value) for name, result in analysis.detectors.items()
    }
    ranked = alert.classifications[0].classifications
    assert ranked[0].class_name == "spiral"
    assert {one.class_name: one.probability for one in ranked} == analysis.class_probabilities
    assert alert.provenance.original_sha256 == picture.original.sha256
    assert alert.provenance.model_digest == analysis.model_digest
    assert alert.provenance.calibration_id == analysis.calibration_id
    assert alert.cutout == JPEG
    assert alert.near_duplicates[0].distance == 3
    assert alert.model_dump(mode="json") == as_json


async def test_ordinary_images_and_near_misses_raise_none(world: World) -> None:
    pictures = [image(1, verdict=Verdict.ORDINARY), image(2, verdict=Verdict.NEAR_MISS)]
    await world.put(*pictures)
    await handlers.candidate_matched(world.service())([candidate(picture) for picture in pictures])
    assert (await world.records.tally(Collection.ALERTS, "kind")) == {}
    assert world.outbox.published == []


async def test_an_event_handled_twice_alerts_once(world: World) -> None:
    pictures = [image(number) for number in range(5)]
    await world.put(*pictures)
    handle = handlers.candidate_matched(world.service())
    events = [candidate(picture) for picture in pictures]
    await handle([*events, *events])
    await handle(events)
    assert len(world.outbox.published) == 2 * len(pictures)
    assert len({event.published_id or event.event_id for event in world.outbox.published}) == len(pictures)
    assert len({event.event_id for event in world.outbox.published}) == 2 * len(pictures), "each is cleared by itself"
    assert await world.records.tally(Collection.ALERTS, "survey") == {("sdss",): len(pictures)}


async def test_two_notifiers_at_once_alert_once(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    first, second = world.service(), world.service()
    await asyncio.gather(first.reconcile([picture.image_id]), second.reconcile([picture.image_id]))
    assert len(world.outbox.published) == 2
    again = image(1, verdict=Verdict.ORDINARY, model="b")
    await world.put(again)
    await asyncio.gather(first.reconcile([], [again.image_id]), second.reconcile([], [again.image_id]))
    assert len(world.outbox.published) == 4


async def test_a_crash_before_publishing_leaves_the_messages_pending(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    world.outbox.down = True
    await world.service().reconcile([picture.image_id])
    ((document, events),) = await world.records.pending(Collection.ALERTS, limit=10)
    assert document == alert_id(picture.image_id)
    assert [event.topic for event in events] == [
        "astrolens.alerts.sdss.spiral.v1",
        "astrolens.alerts-json.sdss.spiral.v1",
    ]
    world.outbox.down = False
    await world.service().reconcile([picture.image_id])
    assert world.outbox.published == [], "the relay publishes them, not the handler"


async def test_messages_of_one_alert_keep_their_order_after_an_outage(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    world.outbox.down = True
    await world.service().reconcile([picture.image_id])
    world.outbox.down = False
    await world.put(image(1, verdict=Verdict.ORDINARY, model="b"))
    await world.service().reconcile([], [picture.image_id])
    assert [alert.alert_type for alert in world.outbox.packets()] == ["initial", "retraction"]
    assert await world.records.pending(Collection.ALERTS, limit=10) == []


async def test_injections_are_recorded_and_never_published(world: World) -> None:
    picture = image(1, injected=True, simulated=True)
    await world.put(picture)
    await world.service("mailto #1").reconcile([picture.image_id])
    record = await world.alert(picture)
    assert record is not None
    assert (record.alert_tense, record.topic, record.event_id, record.pending) == ("injection", None, None, ())
    assert (record.deliveries, record.undelivered) == ((), False)
    await world.put(image(1, injected=True, simulated=True, verdict=Verdict.ORDINARY, model="b"))
    await world.service("mailto #1").reconcile([], [picture.image_id])
    record = await world.alert(picture)
    assert record is not None
    assert (record.alert_type, record.event_id, record.undelivered) == ("retraction", None, False)
    assert world.outbox.published == []
    assert world.deliveries_queued == 0


async def test_the_simulated_sky_is_public_and_marked_as_a_test(world: World) -> None:
    picture = image(1, simulated=True, survey="simulated-lsst")
    await world.put(picture)
    await world.service().reconcile([picture.image_id])
    (alert,) = world.outbox.packets()
    assert (alert.alert_tense, alert.simulated) == ("test", True)
    assert world.outbox.published[0].topic == topics.alert_topic("simulated-lsst", "spiral")


async def test_a_missing_cutout_does_not_stop_the_alert(world: World) -> None:
    picture = image(1, name=None, position=None, extra={"object_id": "no number"})
    await world.put(picture, cutout=None)
    await world.service().reconcile([picture.image_id])
    (alert,) = world.outbox.packets()
    assert (alert.cutout, alert.cutout_media_type, alert.cutout_width) == (None, None, None)
    assert (alert.ra_deg, alert.dec_deg, alert.object_name, alert.survey_object_id) == (None, None, None, None)


async def test_an_unknown_image_is_refused_alone(world: World) -> None:
    known, unknown = image(1), image(2)
    await world.put(known)
    (refusal,) = await handlers.candidate_matched(world.service())([candidate(unknown), candidate(known)])
    assert (refusal.event.event_id, refusal.reason.code) == (candidate(unknown).event_id, "unknown-image")
    assert await world.alert(known) is not None


async def test_an_image_that_no_alert_can_describe_is_refused_alone(world: World) -> None:
    good, bad = image(1), image(2)
    duplicates = tuple(one.model_copy(update={"distance": 2**70}) for one in bad.near_duplicates)
    await world.put(good, bad.model_copy(update={"near_duplicates": duplicates}))
    (refusal,) = await handlers.candidate_matched(world.service())([candidate(bad), candidate(good)])
    assert (refusal.event.image_id, refusal.reason.code) == (bad.image_id, "no-alert")
    assert await world.alert(good) is not None
    assert await world.alert(bad) is None


async def test_an_image_record_that_cannot_be_read_is_refused_alone(world: World) -> None:
    good, bad = image(1), image(2)
    await world.put(good)
    await world.records.insert(Collection.IMAGES, [{**bad.model_dump(mode="json"), "original": None}])
    (refusal,) = await handlers.candidate_matched(world.service())([candidate(bad), candidate(good)])
    assert refusal.reason.code == "unreadable-record"
    assert await world.alert(good) is not None


async def test_an_unreadable_alert_record_is_reported_once_and_left_alone(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    damaged = {"alert_id": alert_id(picture.image_id), "image_id": picture.image_id, "undelivered": True}
    await world.records.insert(Collection.ALERTS, [{**damaged, "raised_at": "2026-01-01T00:00:00.000000Z"}])
    later = picture.model_copy(update={"analyzed_at": EPOCH + timedelta(days=1)})
    await world.put(later)
    queue = DeliveryQueue(records=world.records, images=world.images, unreadable=world.unreadable)
    for _ in range(3):
        assert await world.service("mailto #1").reconcile([picture.image_id]) == {}
        assert await world.service("mailto #1").repair({picture.image_id: EPOCH + timedelta(days=1)}) == {}
        assert await queue.waiting_for("mailto #1") == []
    assert world.outbox.published == []
    (error,) = world.condition.last_errors
    assert alert_id(picture.image_id) in error


async def test_an_image_that_is_analysed_again_is_left_to_that_analysis(world: World) -> None:
    picture = image(1).model_copy(update={"analysis": None, "verdict": None})
    await world.put(picture)
    assert await world.service().reconcile([picture.image_id]) == {}
    assert await world.alert(picture) is None


async def test_the_record_decides_and_not_a_late_event(world: World) -> None:
    late, now = image(1), image(1, verdict=Verdict.ORDINARY, model="b")
    await world.put(now)
    await handlers.candidate_matched(world.service())([candidate(late)])
    assert await world.alert(now) is None


async def test_an_unreachable_store_fails_the_batch(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unreachable(*_: object) -> dict[str, bytes]:
        raise StoreUnavailable("the image store does not answer")

    picture = image(1)
    await world.put(picture)
    monkeypatch.setattr(world.images, "get_many", unreachable)
    with pytest.raises(StoreUnavailable):
        await world.service().reconcile([picture.image_id])
    assert await world.alert(picture) is None


async def test_the_number_that_sdss_gives_an_object_is_in_its_alert(world: World) -> None:
    galaxy = Galaxy(
        objid=1237648722301452469,
        ra_deg=185.0,
        dec_deg=1.5,
        petrosian_radius_arcsec=9.0,
        petrosian_mag_r=16.0,
        run=752,
        camcol=4,
        field=372,
    )
    observation = SkyServer("https://skyserver.sdss.org/dr17").observation(galaxy)
    picture = image(1).model_copy(update={"observation": observation})
    await world.put(picture)
    await world.service().reconcile([picture.image_id])
    assert world.outbox.packets()[0].survey_object_id == 1237648722301452469


@pytest.mark.parametrize("column", ["object_id", "objid", "objID"])
async def test_object_ids_of_tables_and_of_older_records_are_understood(world: World, column: str) -> None:
    picture = image(1, extra={column: "1237648722301452469"})
    await world.put(picture)
    await world.service().reconcile([picture.image_id])
    assert world.outbox.packets()[0].survey_object_id == 1237648722301452469


@pytest.mark.parametrize("text", ["9223372036854775808", "99999999999999999999", "-1", "1.5", "٣", ""])
async def test_only_a_64_bit_number_becomes_an_object_id(world: World, text: str) -> None:
    picture = image(1, extra={"object_id": text})
    await world.put(picture)
    await world.service().reconcile([picture.image_id])
    assert world.outbox.packets()[0].survey_object_id is None


async def test_an_alert_too_large_for_the_broker_goes_without_its_near_duplicates_or_picture(world: World) -> None:
    near = [NearDuplicate(image_id=f"{number:032x}", distance=4) for number in range(20_000)]
    large = image(2).cutout.model_copy(update={"key": "cutouts/large.jpg"})
    many = image(1).model_copy(update={"near_duplicates": tuple(near)})
    await world.put(many)
    await world.put(image(2).model_copy(update={"cutout": large}), cutout=b"\xff" * 900_000)
    await world.service().reconcile([many.image_id, image(2).image_id])
    first, second = world.outbox.packets()
    assert (first.near_duplicates, first.cutout) == ((), JPEG)
    assert (second.cutout, second.cutout_width, second.cutout_media_type) == (None, None, None)


async def test_an_alert_that_no_broker_takes_is_refused_and_its_neighbours_are_published(world: World) -> None:
    large = image(1, bands=("g" * 1_000_000,))
    await world.put(large, image(2))
    (refusal,) = await handlers.candidate_matched(world.service())([candidate(large), candidate(image(2))])
    assert "bytes" in refusal.reason.detail
    assert await world.alert(large) is None
    assert [alert.image_id for alert in world.outbox.packets()] == [image(2).image_id]
