"""What a person does about a dead letter: publish it again, or drop it with a reason."""

import base64
import binascii
import json
from typing import Any

from pydantic import BaseModel, Field

from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.ids import derived_id
from astrolens.contracts.records import ImageState, Outcome, PendingEvent
from astrolens.contracts.topics import IMAGES_INGESTED, IMAGES_SUBMITTED
from astrolens.platform.bus.ports import EventPublisher
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore
from astrolens.platform.telemetry.tracing import TRACEPARENT
from astrolens.usecases.dead_letter_views import DeadLetterView
from astrolens.usecases.errors import Conflict, NotFound


class DropRequest(BaseModel, extra="forbid"):
    """Why a dead letter is given up."""

    reason: str = Field(min_length=3, max_length=500, examples=["The source sent the same broken record for a day."])


class DeadLetterActions:
    """Resends and drops dead letters, guarded so that doing it twice is doing it once."""

    def __init__(self, *, records: RecordStore, publisher: EventPublisher) -> None:
        self._records = records
        self._publisher = publisher

    async def resend(self, letter: str) -> DeadLetterView:
        """Publish a dead letter's original bytes on its topic again, and put what it was about back in flight.

        Raises:
            NotFound: There is no such letter.
            Conflict: It is no longer open.
            BusUnavailable: The broker did not take it; the letter stays open.
        """
        document = await self._open_letter(letter)
        event = PendingEvent(
            event_id=derived_id("resend", letter),
            topic=document["topic"],
            key=_key_text(document),
            payload=document["body"],
            binary=True,
            traceparent=_traceparent(document),
        )
        await self._put_in_flight(document)
        await self._publisher.publish([event])
        return await self._close(letter, "resent", f"sent again at {utc_text(utc_now())}")

    async def drop(self, letter: str, reason: str) -> DeadLetterView:
        """Give a dead letter up, for a reason that stays with it.

        Raises:
            NotFound: There is no such letter.
            Conflict: It is no longer open.
        """
        await self._open_letter(letter)
        return await self._close(letter, "dropped", reason)

    async def _open_letter(self, letter: str) -> Document:
        document = (await self._records.get(Collection.DEAD_LETTERS, [letter])).get(letter)
        if document is None:
            raise NotFound("dead letter", letter)
        if document["state"] != "open":
            raise Conflict(
                "Not open", f"The dead letter {letter!r} was {document['state']} already; nothing is left to do."
            )
        return document

    async def _close(self, letter: str, state: str, note: str) -> DeadLetterView:
        change = Change(id=letter, set={"state": state, "note": note}, when=(Clause("state", "eq", "open"),))
        await self._records.apply(Collection.DEAD_LETTERS, [change])
        return DeadLetterView.of((await self._records.get(Collection.DEAD_LETTERS, [letter]))[letter])

    async def _put_in_flight(self, letter: Document) -> None:
        """Move the image or receipt that a letter is about back from dead-lettered to waiting."""
        payload = _payload(letter)
        now = utc_text(utc_now())
        if letter["topic"] == IMAGES_INGESTED and isinstance(payload.get("image_id"), str):
            change = Change(
                id=payload["image_id"],
                set={"state": ImageState.INGESTED.value, "offered_at": now, "reason": None},
                when=(Clause("state", "eq", ImageState.DEAD_LETTERED.value),),
            )
            await self._records.apply(Collection.IMAGES, [change])
        elif letter["topic"] == IMAGES_SUBMITTED and isinstance(payload.get("receipt_id"), str):
            change = Change(
                id=payload["receipt_id"],
                set={"outcome": Outcome.RECEIVED.value, "reason": None, "settled_at": None},
                when=(Clause("outcome", "eq", Outcome.DEAD_LETTERED.value),),
            )
            await self._records.apply(Collection.RECEIPTS, [change])


def _payload(letter: Document) -> dict[str, Any]:
    """A letter's body as a JSON object, empty where it is none: that may be why it was dead-lettered."""
    try:
        payload = json.loads(base64.b64decode(letter["body"]))
    except (ValueError, binascii.Error):
        return {}
    return payload if isinstance(payload, dict) else {}


def _traceparent(letter: Document) -> str | None:
    """The trace context that the dead record carried: the record sent again continues the same trace."""
    found = next((value for name, value in letter.get("headers") or () if name == TRACEPARENT), None)
    return None if found is None else base64.b64decode(found).decode("ascii", "replace")


def _key_text(letter: Document) -> str:
    return base64.b64decode(letter["key"]).decode("utf-8", "replace") if letter.get("key") else ""
