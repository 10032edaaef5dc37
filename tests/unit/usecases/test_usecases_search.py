"""One text for everything that names an image."""

from collections.abc import Sequence
from typing import Any

import pytest
from astrolens.contracts.records import ImageRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Clause, RecordStore
from astrolens.usecases.errors import InvalidRequest
from astrolens.usecases.image_queries import ImageFilter
from astrolens.usecases.search import search
from astrolens.usecases.search_text import with_parsed_text

from tests.made_records import make_image


@pytest.fixture
async def images(records: RecordStore) -> dict[str, ImageRecord]:
    made = {
        "NGC 4567": make_image("NGC 4567", position=(189.136, 11.258))[0],
        "NGC4568.jpeg": make_image("NGC4568.jpeg")[0],
        "587722984438038552": make_image("587722984438038552")[0],
    }
    await records.insert(Collection.IMAGES, list(made.values()))
    return made


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ngc 4567", "NGC 4567"),
        ("NGC4567", "NGC 4567"),
        ("ngc4567.jpg", "NGC 4567"),
        ("NGC 4568", "NGC4568.jpeg"),
        ("ngc4568.jpeg", "NGC4568.jpeg"),
        # Digits only, and the beginning of no id: a survey's number.
        ("58772298443803", "587722984438038552"),
    ],
)
async def test_names_are_found_however_they_are_written(
    records: RecordStore, images: dict[str, ImageRecord], text: str, name: str
) -> None:
    found = await search(records, f"  {text} ")
    assert [card.name for card in found.cards] == [name]
    assert set(found.query) == {"q"}


async def test_the_beginning_of_a_name_needs_no_look_at_all_names(
    records: RecordStore, images: dict[str, ImageRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    count = records.count

    async def counted(collection: Collection, where: Sequence[Clause], **bounds: Any) -> int | None:
        asked.extend(clause.op for clause in where)
        return await count(collection, where, **bounds)

    monkeypatch.setattr(records, "count", counted)
    for text in ("ngc 45", "Ngc 4567", "NGC4567"):
        wanted = await with_parsed_text(records, ImageFilter(text=text))
        assert (wanted.name_prefix, wanted.name) == (text.upper().replace("C4", "C 4"), None)
    assert "contains" not in asked
    # The middle of a name is still found.
    assert (await with_parsed_text(records, ImageFilter(text="gc 4567"))).name == "gc 4567"
    assert "contains" in asked


async def test_ids_are_found_by_any_beginning(records: RecordStore, images: dict[str, ImageRecord]) -> None:
    identity = images["NGC 4567"].image_id
    for text in (identity, identity[:6], identity[:12].upper()):
        found = await search(records, text)
        assert [card.image_id for card in found.cards] == [identity]
        # One image is opened itself.
        assert found.query == {}


async def test_objects_are_found_by_the_ids_of_their_surveys(records: RecordStore) -> None:
    for name, identity in (("a.jpg", "ZTF18abcdefg"), ("b.jpg", "1237648720693755918"), ("c.jpg", "my-object 7")):
        image = make_image(name)[0]
        observation = image.observation.model_copy(update={"extra": {"object_id": identity}})
        await records.insert(Collection.IMAGES, [image.model_copy(update={"observation": observation})])
    for text, name in (("ZTF18abcdefg", "a.jpg"), ("ztf18AB", "a.jpg"), ("12376487206937", "b.jpg")):
        found = await search(records, text)
        assert [card.name for card in found.cards] == [name]
        assert "object ids" in found.description
    wanted = await with_parsed_text(records, ImageFilter(text="1237648720693755918"))
    assert (wanted.survey_object_prefix, wanted.text) == ("1237648720693755918", None)


async def test_numbers_of_catalogues_short_ids_and_ids_without_a_digit_are_found(records: RecordStore) -> None:
    made = [make_image(name)[0] for name in ("PGC0021776", "b.jpg", "c.jpg")]
    for index, identity in ((1, "PGCb"), (2, "UGC00042")):
        observation = made[index].observation.model_copy(update={"extra": {"object_id": identity}})
        made[index] = made[index].model_copy(update={"observation": observation})
    await records.insert(Collection.IMAGES, made)
    for text, image in (
        ("PGC 21776", made[0]),
        ("pgc21776", made[0]),
        ("PGCb", made[1]),
        ("ugc 42", made[2]),
        (made[1].image_id[:4], made[1]),
        (made[2].image_id[:5].upper(), made[2]),
    ):
        assert [card.image_id for card in (await search(records, text)).cards] == [image.image_id], text


async def test_the_rest_call_understands_the_same_text_with_a_radius(
    records: RecordStore, images: dict[str, ImageRecord]
) -> None:
    wanted = await with_parsed_text(
        records, ImageFilter(text="12:36:32.6 +11:15:29", text_radius_arcsec=5, surveys=("sdss",))
    )
    assert wanted.cone is not None
    assert (wanted.cone.radius_arcsec, wanted.surveys) == (5, ("sdss",))
    assert (await with_parsed_text(records, ImageFilter(text="ngc4567.fits"))).name_prefix == "NGC 4567"
    with pytest.raises(ValueError, match="with_parsed_text"):
        ImageFilter(text="ngc 4567").clauses()


async def test_a_position_is_a_cone(records: RecordStore, images: dict[str, ImageRecord]) -> None:
    found = await search(records, "189.137 +11.258")
    assert [card.name for card in found.cards] == ["NGC 4567"]
    assert found.query == {"ra_deg": "189.137000", "dec_deg": "11.258000", "radius_arcsec": "60"}
    assert found.cards[0].distance_arcsec == pytest.approx(3.53, abs=0.01)


async def test_what_is_not_there_is_told(records: RecordStore, images: dict[str, ImageRecord]) -> None:
    found = await search(records, "nowhere 12")
    assert (found.description, found.query, found.cards) == ("names with “nowhere 12”", {"q": "nowhere 12"}, [])
    assert (await search(records, " ")).description == ""


async def test_a_position_that_cannot_be_is_told_in_a_sentence(
    records: RecordStore, images: dict[str, ImageRecord]
) -> None:
    found = await search(records, "10 +95")
    assert (found.query, found.cards) == ({}, [])
    assert found.problem.startswith("'10 +95' is no place on the sky, and no image is called so: the declination")
    with pytest.raises(InvalidRequest, match="lies in -90 to 90 degrees"):
        await with_parsed_text(records, ImageFilter(text="10 +95"))
