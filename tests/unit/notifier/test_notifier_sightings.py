"""Alerts about one object: each names the object and its other images, and tells of none that must stay unknown."""

from datetime import timedelta
from typing import Any

import pytest
from astrolens.contracts.ids import alert_id, object_id
from astrolens.contracts.records import ImageRecord, Position
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import message_text
from astrolens.notifier.message_text import AlertWithImage
from astrolens.platform.stores.collections import Collection

from tests.unit.notifier.notifier_fakes import EPOCH, World, image

OBJECT = object_id(image(1).image_id)


def sighting(
    number: int, *, verdict: Verdict = Verdict.ANOMALY, object_: str | None = OBJECT, **given: Any
) -> ImageRecord:
    position = Position.model_validate({"ra_deg": 10.0, "dec_deg": 20.0 + number / 3600.0})
    made = image(number, verdict=verdict, **{"position": position, **given})
    return made.model_copy(update={"object_id": object_, "ingested_at": EPOCH + timedelta(minutes=number)})


async def test_each_alert_names_its_object_and_the_other_images(world: World) -> None:
    first, ordinary, third = sighting(1), sighting(2, verdict=Verdict.ORDINARY), sighting(3)
    other = sighting(4, object_=None)
    await world.put(first, ordinary, third, other)
    service = world.service("mailto #1")
    assert await service.reconcile([first.image_id]) == {}
    assert await service.reconcile([third.image_id, other.image_id]) == {}
    before, after, alone = world.outbox.packets()
    assert before.object_id == after.object_id == OBJECT
    assert [(each.image_id, each.earlier) for each in before.sightings] == [
        (third.image_id, False),
        (ordinary.image_id, False),
    ]
    assert [each.alert_id for each in before.sightings] == [None, None]
    assert [(each.image_id, each.earlier, each.verdict) for each in after.sightings] == [
        (ordinary.image_id, True, Verdict.ORDINARY),
        (first.image_id, True, Verdict.ANOMALY),
    ]
    assert [each.alert_id for each in after.sightings] == [None, alert_id(first.image_id)]
    assert after.sightings[1].separation_arcsec == pytest.approx(2.0, abs=1e-6)
    assert (alone.object_id, alone.sightings) == (None, ())


async def test_people_are_told_that_an_object_was_seen_again(world: World) -> None:
    first, second = sighting(1), sighting(2)
    await world.put(first, second)
    service = world.service("mailto #1")
    await service.reconcile([first.image_id, second.image_id])
    texts = []
    for picture in (first, second):
        alert = await world.alert(picture)
        assert alert is not None
        texts.append(message_text.single_alert(AlertWithImage(alert, picture), console="http://localhost"))
    assert texts[0].title.startswith("Strange: ")
    assert "before" not in texts[0].body
    assert texts[1].title.startswith("Seen again: ")
    assert "Its object was seen once before." in texts[1].body


async def test_no_alert_tells_of_injections_or_of_what_is_not_released(world: World) -> None:
    first, injected = sighting(1), sighting(2, injected=True)
    withheld = sighting(3, survey="ztf", extra={"programid": "2"})
    await world.put(first, injected, withheld)
    await world.service().reconcile([first.image_id, injected.image_id, withheld.image_id])
    (packet,) = world.outbox.packets()
    assert (packet.image_id, packet.sightings) == (first.image_id, ())
    silent = await world.alert(withheld)
    assert silent is not None
    assert silent.topic is None
    world.outbox.clear()
    later = sighting(4)
    await world.put(later)
    await world.service(publish_unreleased=True).reconcile([later.image_id])
    (packet,) = world.outbox.packets()
    assert [each.image_id for each in packet.sightings] == [withheld.image_id, first.image_id]
    assert packet.sightings[0].alert_id is None, "its alert is not public"


async def test_a_sighting_that_cannot_be_read_is_reported_and_holds_nothing_up(world: World) -> None:
    first, second = sighting(1), sighting(2)
    await world.put(first, second)
    await world.records.upsert(Collection.IMAGES, [{**first.model_dump(mode="json"), "original": None}])
    assert await world.service().reconcile([second.image_id]) == {}
    (packet,) = world.outbox.packets()
    assert packet.sightings == ()
