"""Dead letters published again or dropped, each once."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from astrolens.contracts.base import utc_now
from astrolens.contracts.records import DeadLetter, ImageState, PendingEvent
from astrolens.contracts.topics import IMAGES_INGESTED, IMAGES_SUBMITTED
from astrolens.platform.errors import BusUnavailable
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.dead_letters import DeadLetterActions
from astrolens.usecases.errors import Conflict, NotFound

from tests.made_records import RecordingBus, make_image


def letter(identity: str, topic: str, body: bytes) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=identity,
        topic=topic,
        partition=0,
        offset=7,
        key=None,
        body=base64.b64encode(body).decode(),
        service="analyzer",
        error_type="wrong-schema",
        error="it cannot be read",
        dead_lettered_at=utc_now(),
    )


async def state_of(records: RecordStore, identity: str) -> str:
    state: str = (await records.get(Collection.DEAD_LETTERS, [identity]))[identity]["state"]
    return state


async def test_only_an_open_letter_can_be_resent_or_dropped(records: RecordStore, bus: RecordingBus) -> None:
    actions = DeadLetterActions(records=records, publisher=bus)
    await records.insert(Collection.DEAD_LETTERS, [letter("one", "some.topic", b"x"), letter("two", "t", b"x")])
    with pytest.raises(NotFound, match="No dead letter has the id 'none'"):
        await actions.resend("none")
    assert (await actions.resend("one")).state == "resent"
    assert (await actions.drop("two", "it is a test")).note == "it is a test"
    for identity, state in (("one", "resent"), ("two", "dropped")):
        for again in (actions.resend(identity), actions.drop(identity, "a reason")):
            with pytest.raises(Conflict, match=f"was {state} already"):
                await again
    assert len(bus.published) == 1


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"[1]", b'"text"', b'{"image_id": 7}', b'{"receipt_id": null}'])
@pytest.mark.parametrize("topic", [IMAGES_INGESTED, IMAGES_SUBMITTED, "some.other.topic"])
async def test_a_body_that_names_nothing_is_published_as_it_came(
    records: RecordStore, bus: RecordingBus, body: bytes, topic: str
) -> None:
    await records.insert(Collection.DEAD_LETTERS, [letter("one", topic, body)])
    assert (await DeadLetterActions(records=records, publisher=bus).resend("one")).state == "resent"
    (event,) = bus.published
    assert (event.topic, event.key, base64.b64decode(event.payload)) == (topic, "", body)


async def test_a_letter_stays_open_while_the_broker_is_unreachable(records: RecordStore) -> None:
    class Broker:
        reachable = False

        async def publish(self, events: Sequence[PendingEvent]) -> None:
            if not self.reachable:
                raise BusUnavailable("no broker")

    image = make_image("lost", p_value=None, state=ImageState.DEAD_LETTERED)[0]
    payload: dict[str, Any] = {"image_id": image.image_id}
    await records.insert(Collection.IMAGES, [image])
    await records.insert(Collection.DEAD_LETTERS, [letter("one", IMAGES_INGESTED, json.dumps(payload).encode())])
    broker = Broker()
    actions = DeadLetterActions(records=records, publisher=broker)
    with pytest.raises(BusUnavailable):
        await actions.resend("one")
    assert await state_of(records, "one") == "open"
    broker.reachable = True
    await actions.resend("one")
    assert await state_of(records, "one") == "resent"
    document = (await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]
    assert document["state"] == ImageState.INGESTED
