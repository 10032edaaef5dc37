"""Answers of people: one atomic append to the image's record, with the event that follows from it."""

import secrets
from collections.abc import Sequence

from pydantic import BaseModel, Field

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import LabelRecorded, producer
from astrolens.contracts.ids import derived_id, event_id
from astrolens.contracts.records import Answer, Label
from astrolens.contracts.topics import LABELS_RECORDED
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore
from astrolens.usecases.errors import InvalidRequest, NotFound
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.views import ImageCard, LabelPage, LabelView, View

MAX_ANSWERS = 500
"""Most images in one answer: more than a screen shows."""


class LabelRequest(BaseModel):
    """An answer to one or several images."""

    image_id: str | None = Field(default=None, description="One image; or use `image_ids`.")
    image_ids: list[str] = Field(default_factory=list, max_length=MAX_ANSWERS)
    answer: Answer | None = Field(description="`interesting`, `artefact`, `ordinary`; null takes the answer back.")
    note: str | None = Field(default=None, max_length=2000)
    request_id: str | None = Field(
        default=None, max_length=100, description="Any text of the client's: the same one twice answers once."
    )

    def images(self) -> list[str]:
        """Every image named, once, in order."""
        return list(dict.fromkeys(([self.image_id] if self.image_id else []) + self.image_ids))


class LabelOutcome(View):
    """What became of the answer to one image."""

    image_id: str
    label_id: str
    answer: Answer | None
    previous: Answer | None = Field(description="The answer before; send it again to undo.")


class LabelOutcomes(View):
    """What became of an answer."""

    labels: list[LabelOutcome]


class Labelling:
    """Records answers."""

    def __init__(self, *, records: RecordStore, releaser: EventReleaser, originals: OriginalsProtection) -> None:
        self._records = records
        self._releaser = releaser
        self._originals = originals

    async def answer(self, request: LabelRequest, *, user: str) -> LabelOutcomes:
        """Record one answer on every image named.

        Args:
            request: Images and answer.
            user: Who answers.

        Raises:
            InvalidRequest: No image is named.
            NotFound: An image does not exist; then nothing is recorded.
        """
        ids = request.images()
        if not ids:
            raise InvalidRequest("No image", "The answer names no image: give image_id or image_ids.")
        documents = await self._records.get(Collection.IMAGES, ids)
        for image in ids:
            if image not in documents:
                raise NotFound("image", image)
        nonce = request.request_id or secrets.token_hex(16)
        outcomes, changes, released = [], [], []
        now = utc_now()
        for image in ids:
            document = documents[image]
            label = Label(
                label_id=derived_id("label", nonce, user, image),
                answer=request.answer,
                user=user,
                recorded_at=now,
                note=request.note,
            )
            known = _earlier(document, label.label_id)
            previous = known if known is not None else document.get("label")
            outcomes.append(
                LabelOutcome(image_id=image, label_id=label.label_id, answer=request.answer, previous=previous)
            )
            if any(each["label_id"] == label.label_id for each in document.get("labels") or ()):
                continue
            event = LabelRecorded(
                event_id=event_id(LABELS_RECORDED, label.label_id),
                producer=producer("console"),
                occurred_at=now,
                image_id=image,
                label_id=label.label_id,
                answer=request.answer,
                user=user,
            ).pending(topic=LABELS_RECORDED, key=image)
            row = label.model_dump(mode="json")
            changes.append(
                Change(
                    id=image,
                    set={"label": row["answer"], "labeled_at": row["recorded_at"] if request.answer else None},
                    push={"labels": [row], "pending": [event.model_dump(mode="json")]},
                )
            )
            released.append((image, (event,)))
        async with self._originals.protect_from_expiry(documents.values()):
            await self._records.apply(Collection.IMAGES, changes)
            await self._releaser.release(Collection.IMAGES, released)
        return LabelOutcomes(labels=outcomes)

    async def page(self, answers: Sequence[Answer], *, limit: int, after: str | None) -> LabelPage:
        """Answered images, the last answered first."""
        where = (Clause("label", "in", [str(answer) for answer in answers or tuple(Answer)]),)
        order = Order("labeled_at", descending=True)
        page = await self._records.find(Collection.IMAGES, Query(where=where, order=order, limit=limit, after=after))
        counts = await self._records.tally(Collection.IMAGES, "label")
        return LabelPage(
            items=[_label_view(document) for document in page.documents],
            next=page.next,
            counts={answer.value: counts.get((answer,), 0) for answer in Answer},
        )


def _earlier(document: Document, label_id: str) -> Answer | None:
    """The answer before a label that is recorded already, for a request that comes twice."""
    labels = document.get("labels") or []
    for n, label in enumerate(labels):
        if label["label_id"] == label_id and n:
            answer = labels[n - 1]["answer"]
            return Answer(answer) if answer else None
    return None


def _label_view(document: Document) -> LabelView:
    last = document["labels"][-1]
    return LabelView(
        image=ImageCard.of(document),
        answer=document["label"],
        user=last["user"],
        note=last.get("note"),
        recorded_at=last["recorded_at"],
    )
