"""One galaxy seen five times is one object with five images, and one candidate."""

from typing import Any

import httpx
import pytest
from astrolens.contracts import examples
from astrolens.contracts.base import utc_now
from astrolens.contracts.ids import object_id
from astrolens.contracts.rankings import SHARED_RANKING, RankingRecord
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change
from astrolens.usecases.image_queries import ImageFilter, Sort
from astrolens.usecases.list_totals import ListTotals, Total

ARCSEC = 1.0 / 3600.0


async def link(world: Any, *images: str) -> str:
    """What the crossref service does with images of one object."""
    identifier = object_id(images[0])
    await world.records.apply(Collection.IMAGES, [Change(id=each, set={"object_id": identifier}) for each in images])
    return identifier


async def test_five_images_of_one_object_know_each_other(world: Any, client: httpx.AsyncClient) -> None:
    five = [await world.add_image(f"same {n}", p_value=0.01, position=(0.0, 10.0 + n * ARCSEC)) for n in range(5)]
    other = await world.add_image("neighbour", p_value=0.01, position=(0.0, 10.0 + 25 * ARCSEC))
    identifier = await link(world, *five)
    answers = [(await client.get(f"/api/images/{image}/object")).raise_for_status().json() for image in (*five, other)]
    assert {answer["object_id"] for answer in answers[:5]} == {identifier}
    assert {image["image_id"] for image in answers[0]["images"]} == set(five)
    distances = {image["image_id"]: image["distance_arcsec"] for image in answers[0]["images"]}
    assert [distances[image] for image in five] == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0], abs=1e-6)
    assert (answers[5]["object_id"], [image["image_id"] for image in answers[5]["images"]]) == (None, [other])
    assert answers[0]["name"] is None


async def test_images_of_one_catalogued_object_have_its_name(world: Any, client: httpx.AsyncClient) -> None:
    images = [
        await world.add_image(f"m51 {n}", p_value=0.01, position=(202.47, 47.195 + n * 12 * ARCSEC)) for n in (0, 1)
    ]
    await link(world, *images)
    record = examples.crossmatch_record().model_copy(update={"image_id": images[1]})
    await world.records.insert(Collection.CROSSMATCHES, [record])
    found = (await client.get(f"/api/images/{images[0]}/object")).raise_for_status().json()
    assert (found["name"], len(found["images"])) == ("M 51", 2)


async def test_an_image_without_a_position_is_alone(world: Any, client: httpx.AsyncClient) -> None:
    nowhere = await world.add_image("nowhere", p_value=0.01, position=None)
    found = (await client.get(f"/api/images/{nowhere}/object")).raise_for_status().json()
    assert [image["image_id"] for image in found["images"]] == [nowhere]
    assert (await client.get(f"/api/images/{'0' * 32}/object")).status_code == 404


async def listed(client: httpx.AsyncClient, path: str, **parameters: Any) -> list[tuple[str, int | None]]:
    """Names and sightings of a whole list, read in pages of two."""
    found, after = [], None
    while True:
        given = {"limit": 2, **parameters} | ({"after": after} if after else {})
        page = (await client.get(path, params=given)).raise_for_status().json()
        found += [(item["name"], item["object_images"]) for item in page["items"]]
        after = page["next"]
        if after is None:
            return found


async def test_five_strange_images_of_one_object_are_one_candidate_whatever_the_page(
    world: Any, client: httpx.AsyncClient
) -> None:
    # Three images lie between the strangest of the object and the others, so that its images are on several pages.
    odds = {"a1": 0.0011, "b": 0.0012, "a2": 0.0013, "c": 0.0014, "a3": 0.0015, "d": 0.0016, "a4": 0.0017, "a5": 0.0018}
    ids = {name: await world.add_image(name, p_value=p, position=(9.0, 10.0)) for name, p in odds.items()}
    await link(world, *(ids[f"a{number}"] for number in (1, 2, 3, 4, 5)))
    one_each = [("a1", 5), ("b", 1), ("c", 1), ("d", 1)]
    assert await listed(client, "/api/candidates") == one_each
    assert await listed(client, "/api/images", sort="strangeness", per="object") == one_each
    every = await listed(client, "/api/candidates", per="image")
    assert [name for name, _ in every] == list(odds)
    # The object is in each list that one of its images is in, with the first of those.
    assert await listed(client, "/api/candidates", name="a3") == [("a3", 5)]
    newest = await listed(client, "/api/images", sort="newest", per="object")
    # All came at one time, so that any of the object's may stand for it; but one only.
    assert sorted(count or 0 for _, count in newest) == [1, 1, 1, 5]
    cone = {"ra_deg": 9.0, "dec_deg": 10.0, "radius_arcsec": 5.0}
    assert await listed(client, "/api/images", sort="strangeness", per="object", **cone) == one_each
    of_object = await listed(client, "/api/images", sort="strangeness", object_id=object_id(ids["a1"]))
    assert [name for name, _ in of_object] == ["a1", "a2", "a3", "a4", "a5"]


async def test_the_way_through_a_list_of_objects_passes_over_their_other_images(world: Any) -> None:
    odds = {"a1": 0.0011, "b": 0.0012, "a2": 0.0013, "a3": 0.0014, "c": 0.0015, "a4": 0.0016}
    ids = {name: await world.add_image(name, p_value=p, position=(9.0, 10.0)) for name, p in odds.items()}
    await link(world, *(ids[name] for name in ("a1", "a2", "a3", "a4")))
    archive, wanted = world.context.archive, ImageFilter(per="object").candidates()
    beside = {name: await archive.neighbours(ids[name], wanted, sort=Sort.STRANGENESS) for name in ("a1", "b", "c")}
    assert (beside["a1"].previous, beside["a1"].next) == (None, ids["b"])
    assert (beside["b"].previous, beside["b"].next) == (ids["a1"], ids["c"])
    assert (beside["c"].previous, beside["c"].next) == (ids["b"], None)
    every = await archive.neighbours(ids["b"], ImageFilter().candidates(), sort=Sort.STRANGENESS)
    assert every.next == ids["a2"]


async def test_equal_images_of_an_object_stand_once(world: Any, client: httpx.AsyncClient) -> None:
    ids = [await world.add_image(name, p_value=0.002, position=(9.0, 10.0)) for name in ("e1", "e2", "e3")]
    await link(world, *ids)
    found = await listed(client, "/api/candidates")
    assert [count for _, count in found] == [3]


@pytest.mark.parametrize("sort", [Sort.INTEREST, Sort.USEFUL])
async def test_a_ranked_list_shows_each_object_once(world: Any, client: httpx.AsyncClient, sort: Sort) -> None:
    odds = {"a1": 0.0011, "b": 0.0012, "a2": 0.0013, "c": 0.0014, "a3": 0.0015}
    ids = {name: await world.add_image(name, p_value=p, position=(9.0, 10.0)) for name, p in odds.items()}
    await link(world, *(ids[name] for name in ("a1", "a2", "a3")))
    # Most interesting first; as to use, the other way round.
    ranked = ["b", "a3", "c", "a1", "a2"]
    ranking = RankingRecord(
        ranking=SHARED_RANKING,
        version=1,
        learned_at=utc_now(),
        model_digest="ab" * 32,
        image_ids=tuple(ids[name] for name in ranked),
        interest=(0.9, 0.8, 0.7, 0.6, 0.5),
        artefact=(0.1,) * 5,
        queue=(4, 3, 2, 1, 0),
    )
    await world.records.insert(Collection.RANKINGS, [ranking])
    of_object = "a3" if sort is Sort.INTEREST else "a2"
    expected = [("b", 1), ("a3", 3), ("c", 1)] if sort is Sort.INTEREST else [("a2", 3), ("c", 1), ("b", 1)]
    assert await listed(client, "/api/images", sort=sort.value, per="object") == expected
    every = await listed(client, "/api/images", sort=sort.value)
    assert [name for name, _ in every] == (ranked if sort is Sort.INTEREST else ranked[::-1])
    page = (await client.get("/api/images", params={"sort": sort.value, "per": "object"})).json()
    assert (page["total"], page["total_is_exact"]) == (3, True)
    rankings, wanted = world.context.rankings, ImageFilter(per="object")
    beside = await rankings.neighbours(ids["c"], wanted, user="local", sort=sort)
    names = {image: name for name, image in ids.items()}
    assert (names[beside.previous], names.get(beside.next)) == (
        ("a3", None) if sort is Sort.INTEREST else (of_object, "b")
    )
    # An answer takes the object from the queue of the useful.
    await client.post("/api/labels", json={"image_id": ids["a2"], "answer": "ordinary"})
    again = await listed(client, "/api/images", sort=sort.value, per="object")
    assert [name for name, _ in again] == (["b", "a3", "c"] if sort is Sort.INTEREST else ["c", "b"])


async def test_an_object_with_an_answer_waits_for_none(world: Any, client: httpx.AsyncClient) -> None:
    odds = {"a1": 0.0011, "b": 0.0012, "a2": 0.0013}
    ids = {name: await world.add_image(name, p_value=p, position=(9.0, 10.0)) for name, p in odds.items()}
    await link(world, ids["a1"], ids["a2"])
    unanswered = {"sort": "strangeness", "per": "object", "label": "none"}
    assert await listed(client, "/api/images", **unanswered) == [("a1", 2), ("b", 1)]
    await client.post("/api/labels", json={"image_id": ids["a1"], "answer": "ordinary"})
    assert await listed(client, "/api/images", **unanswered) == [("b", 1)]
    wanted = ImageFilter(per="object", unlabeled=True)
    assert await ListTotals(records=world.records).of_images(wanted, sort=Sort.STRANGENESS) == Total(1)
    # Image by image it still waits.
    every = await listed(client, "/api/images", sort="strangeness", label="none")
    assert [name for name, _ in every] == ["b", "a2"]
