"""Answers of people over REST: atomic, undoable, once."""

from typing import Any

import httpx
from astrolens.contracts.events import LabelRecorded
from astrolens.platform.stores.collections import Collection


async def answer(client: httpx.AsyncClient, **body: Any) -> list[dict[str, Any]]:
    response = await client.post("/api/labels", json=body)
    assert response.status_code == 200, response.text
    labels: list[dict[str, Any]] = response.json()["labels"]
    return labels


async def test_an_answer_is_appended_with_its_event(world: Any, client: httpx.AsyncClient) -> None:
    image = await world.add_image("m51")
    (given,) = await answer(client, image_id=image, answer="interesting", note="two arms")
    assert (given["image_id"], given["previous"]) == (image, None)
    record = (await world.records.get(Collection.IMAGES, [image]))[image]
    assert (record["label"], record["labels"][0]["note"], record["labels"][0]["user"]) == (
        "interesting",
        "two arms",
        "local",
    )
    (event,) = record["pending"]
    assert (event["topic"], event["key"]) == ("astrolens.labels.recorded.v1", image)
    recorded = LabelRecorded.model_validate_json(event["payload"])
    assert (recorded.label_id, recorded.answer) == (given["label_id"], "interesting")
    assert [(c, key) for c, key, _ in world.bus.released] == [("images", image)]


async def test_undo_sends_the_previous_answer(world: Any, client: httpx.AsyncClient) -> None:
    image = await world.add_image("m51")
    await answer(client, image_id=image, answer="ordinary")
    (second,) = await answer(client, image_id=image, answer="artefact")
    assert second["previous"] == "ordinary"
    await answer(client, image_id=image, answer=second["previous"])
    (last,) = await answer(client, image_id=image, answer=None)
    assert last["previous"] == "ordinary"
    record = (await client.get(f"/api/images/{image}")).json()
    assert record["label"] is None
    assert [label["answer"] for label in record["labels"]] == ["ordinary", "artefact", "ordinary", None]
    assert (await client.get("/api/labels")).json()["items"] == []


async def test_the_same_request_twice_answers_once(world: Any, client: httpx.AsyncClient) -> None:
    image = await world.add_image("m51")
    await answer(client, image_id=image, answer="ordinary", request_id="r0")
    first = await answer(client, image_id=image, answer="artefact", request_id="r1")
    again = await answer(client, image_id=image, answer="artefact", request_id="r1")
    assert again == first
    assert len((await client.get(f"/api/images/{image}")).json()["labels"]) == 2
    assert len(world.bus.released) == 2


async def test_many_images_are_answered_at_once_or_not_at_all(world: Any, client: httpx.AsyncClient) -> None:
    images = [await world.add_image(name, minutes=n) for n, name in enumerate(("a", "b", "c"))]
    refused = await client.post("/api/labels", json={"image_ids": [*images, "f" * 32], "answer": "artefact"})
    assert refused.status_code == 404
    assert (await client.get("/api/labels")).json()["counts"]["artefact"] == 0
    given = await answer(client, image_ids=[*images, images[0]], answer="artefact")
    assert [label["image_id"] for label in given] == images
    page = (await client.get("/api/labels", params={"answer": "artefact", "limit": 2})).json()
    assert len(page["items"]) == 2
    assert page["counts"] == {"interesting": 0, "artefact": 3, "ordinary": 0}
    rest = (await client.get("/api/labels", params={"limit": 2, "after": page["next"]})).json()
    assert {each["image"]["image_id"] for each in page["items"] + rest["items"]} == set(images)


async def test_answers_that_cannot_be(world: Any, client: httpx.AsyncClient) -> None:
    image = await world.add_image("m51")
    for body in ({"image_id": image}, {"image_id": image, "answer": "great"}, {"answer": "ordinary"}):
        assert (await client.post("/api/labels", json=body)).status_code == 422
    form = await client.post("/api/labels", content=b'{"image_id": "x"}', headers={"content-type": "text/plain"})
    assert form.status_code == 415, "a form of another site cannot send JSON"
    assert (await client.get(f"/api/images/{image}")).json()["labels"] == []
