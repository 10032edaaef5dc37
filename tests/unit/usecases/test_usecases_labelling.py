"""Answers without HTTP: what is refused, and what a request that comes twice does."""

import pytest
from astrolens.contracts.records import Answer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.errors import InvalidRequest, NotFound
from astrolens.usecases.labelling import Labelling, LabelRequest
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
