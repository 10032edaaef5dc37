"""Answers of people: one atomic append to the image's record, with the event that follows from it.

A label is appended only where the labels are still those that were read, so that one request answers once, however
often it is sent and whatever runs beside it.
"""

import asyncio
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field

from astrolens.contracts.base import utc_now
from astrolens.contracts.events import LabelRecorded, producer
from astrolens.contracts.ids import derived_id, event_id
from astrolens.contracts.records import Answer, Label, PendingEvent
from astrolens.contracts.tags import clean_tags
from astrolens.contracts.topics import LABELS_RECORDED
from astrolens.platform.bus.ports import EventReleaser
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Clause, Document, Order, Query, RecordStore
from astrolens.usecases.current_labels import answers_by_person, current_labels
from astrolens.usecases.errors import Conflict, InvalidRequest, NotFound, Overloaded
from astrolens.usecases.label_views import LabelPage, LabelView
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.views import ImageCard, View

MAX_ANSWERS = 500
"""Most images in one answer: more than a screen shows."""

MAX_ATTEMPTS = 50
"""Attempts to record one request. Each one that fails means that another answer to the same image was recorded."""

MAX_UNDOES = 20
"""Requests that one answer can undo: those of one person, of one image, in one window."""

_MAX_WAIT_S = 0.05
"""Longest random wait between two attempts, so that requests that conflicted do not all conflict again."""


class LabelRequest(BaseModel, extra="forbid"):
    """An answer to one or several images."""

    image_id: str | None = Field(default=None, description="One image; or use `image_ids`.")
    image_ids: list[str] = Field(default_factory=list, max_length=MAX_ANSWERS)
    answer: Answer | None = Field(description="`interesting`, `artefact`, `ordinary`; null takes the answer back.")
    note: str | None = Field(default=None, max_length=2000)
    tags: list[str] = Field(
        default_factory=list, max_length=100, description="Free tags, at most 10 of 40 characters, in lower case."
    )
    request_id: str | None = Field(
        default=None, max_length=100, description="Any text of the client's: the same one twice answers once."
    )
    undoes: list[str] = Field(
        default_factory=list,
        max_length=MAX_UNDOES,
        description="The `request_id` of your answer that this one undoes; of several, the last one that was recorded. "
        "Where you have answered anew since, nothing is recorded, and `newer_stands` says so.",
    )

    def images(self) -> list[str]:
        """Every image named, once, in order."""
        return list(dict.fromkeys(([self.image_id] if self.image_id else []) + self.image_ids))


class LabelOutcome(View):
    """What became of the answer to one image."""

    image_id: str
    label_id: str
    answer: Answer | None
    previous: Answer | None = Field(description="Your answer before; send it again to undo.")
    label: Answer | None = Field(description="The last answer that stands now, of anybody.")
    answers: dict[str, Answer] = Field(description="The answer of each person that stands now.")
    name: str | None = Field(default=None, description="What the image is called.")
    newer_stands: bool = Field(
        default=False, description="Whether you have answered anew after the answer that was to be undone."
    )


class LabelOutcomes(View):
    """What became of an answer."""

    labels: list[LabelOutcome]


class Labelling:
    """Records answers.

    Args:
        records: The record store.
        releaser: Publishes what was recorded.
        originals: Keeps the originals of answered images.
        on_recorded: Told of what was recorded, for those who look at the same images.
    """

    def __init__(
        self,
        *,
        records: RecordStore,
        releaser: EventReleaser,
        originals: OriginalsProtection,
        on_recorded: Callable[[Sequence[LabelOutcome]], None] = lambda _: None,
    ) -> None:
        self._records = records
        self._releaser = releaser
        self._originals = originals
        self._on_recorded = on_recorded

    async def answer(self, request: LabelRequest, *, user: str, notify: bool = True) -> LabelOutcomes:
        """Record one answer on every image named.

        Args:
            request: Images and answer.
            user: Who answers.
            notify: Notify those who look at the same images; of a whole archive they would get more than they can show.

        Raises:
            InvalidRequest: No image is named, or a tag cannot be recorded.
            NotFound: An image does not exist; then nothing is recorded.
            Conflict: The same `request_id` has given an image another answer, note or tags.
            Overloaded: Others answer the same images all the time.
        """
        ids = request.images()
        if not ids:
            raise InvalidRequest("No image", "The answer names no image: give image_id or image_ids.")
        request = request.model_copy(update={"tags": list(_tags(request))})
        nonce = request.request_id or secrets.token_hex(16)
        outcomes: dict[str, LabelOutcome] = {}
        for _ in range(MAX_ATTEMPTS):
            waiting = [image for image in ids if image not in outcomes]
            outcomes |= await self._attempt(waiting, request, nonce=nonce, user=user)
            if len(outcomes) == len(ids):
                if notify:
                    self._on_recorded(list(outcomes.values()))
                return LabelOutcomes(labels=[outcomes[image] for image in ids])
            await asyncio.sleep(random.uniform(0.0, _MAX_WAIT_S))  # noqa: S311 - no secret
        raise Overloaded(
            "Busy", "Others answer the same images all the time: send this answer again with the same request_id."
        )

    async def _attempt(
        self, ids: Sequence[str], request: LabelRequest, *, nonce: str, user: str
    ) -> dict[str, LabelOutcome]:
        """Record the answer on images whose labels are unchanged since the reading; return the outcomes of these."""
        documents = await self._records.get(Collection.IMAGES, ids)
        for image in ids:
            if image not in documents:
                raise NotFound("image", image)
        now = utc_now()
        outcomes: dict[str, LabelOutcome] = {}
        additions: list[_Addition] = []
        for image in ids:
            document = documents[image]
            label = Label(
                label_id=derived_id("label", nonce, user, image),
                answer=request.answer,
                user=user,
                recorded_at=now,
                note=request.note,
                tags=tuple(request.tags),
            )
            repeated = _repeated(document, label)
            before = answers_by_person(document.get("labels") or ())
            newer = _newer(document, request, user) if repeated is None else None
            adds = repeated is None and newer is None
            rows = _with(document, label) if adds else document["labels"]
            current = current_labels(rows)
            outcomes[image] = LabelOutcome(
                image_id=image,
                label_id=newer.label_id if newer else label.label_id,
                answer=newer.answer if newer else request.answer,
                previous=repeated.previous if repeated else before.get(user),
                label=current[-1]["answer"] if current else None,
                answers=answers_by_person(rows),
                name=document["observation"].get("name"),
                newer_stands=newer is not None,
            )
            if adds:
                additions.append(_Addition.of(image, document, label, at=now))
        async with self._originals.protect_from_expiry(documents.values()):
            applied = await self._records.apply(Collection.IMAGES, [each.change for each in additions])
            released = [(each.image, (each.event,)) for each in additions if each.image in applied]
            await self._releaser.release(Collection.IMAGES, released)
        conflicted = {each.image for each in additions} - applied
        return {image: outcome for image, outcome in outcomes.items() if image not in conflicted}

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


@dataclass(frozen=True)
class _Addition:
    """One label to append, and the event that follows from it."""

    image: str
    change: Change
    event: PendingEvent

    @classmethod
    def of(cls, image: str, document: Document, label: Label, *, at: datetime) -> "_Addition":
        """The change that appends a label, unless another one was appended since the document was read."""
        event = LabelRecorded(
            event_id=event_id(LABELS_RECORDED, label.label_id),
            producer=producer("console"),
            occurred_at=at,
            image_id=image,
            label_id=label.label_id,
            answer=label.answer,
            user=label.user,
            tags=label.tags,
        ).pending(topic=LABELS_RECORDED, key=image)
        rows = _with(document, label)
        current = current_labels(rows)
        last = current[-1] if current else {"answer": None, "recorded_at": None}
        change = Change(
            id=image,
            set={"label": last["answer"], "labeled_at": last["recorded_at"]},
            push={"labels": [rows[-1]], "pending": [event.model_dump(mode="json")]},
            when=(Clause("labels", "eq", document.get("labels")),),
        )
        return cls(image, change, event)


@dataclass(frozen=True)
class _Repeated:
    """A request that was recorded before, and what its person had answered by then."""

    previous: Answer | None


def _tags(request: LabelRequest) -> tuple[str, ...]:
    try:
        tags = clean_tags(request.tags)
    except ValueError as error:
        raise InvalidRequest("No such tag", f"{error}.") from error
    if tags and request.answer is None:
        raise InvalidRequest("No answer", "Tags come with an answer: give one, or leave the tags out.")
    return tags


def _repeated(document: Document, label: Label) -> _Repeated | None:
    """What a request found when it came first; None where it comes for the first time.

    Raises:
        Conflict: It came with another answer, note or tags.
    """
    previous: Answer | None = None
    for recorded in _recorded(document):
        if recorded.label_id != label.label_id:
            previous = recorded.answer if recorded.user == label.user else previous
            continue
        if (recorded.answer, recorded.note, recorded.tags) != (label.answer, label.note, label.tags):
            raise Conflict(
                "Another answer",
                f"This request_id has answered the image {document['image_id']!r} with "
                f"{recorded.answer.value if recorded.answer else 'no answer'!r} already, or with another note or "
                "other tags: a new answer needs a request_id of its own.",
            )
        return _Repeated(previous)
    return None


def _newer(document: Document, request: LabelRequest, user: str) -> Label | None:
    """A person's last answer to an image, where it is none of those that a request undoes."""
    mine = [label for label in _recorded(document) if label.user == user]
    undone = {derived_id("label", each, user, document["image_id"]) for each in request.undoes}
    return mine[-1] if mine and undone and mine[-1].label_id not in undone else None


def _with(document: Document, label: Label) -> list[Document]:
    return [*(document.get("labels") or ()), label.model_dump(mode="json")]


def _recorded(document: Document) -> Iterator[Label]:
    return (Label.model_validate(row) for row in document.get("labels") or ())


def _label_view(document: Document) -> LabelView:
    last = current_labels(document["labels"])[-1]
    return LabelView(
        image=ImageCard.of(document),
        answer=document["label"],
        user=last["user"],
        note=last.get("note"),
        tags=last.get("tags") or [],
        recorded_at=last["recorded_at"],
    )
