"""People's answers, in alerts: what they refute is retracted, what interests them is told, both can be taken back."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from astrolens.contracts.events import LabelRecorded
from astrolens.contracts.records import Answer, ImageRecord, Label
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import handlers, message_text
from astrolens.notifier.alert_service import AlertService
from astrolens.notifier.answer_cutoff import NAME, AnswerCutoffRecord
from astrolens.notifier.message_text import AlertWithImage
from astrolens.notifier.sweep import Sweep
from astrolens.platform.stores.collections import Collection

from tests.unit.notifier.notifier_fakes import EPOCH, World, candidate, image


def unanswered(**given: Any) -> ImageRecord:
    return image(1, **given).model_copy(update={"label": None, "labels": ()})


def labelled(
    picture: ImageRecord, answer: Answer | None, *, user: str = "vera", tags: tuple[str, ...] = (), at: datetime = EPOCH
) -> ImageRecord:
    given = Label(label_id=f"l{len(picture.labels)}", answer=answer, user=user, recorded_at=at, tags=tags)
    return picture.model_copy(update={"label": answer, "labels": (*picture.labels, given)})


def answered(picture: ImageRecord) -> LabelRecorded:
    last = picture.labels[-1]
    return LabelRecorded(
        event_id=f"e{last.label_id}",
        producer="test",
        occurred_at=EPOCH,
        image_id=picture.image_id,
        label_id=last.label_id,
        answer=last.answer,
        user=last.user,
    )


@pytest.mark.parametrize(("answer", "said"), [(Answer.ARTEFACT, "an artefact"), (Answer.ORDINARY, "ordinary")])
async def test_what_a_person_refutes_is_retracted_with_who_and_why(world: World, answer: Answer, said: str) -> None:
    picture = unanswered()
    service = world.service("mailto #1")
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    after = labelled(picture, answer)
    await world.put(after)
    assert await handlers.label_recorded(service)([answered(after)] * 2) == []
    first, second = world.outbox.packets()
    assert (first.alert_id, second.alert_type) == (second.alert_id, "retraction")
    assert (second.label, second.labeled_by) == (answer, "vera")
    assert second.verdict is Verdict.ANOMALY, "the model's verdict stays what it was"
    alert = await world.alert(picture)
    assert alert is not None
    assert alert.undelivered
    text = message_text.single_alert(AlertWithImage(alert, after), console="http://localhost")
    assert text.title == f"Retracted: spiral in sdss is {said}, says vera"


async def test_what_interests_a_person_is_an_update_and_no_new_message(world: World) -> None:
    picture = unanswered()
    service = world.service("mailto #1")
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    after = labelled(picture, Answer.INTERESTING)
    await world.put(after)
    await handlers.label_recorded(service)([answered(after)])
    assert [(packet.alert_type, packet.label) for packet in world.outbox.packets()] == [
        ("initial", None),
        ("update", Answer.INTERESTING),
    ]


async def test_an_answer_that_is_taken_back_brings_the_alert_back(world: World) -> None:
    picture = unanswered()
    service = world.service()
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    for answer in (Answer.ARTEFACT, None):
        picture = labelled(picture, answer)
        await world.put(picture)
        await handlers.label_recorded(service)([answered(picture)])
    assert [packet.alert_type for packet in world.outbox.packets()] == ["initial", "retraction", "update"]
    assert world.outbox.packets()[-1].label is None


async def test_an_anomaly_that_was_refuted_before_raises_no_alert_until_it_is_taken_back(world: World) -> None:
    picture = labelled(unanswered(), Answer.ARTEFACT)
    service = world.service()
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    await handlers.label_recorded(service)([answered(picture)])
    assert world.outbox.packets() == []
    picture = labelled(picture, None)
    await world.put(picture)
    await handlers.label_recorded(service)([answered(picture)])
    assert [packet.alert_type for packet in world.outbox.packets()] == ["initial"]


async def test_ordinary_images_have_no_alerts_whatever_people_say(world: World) -> None:
    for answer in Answer:
        picture = labelled(unanswered(verdict=Verdict.NEAR_MISS, p_value=0.02), answer)
        await world.put(picture)
        assert await handlers.label_recorded(world.service())([answered(picture)]) == []
    assert world.outbox.packets() == []


async def test_a_lost_answer_is_repaired_by_the_sweep(world: World) -> None:
    picture = unanswered()
    service = world.service()
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    await world.put(labelled(picture, Answer.ARTEFACT))
    world.clock.now = EPOCH + timedelta(hours=1)
    for _ in range(2):
        assert await service.repair({picture.image_id: EPOCH}) == {}
    assert [packet.alert_type for packet in world.outbox.packets()] == ["initial", "retraction"]


async def test_tags_travel_with_the_answer_and_new_ones_are_an_update(world: World) -> None:
    picture = unanswered()
    service = world.service("mailto #1")
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    for tags in (("tidal tail",), ("tidal tail", "pair"), ("tidal tail", "pair")):
        picture = labelled(picture, Answer.INTERESTING, tags=tags)
        await world.put(picture)
        await handlers.label_recorded(service)([answered(picture)])
    assert [(packet.alert_type, packet.tags) for packet in world.outbox.packets()] == [
        ("initial", ()),
        ("update", ("tidal tail",)),
        ("update", ("tidal tail", "pair")),
    ]


async def test_tags_of_a_lost_answer_are_found_by_the_sweep_and_those_of_a_retracted_alert_are_not_looked_for(
    world: World,
) -> None:
    picture = unanswered()
    service = world.service()
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    world.clock.now = EPOCH + timedelta(hours=1)
    for answer in (Answer.INTERESTING, Answer.ARTEFACT):
        for tags in (("ghost",), ("ghost", "trail")):
            picture = labelled(picture, answer, tags=tags)
            await world.put(picture)
            await service.repair({picture.image_id: EPOCH})
    assert [(packet.alert_type, packet.tags) for packet in world.outbox.packets()] == [
        ("initial", ()),
        ("update", ("ghost",)),
        ("update", ("ghost", "trail")),
        ("retraction", ("ghost",)),
    ]


@pytest.mark.parametrize("answer", [Answer.ARTEFACT, Answer.ORDINARY, Answer.INTERESTING])
async def test_an_archive_whose_answers_are_older_than_the_first_start_is_left_alone(
    world: World, answer: Answer
) -> None:
    """An upgrade announces no archive: neither by the sweep nor by answers that a topic still holds."""
    pictures = [labelled(image(number).model_copy(update={"label": None, "labels": ()}), answer) for number in range(3)]
    await world.put(*pictures)
    await alerts_of_an_earlier_version(world, pictures)
    await world.records.upsert(Collection.META, [AnswerCutoffRecord(since=EPOCH + timedelta(days=1))])
    world.clock.now = EPOCH + timedelta(days=1)
    service = world.service("mailto #1")
    sweep = sweep_of(world, service)
    for _ in range(2):
        await sweep.run_pass()
    assert await handlers.label_recorded(service)([answered(each) for each in pictures]) == []
    assert world.outbox.published == []


async def test_an_answer_after_the_first_start_is_followed_although_its_event_was_lost(world: World) -> None:
    old = [
        labelled(image(number).model_copy(update={"label": None, "labels": ()}), Answer.ORDINARY) for number in (1, 2)
    ]
    await world.put(*old)
    await alerts_of_an_earlier_version(world, old)
    since = EPOCH + timedelta(days=1)
    await world.records.upsert(Collection.META, [AnswerCutoffRecord(since=since)])
    world.clock.now = since + timedelta(hours=1)
    new = labelled(old[0], Answer.ARTEFACT, at=since + timedelta(minutes=1))
    await world.put(new)
    await sweep_of(world, world.service()).run_pass()
    assert [(packet.image_id, packet.alert_type) for packet in world.outbox.packets()] == [(new.image_id, "retraction")]


async def test_the_first_start_is_remembered(world: World) -> None:
    await world.records.delete(Collection.META, [NAME])
    service, begun_at = world.service(), world.clock.now
    assert not await service.follows_answer(begun_at - timedelta(minutes=1))
    world.clock.now += timedelta(days=9)
    assert await world.service().follows_answer(begun_at + timedelta(minutes=1))


async def alerts_of_an_earlier_version(world: World, pictures: list[ImageRecord]) -> None:
    """Alerts that were raised before the images were answered, and say nothing of answers."""
    await world.put(*[each.model_copy(update={"label": None, "labels": ()}) for each in pictures])
    await world.service().reconcile([each.image_id for each in pictures])
    await world.put(*pictures)
    world.outbox.clear()


def sweep_of(world: World, service: AlertService) -> Sweep:
    return Sweep(
        records=world.records,
        alerts=service,
        unreadable=world.unreadable,
        stopping=asyncio.Event(),
        unfinished=asyncio.Event(),
        clock=world.clock,
    )
