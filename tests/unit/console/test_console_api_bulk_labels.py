"""An answer to all images of a list: in batches, once, and undone."""

from typing import Any

import httpx
import pytest
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change
from astrolens.usecases import bulk_labelling


async def whole(client: httpx.AsyncClient, path: str, body: dict[str, Any], **query: str) -> tuple[int, int]:
    """Send a request until its last batch; images answered and calls."""
    answered, calls, after = 0, 0, None
    while True:
        response = await client.post(path, json=body | {"after": after}, params=query)
        assert response.status_code == 200, response.text
        told = response.json()
        answered, calls, after = answered + told["answered"], calls + 1, told["next"]
        if after is None:
            return answered, calls


@pytest.mark.parametrize("condition", [{}, {"label": "none"}])
async def test_everything_that_matches_is_answered_in_batches_and_taken_back(
    world: Any, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, condition: dict[str, str]
) -> None:
    monkeypatch.setattr("astrolens.console.api.bulk_labels.BATCH", 3)
    monkeypatch.setattr(bulk_labelling, "BATCH", 3)
    ids = {n: await world.add_image(f"in {n}", minutes=n) for n in range(7)}
    out = await world.add_image("out", survey="efigi")
    await client.post("/api/labels", json={"image_id": ids[2], "answer": "ordinary"})
    request = {"answer": "artefact", "request_id": "all of them", "tags": ["trail"]}
    query = {"survey": "sdss", "sort": "newest", **condition}
    expected = {n for n in range(7) if not condition or n != 2}
    answered, calls = await whole(client, "/api/labels/matching", request, **query)
    assert answered == len(expected)
    assert calls >= len(expected) / 3
    found = (await client.get("/api/images", params={"label": "artefact"})).json()["items"]
    assert {each["image_id"] for each in found} == {ids[n] for n in expected}
    assert found[0]["tags"] == ["trail"]
    # Sent again it answers nothing twice.
    await whole(client, "/api/labels/matching", request, **query)
    record = await world.records.get(Collection.IMAGES, [ids[2], ids[3]])
    assert len(record[ids[3]]["labels"]) == 1
    # What somebody answered anew meanwhile stays.
    await client.post("/api/labels", json={"image_id": ids[0], "answer": "interesting"})
    taken, _ = await whole(client, "/api/labels/take-back", {"request_id": "all of them"})
    assert taken == len(expected) - 1
    now = {n: (await client.get(f"/api/images/{image}")).json()["label"] for n, image in ids.items()}
    assert now == {n: {0: "interesting", 2: "ordinary"}.get(n) for n in range(7)}
    assert (await client.get(f"/api/images/{out}")).json()["label"] is None
    assert (await whole(client, "/api/labels/take-back", {"request_id": "all of them"}))[0] == 0


async def test_one_image_of_each_object_is_answered_where_the_list_shows_one(
    world: Any, client: httpx.AsyncClient
) -> None:
    one, other = [await world.add_image(name, p_value=0.01) for name in ("one", "other")]
    changes = [Change(id=each, set={"object_id": "ab" * 16}) for each in (one, other)]
    await world.records.apply(Collection.IMAGES, changes)
    request = {"answer": "ordinary", "request_id": "objects only"}
    assert await whole(client, "/api/labels/matching", request, per="object", sort="strangeness") == (1, 1)


async def test_an_unknown_filter_is_refused(client: httpx.AsyncClient) -> None:
    body = {"answer": "ordinary", "request_id": "misspelt"}
    answer = await client.post("/api/labels/matching", json=body, params={"surevy": "sdss"})
    assert answer.status_code == 422
    assert "surevy" in answer.json()["detail"]
