"""One answer for every image of a list, in batches, and its withdrawal.

Whoever asks calls again with the cursor of the call before until there is none: no call takes long, whatever the
number, and one that is sent again answers nothing twice.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, Field

from astrolens.contracts.ids import derived_id
from astrolens.contracts.records import Answer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Document, Order, Query, RecordStore
from astrolens.usecases.current_labels import answers_by_person
from astrolens.usecases.labelling import Labelling, LabelRequest
from astrolens.usecases.views import View

BATCH: Final = 200
"""Images of one call: some tenths of a second."""


class BulkLabelRequest(BaseModel, extra="forbid"):
    """An answer to all images of a list."""

    answer: Answer = Field(description="`interesting`, `artefact`, `ordinary`.")
    tags: list[str] = Field(default_factory=list, max_length=100, description="Free tags, as of one answer.")
    request_id: str = Field(
        min_length=8, max_length=90, description="Any text of the client's, the same for all batches of one answer."
    )
    after: str | None = Field(default=None, max_length=1000, description="`next` of the batch before.")


class BulkWithdrawRequest(BaseModel, extra="forbid"):
    """Withdrawal of an answer to all images of a list."""

    request_id: str = Field(min_length=8, max_length=90, description="That of the answer.")
    after: str | None = Field(default=None, max_length=1000, description="`next` of the batch before.")


class BulkLabelOutcome(View):
    """What became of one batch."""

    answered: int = Field(description="Images of this batch whose answer was recorded, or taken back.")
    next: str | None = Field(description="Send the request again with this as `after`; null: that was the last batch.")


class BulkLabelling:
    """Records and withdraws answers to all images of a list.

    Args:
        records: The record store.
        labelling: Records answers.
    """

    def __init__(self, *, records: RecordStore, labelling: Labelling) -> None:
        self._records = records
        self._labelling = labelling

    async def answer(self, images: Sequence[str], request: BulkLabelRequest, *, user: str) -> int:
        """Answer one batch of the list; how many images that were.

        Raises:
            InvalidRequest, NotFound, Conflict, Overloaded: As of one answer.
        """
        if images:
            given = LabelRequest(
                image_id=None,
                image_ids=list(images),
                answer=request.answer,
                tags=request.tags,
                request_id=request.request_id,
            )
            await self._labelling.answer(given, user=user, notify=False)
        return len(images)

    async def take_back(self, request: BulkWithdrawRequest, *, user: str) -> BulkLabelOutcome:
        """Give the images of one batch the answer again that the person had given before; others' answers stay.

        The answered images are walked through, the last answered first. What the person answered anew since stays.

        Raises:
            Overloaded: Others answer the same images all the time.
        """
        order = Order("labeled_at", descending=True)
        page = await self._records.find(
            Collection.IMAGES, Query(order=order, limit=BATCH, after=request.after, fields=("image_id", "labels"))
        )
        by_answer: dict[str | None, list[str]] = defaultdict(list)
        for document in page.documents:
            mine = [label for label in document["labels"] if label["user"] == user]
            given = derived_id("label", request.request_id, user, document["image_id"])
            if mine and mine[-1]["label_id"] == given:
                by_answer[_before(document, given, user)].append(document["image_id"])
        for before, images in by_answer.items():
            undone = LabelRequest(
                image_id=None,
                image_ids=images,
                answer=None if before is None else Answer(before),
                request_id=f"{request.request_id}/back",
            )
            await self._labelling.answer(undone, user=user, notify=False)
        return BulkLabelOutcome(answered=sum(map(len, by_answer.values())), next=page.next)


def _before(document: Document, label_id: str, user: str) -> str | None:
    labels = document["labels"]
    at = next(place for place, label in enumerate(labels) if label["label_id"] == label_id)
    return answers_by_person(labels[:at]).get(user)
