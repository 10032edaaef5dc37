"""The images beside one in a list: what arrows show on an image's page."""

import pytest
from astrolens.contracts.records import Answer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore
from astrolens.usecases.image_queries import ImageFilter, Neighbours, Sort, find_images, neighbours

from tests.made_records import make_image


@pytest.fixture
async def ids(records: RecordStore) -> list[str]:
    """Nine images; three of each rank score, and one without."""
    for n in range(9):
        image = make_image(f"galaxy {n}")[0].model_copy(update={"rank_score": float(n // 3)})
        await records.insert(Collection.IMAGES, [image])
    await records.insert(Collection.IMAGES, [make_image("galaxy without")[0].model_copy(update={"rank_score": None})])
    found = await find_images(records, ImageFilter(), sort=Sort.STRANGENESS, limit=200)
    return [document["image_id"] for document in found.documents]


async def _of(records: RecordStore, image: str, wanted: ImageFilter | None = None) -> Neighbours:
    document = (await records.get(Collection.IMAGES, [image]))[image]
    return await neighbours(records, document, wanted or ImageFilter(), sort=Sort.STRANGENESS)


async def test_neighbours_are_those_of_the_list(records: RecordStore, ids: list[str]) -> None:
    assert len(ids) == 9
    for before, image, behind in zip([None, *ids], ids, [*ids[1:], None], strict=False):
        assert await _of(records, image) == Neighbours(before, behind)


async def test_an_image_that_left_the_list_still_has_neighbours(records: RecordStore, ids: list[str]) -> None:
    wanted = ImageFilter(unlabeled=True)
    document = (await records.get(Collection.IMAGES, [ids[4]]))[ids[4]]
    await records.upsert(Collection.IMAGES, [document | {"label": Answer.ORDINARY.value}])
    assert await _of(records, ids[4], wanted) == Neighbours(ids[2], ids[3])
    assert await _of(records, ids[3], wanted) == Neighbours(ids[2], ids[5])


async def test_an_image_without_a_place_in_the_order_has_none(records: RecordStore, ids: list[str]) -> None:
    without = (await find_images(records, ImageFilter(name="without"), sort=Sort.NEWEST, limit=1)).documents[0]
    assert await _of(records, without["image_id"]) == Neighbours(None, None)


async def test_a_list_begins_where_an_image_stands(records: RecordStore, ids: list[str]) -> None:
    start = (await records.get(Collection.IMAGES, [ids[4]]))[ids[4]]
    first = await find_images(records, ImageFilter(), sort=Sort.STRANGENESS, limit=4, start=start)
    # Those of its own value come with it, for they share its place.
    assert [document["image_id"] for document in first.documents] == ids[3:7]
    rest = await find_images(records, ImageFilter(), sort=Sort.STRANGENESS, limit=4, after=first.next, start=start)
    assert [document["image_id"] for document in rest.documents] == ids[7:]
    last = (await records.get(Collection.IMAGES, [ids[8]]))[ids[8]]
    end = await find_images(records, ImageFilter(), sort=Sort.STRANGENESS, limit=5, start=last)
    assert ([document["image_id"] for document in end.documents], end.next) == (ids[4:], None)
    whole = await find_images(records, ImageFilter(), sort=Sort.STRANGENESS, limit=50, start=last)
    assert [document["image_id"] for document in whole.documents] == ids
