"""Second chances: an image analysed again, a dead letter sent again or dropped."""

import base64
import binascii
import json
from typing import Any

from pydantic import BaseModel, Field

from astrolens.console.originals import Originals
from astrolens.console.ports import EventOutlet
from astrolens.console.problems import Problem, not_found
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.events import ImageIngested
from astrolens.contracts.ids import derived_id
from astrolens.contracts.records import ImageState, Outcome, PendingEvent
from astrolens.contracts.topics import IMAGES_INGESTED, IMAGES_SUBMITTED
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, RecordStore
from astrolens.platform.telemetry.tracing import ANALYZE_AGAIN, NO_TRACING, TRACEPARENT, Tracing
from astrolens.usecases.views import DeadLetterView, View


class DropRequest(BaseModel):
    """Why a dead letter is given up."""

    reason: str = Field(min_length=3, max_length=500, examples=["The source sent the same broken record for a day."])


class AnalyzeAgain(View):
    """An image on its way to the model again."""

    image_id: str
    state: ImageState
    progress_url: str


class Repair:
    """Puts what is stuck back into the flow, guarded so that doing it twice is doing it once."""

    def __init__(
        self, *, records: RecordStore, outlet: EventOutlet, originals: Originals, tracing: Tracing = NO_TRACING
    ) -> None:
        self._records = records
        self._outlet = outlet
        self._originals = originals
        self._tracing = tracing

    async def analyze_again(self, image: str, *, traceparent: str | None = None) -> AnalyzeAgain:
        """Offer an image to the analyzer again; the books show it in flight until the verdict is there.

        Args:
            image: Its id.
            traceparent: The caller's trace context, where it gave one.

        Raises:
            Problem: 404 where there is no such image.
        """
        document = (await self._records.get(Collection.IMAGES, [image])).get(image)
        if document is None:
            raise not_found("image", image, "/api/images?q=…")
        with self._tracing.arriving(ANALYZE_AGAIN, traceparent=traceparent) as traces:
            now = utc_now()
            event = ImageIngested.of(
                image,
                survey=document["observation"]["survey"],
                cutout_key=document["cutout"]["key"],
                cutout_sha256=document["cutout"]["sha256"],
                service="console",
                at=now,
                again=True,
            ).pending(topic=IMAGES_INGESTED, key=image, traceparent=traces.begin(image, image_id=image))
            change = Change(
                id=image,
                set={"state": ImageState.INGESTED.value, "offered_at": utc_text(now), "reason": None},
                push={"pending": [event.model_dump(mode="json")]},
                when=(Clause("state", "ne", ImageState.INGESTED.value),),
            )
            # Its verdict is open again: it may become a candidate, whose original stays.
            async with self._originals.protect_from_expiry([document]):
                if image in await self._records.apply(Collection.IMAGES, [change]):
                    self._outlet.release(Collection.IMAGES, [(image, (event,))])
        return AnalyzeAgain(image_id=image, state=ImageState.INGESTED, progress_url=f"/api/images/{image}")

    async def resend(self, letter: str) -> DeadLetterView:
        """Publish a dead letter's original bytes on its topic again, and put what it was about back in flight.

        Raises:
            Problem: 404 where there is no such letter, 409 where it is no longer open.
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
        await self._revive(document)
        await self._outlet.publish([event])
        return await self._close(letter, "resent", f"sent again at {utc_text(utc_now())}")

    async def drop(self, letter: str, reason: str) -> DeadLetterView:
        """Give a dead letter up, for a reason that stays with it.

        Raises:
            Problem: 404 where there is no such letter, 409 where it is no longer open.
        """
        await self._open_letter(letter)
        return await self._close(letter, "dropped", reason)

    async def _open_letter(self, letter: str) -> Document:
        document = (await self._records.get(Collection.DEAD_LETTERS, [letter])).get(letter)
        if document is None:
            raise not_found("dead letter", letter, "/api/dead-letters")
        if document["state"] != "open":
            raise Problem(
                409, "Not open", f"The dead letter {letter!r} was {document['state']} already; nothing is left to do."
            )
        return document

    async def _close(self, letter: str, state: str, note: str) -> DeadLetterView:
        change = Change(id=letter, set={"state": state, "note": note}, when=(Clause("state", "eq", "open"),))
        await self._records.apply(Collection.DEAD_LETTERS, [change])
        return DeadLetterView.of((await self._records.get(Collection.DEAD_LETTERS, [letter]))[letter])

    async def _revive(self, letter: Document) -> None:
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
    """A letter's body as a JSON object, empty where it is none: that may be why it is dead."""
    try:
        payload = json.loads(base64.b64decode(letter["body"]))
    except (ValueError, binascii.Error):
        return {}
    return payload if isinstance(payload, dict) else {}


def _traceparent(letter: Document) -> str | None:
    """The trace context that the dead record carried: its second chance goes on in the same trace."""
    found = next((value for name, value in letter.get("headers") or () if name == TRACEPARENT), None)
    return None if found is None else base64.b64decode(found).decode("ascii", "replace")


def _key_text(letter: Document) -> str:
    return base64.b64decode(letter["key"]).decode("utf-8", "replace") if letter.get("key") else ""
