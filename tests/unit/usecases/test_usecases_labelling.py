"""Answers without HTTP: what is refused, and what a request that comes twice does."""

import asyncio
from typing import Any

import pytest
from astrolens.contracts.events import LabelRecorded
from astrolens.contracts.records import Answer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.errors import Conflict, InvalidRequest, NotFound
from astrolens.usecases.labelling import Labelling, LabelOutcome, LabelRequest
from astrolens.usecases.originals import OriginalsProtection
from astrolens.usecases.reanalysis import Reanalysis

from tests.made_records import RecordingBus, make_image


@pytest.fixture
def labelling(records: RecordStore, images: ImageStore, bus: RecordingBus) -> Labelling:
    return Labelling(records=records, releaser=bus, originals=OriginalsProtection(images, expiring=False))


async def test_an_answer_names_images_that_exist_or_records_nothing(
    labelling: Labelling, records: RecordStore, bus: RecordingBus
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    with pytest.raises(InvalidRequest, match="names no image"):
        await labelling.answer(LabelRequest(answer=Answer.ORDINARY), user="vera")
    with pytest.raises(NotFound, match="No image has the id 'none'"):
        await labelling.answer(LabelRequest(image_ids=[image.image_id, "none"], answer=Answer.ORDINARY), user="vera")
    assert bus.released == []
    assert await records.tally(Collection.IMAGES, "label") == {("",): 1}


async def test_the_event_says_the_same_as_the_record(
    labelling: Labelling, records: RecordStore, bus: RecordingBus
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    request = LabelRequest(image_id=image.image_id, answer=Answer.ARTEFACT, request_id="r1")
    (outcome,) = (await labelling.answer(request, user="vera")).labels
    await labelling.answer(request, user="vera")
    ((_, key, (event,)),) = bus.released
    document = (await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]
    assert [pending["event_id"] for pending in document["pending"]] == [event.event_id]
    assert (key, document["label"], outcome.label_id) == (image.image_id, "artefact", document["labels"][0]["label_id"])


async def test_one_request_answers_once_however_many_of_it_come_at_the_same_time(
    labelling: Labelling, records: RecordStore, bus: RecordingBus
) -> None:
    made = [make_image(f"galaxy {n}")[0] for n in range(3)]
    await records.insert(Collection.IMAGES, made)
    ids = [image.image_id for image in made]
    request = LabelRequest(image_ids=ids, answer=Answer.INTERESTING, request_id="r1")
    answers = await asyncio.gather(*(labelling.answer(request, user="vera") for _ in range(24)))
    documents = await records.get(Collection.IMAGES, ids)
    assert [len(documents[image]["labels"]) for image in ids] == [1, 1, 1]
    assert sorted(key for _, key, _ in bus.released) == sorted(ids)
    assert all(answer == answers[0] for answer in answers)
    assert [outcome.previous for outcome in answers[0].labels] == [None] * 3


async def test_answers_of_many_people_at_once_are_all_recorded_one_after_another(
    labelling: Labelling, records: RecordStore
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    request = LabelRequest(image_id=image.image_id, answer=Answer.INTERESTING)
    answers = await asyncio.gather(*(labelling.answer(request, user=f"user {n}") for n in range(12)))
    document = (await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]
    assert len(document["labels"]) == 12
    # Each is told of all that stand beside its own.
    assert sorted(len(answer.labels[0].answers) for answer in answers) == list(range(1, 13))
    assert [answer.labels[0].previous for answer in answers] == [None] * 12


async def test_nobody_overwrites_the_answer_of_another(labelling: Labelling, records: RecordStore) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])

    async def say(user: str, answer: Answer | None) -> LabelOutcome:
        request = LabelRequest(image_id=image.image_id, answer=answer)
        return (await labelling.answer(request, user=user)).labels[0]

    await say("vera", Answer.ARTEFACT)
    both = await say("caroline", Answer.ORDINARY)
    assert (both.previous, both.label) == (None, Answer.ORDINARY)
    assert both.answers == {"vera": Answer.ARTEFACT, "caroline": Answer.ORDINARY}
    # Taking mine back brings nobody else's down.
    taken_back = await say("caroline", None)
    assert (taken_back.previous, taken_back.label) == (Answer.ORDINARY, Answer.ARTEFACT)
    document = (await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]
    assert (document["label"], document["labeled_at"]) == ("artefact", document["labels"][0]["recorded_at"])
    assert len(document["labels"]) == 3
    assert (await say("vera", None)).label is None
    assert await records.tally(Collection.IMAGES, "label") == {("",): 1}


async def test_an_undo_takes_back_the_answer_that_it_undoes_and_no_newer_one(
    labelling: Labelling, records: RecordStore
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])

    async def say(request_id: str, answer: Answer | None, *undoes: str) -> LabelOutcome:
        request = LabelRequest(image_id=image.image_id, answer=answer, request_id=request_id, undoes=list(undoes))
        return (await labelling.answer(request, user="vera")).labels[0]

    await say("one window", Answer.ARTEFACT)
    other = await say("other window", Answer.ORDINARY)
    kept = await say("undo", None, "one window")
    assert (kept.newer_stands, kept.answer, kept.label_id) == (True, Answer.ORDINARY, other.label_id)
    assert (kept.answers, kept.name) == ({"vera": Answer.ORDINARY}, "m51")
    assert len((await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]["labels"]) == 2
    # Its own is taken back, and then, of several that it may be, the one before.
    back = await say("undo of the other", Answer.ARTEFACT, "other window")
    assert (back.newer_stands, back.label) == (False, Answer.ARTEFACT)
    last = await say("undo again", None, "one window", "undo of the other")
    assert (last.newer_stands, last.label) == (False, None)
    assert await say("undo again", None, "one window", "undo of the other") == last


async def test_who_looks_at_the_same_image_is_told(records: RecordStore, images: ImageStore, bus: RecordingBus) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    told: list[LabelOutcome] = []
    originals = OriginalsProtection(images, expiring=False)
    labelling = Labelling(records=records, releaser=bus, originals=originals, on_recorded=told.extend)
    await labelling.answer(LabelRequest(image_id=image.image_id, answer=Answer.ARTEFACT), user="vera")
    assert [(each.image_id, each.answers) for each in told] == [(image.image_id, {"vera": Answer.ARTEFACT})]


@pytest.mark.parametrize("other", [{"answer": Answer.ORDINARY}, {"answer": None}, {"note": "a ghost"}])
async def test_the_same_request_with_another_answer_is_refused(
    labelling: Labelling, records: RecordStore, other: dict[str, Any]
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    request = LabelRequest(image_id=image.image_id, answer=Answer.ARTEFACT, note="a trail", request_id="r1")
    await labelling.answer(request, user="vera")
    with pytest.raises(Conflict, match="'artefact' already, or with another note"):
        await labelling.answer(request.model_copy(update=other), user="vera")
    document = (await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]
    assert [(label["answer"], label["note"]) for label in document["labels"]] == [("artefact", "a trail")]
    await labelling.answer(request.model_copy(update=other), user="caroline")


async def test_an_image_is_analysed_again_once_at_a_time(
    records: RecordStore, images: ImageStore, bus: RecordingBus
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    originals = OriginalsProtection(images, expiring=False)
    reanalysis = Reanalysis(records=records, releaser=bus, originals=originals)
    with pytest.raises(NotFound):
        await reanalysis.analyze_again("none")
    await reanalysis.analyze_again(image.image_id)
    await reanalysis.analyze_again(image.image_id)
    assert len(bus.released) == 1


async def test_tags_are_recorded_in_one_spelling_and_travel_in_the_event(
    labelling: Labelling, records: RecordStore, bus: RecordingBus
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    given = ["Tidal  Tail", "tidal tail", " pair "]
    request = LabelRequest(image_id=image.image_id, answer=Answer.INTERESTING, tags=given, request_id="r1")
    await labelling.answer(request, user="vera")
    ((_, _, (event,)),) = bus.released
    document = (await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]
    assert document["labels"][0]["tags"] == ["tidal tail", "pair"]
    assert LabelRecorded.model_validate_json(event.payload).tags == ("tidal tail", "pair")
    assert (await labelling.page([], limit=1, after=None)).items[0].image.tags == ["tidal tail", "pair"]
    with pytest.raises(Conflict, match="other tags"):
        await labelling.answer(request.model_copy(update={"tags": ["ring"]}), user="vera")


@pytest.mark.parametrize(
    ("tags", "answer", "why"),
    [
        (["x" * 41], Answer.ORDINARY, "41 characters"),
        ([""], Answer.ORDINARY, "0 characters"),
        (["a\x1b[2J"], Answer.ORDINARY, "cannot be shown"),
        ([f"tag {n}" for n in range(11)], Answer.ORDINARY, "at most 10"),
        (["ring"], None, "come with an answer"),
    ],
)
async def test_tags_that_cannot_be_recorded_are_refused_with_their_reason(
    labelling: Labelling, records: RecordStore, tags: list[str], answer: Answer | None, why: str
) -> None:
    image = make_image("m51")[0]
    await records.insert(Collection.IMAGES, [image])
    with pytest.raises(InvalidRequest, match=why):
        await labelling.answer(LabelRequest(image_id=image.image_id, answer=answer, tags=tags), user="vera")
    assert not (await records.get(Collection.IMAGES, [image.image_id]))[image.image_id]["labels"]


def test_events_and_labels_of_versions_without_tags_still_parse() -> None:
    event = {
        "event_id": "e1",
        "producer": "console",
        "schema_version": 1,
        "occurred_at": "2026-11-25T22:10:00Z",
        "image_id": "1",
        "label_id": "l1",
        "answer": "interesting",
        "user": "vera",
    }
    assert LabelRecorded.model_validate(event).tags == ()
