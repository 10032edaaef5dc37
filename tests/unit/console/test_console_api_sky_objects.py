"""One galaxy seen five times is one object with five images."""

from typing import Any

import httpx
from astrolens.contracts import examples
from astrolens.platform.stores.collections import Collection

ARCSEC = 1.0 / 3600.0


async def test_five_images_of_a_place_are_one_object(world: Any, client: httpx.AsyncClient) -> None:
    five = [await world.add_image(f"same {n}", p_value=0.01, position=(0.0, 10.0 + n * ARCSEC)) for n in range(5)]
    other = await world.add_image("neighbour", p_value=0.01, position=(0.0, 10.0 + 25 * ARCSEC))
    answers = [(await client.get(f"/api/images/{image}/object")).raise_for_status().json() for image in (*five, other)]
    assert {answer["object_id"] for answer in answers[:5]} == {answers[0]["object_id"]}
    assert {image["image_id"] for image in answers[0]["images"]} == set(five)
    assert [image["image_id"] for image in answers[5]["images"]] == [other]
    assert answers[0]["name"] is None


async def test_images_of_one_catalogued_object_have_its_name(world: Any, client: httpx.AsyncClient) -> None:
    # 12 arcsec apart: too far for one place, but both are centred on M 51, which is 11 arcmin large.
    images = [
        await world.add_image(f"m51 {n}", p_value=0.01, position=(202.47, 47.195 + n * 12 * ARCSEC)) for n in (0, 1)
    ]
    for image in images:
        record = examples.crossmatch_record().model_copy(update={"image_id": image})
        await world.records.insert(Collection.CROSSMATCHES, [record])
    found = (await client.get(f"/api/images/{images[0]}/object")).raise_for_status().json()
    assert (found["name"], len(found["images"])) == ("M 51", 2)
    again = (await client.get(f"/api/images/{images[1]}/object")).raise_for_status().json()
    assert again["object_id"] == found["object_id"]


async def test_an_image_without_a_position_is_alone(world: Any, client: httpx.AsyncClient) -> None:
    nowhere = await world.add_image("nowhere", p_value=0.01, position=None)
    found = (await client.get(f"/api/images/{nowhere}/object")).raise_for_status().json()
    assert [image["image_id"] for image in found["images"]] == [nowhere]
    assert (await client.get(f"/api/images/{'0' * 32}/object")).status_code == 404
