"""Model bundles over REST: the list, promotion and rollback by a person, comparison, and what is refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from astrolens.console.pages.bundles import _row, _state
from astrolens.contracts import topics
from astrolens.contracts.base import utc_now
from astrolens.contracts.models import ModelState, ShadowRecord
from astrolens.contracts.status import ServiceStatus
from astrolens.platform.signing import load_signer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change
from astrolens.usecases.model_promotion import record_settings_bundle
from astrolens.usecases.model_registry import ModelRegistry
from astrolens.usecases.models import ModelView

from tests.behaviour.model_registry import FAILED, PASSED, write_folder

INSTALLED = "a" * 64
MADE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def digests(world: Any, tmp_path: Path) -> dict[str, str]:
    """The bundle of the settings, one whose gates passed, and one that was refused; the first serves."""
    context = world.context
    registry = ModelRegistry(records=context.records, images=context.images)
    await registry.record_installed(digest=INSTALLED, name="made", version="0", created_at=MADE)
    await record_settings_bundle(context.records, INSTALLED, at=MADE)
    signer = load_signer(tmp_path / "model-signing.key", create=True)
    found = {}
    for version, gates in (("passed", PASSED), ("refused", FAILED)):
        write_folder(tmp_path / version, version=version)
        record = await registry.publish(tmp_path / version, signer=signer, created_by="run 1", gates=gates)
        found[version] = record.digest
    return found


async def report_loaded(world: Any, digest: str, *, silent: timedelta = timedelta(0)) -> None:
    """A model server says which bundle it has loaded."""
    seen = utc_now() - silent
    said = ServiceStatus(
        service="model-server",
        instance="made",
        pid=1,
        version="0",
        started_at=seen,
        seen_at=seen,
        ready=True,
        state="running",
        info={"model_digest": digest},
    )
    await world.context.records.upsert(Collection.SERVICES, [said])


async def test_every_bundle_is_listed_with_its_state(
    world: Any, client: httpx.AsyncClient, digests: dict[str, str]
) -> None:
    await report_loaded(world, INSTALLED)
    body = (await client.get("/api/models")).raise_for_status().json()
    states = {item["version"]: (item["state"], item["serves"], item["can_promote"]) for item in body["items"]}
    assert states == {
        "0": ("promoted", True, False),
        "passed": ("candidate", False, True),
        "refused": ("refused", False, False),
    }
    assert (body["serving"]["digest"], body["serving"]["number"]) == (INSTALLED, 0)
    shown = (await client.get(f"/api/models/{digests['refused'][:8]}")).raise_for_status().json()
    assert (shown["digest"], shown["failed_gates"]) == (digests["refused"], ["macro F1"])


async def test_a_person_promotes_and_rolls_back(world: Any, client: httpx.AsyncClient, digests: dict[str, str]) -> None:
    path = f"/api/models/{digests['passed'][:12]}/promote"
    assert (await client.post(path, json={})).status_code == 422
    assert (await client.post(path, json={"why": "   "})).status_code == 422
    promoted = (await client.post(path, json={"why": "finds more"})).raise_for_status().json()
    assert (promoted["digest"], promoted["previous_digest"], promoted["why"]) == (
        digests["passed"],
        INSTALLED,
        "finds more",
    )
    assert promoted["by"]
    assert (await client.post(path, json={"why": "again"})).status_code == 409
    back = (await client.post("/api/models/rollback", json={"why": "too many"})).raise_for_status().json()
    assert (back["digest"], back["rollback"]) == (INSTALLED, True)
    assert (await client.post("/api/models/rollback", json={"why": "more"})).status_code == 409
    events = [event.topic for collection, _, found in world.bus.released for event in found]
    assert events == [topics.MODELS_PROMOTED] * 2
    item = (await client.get(f"/api/models/{digests['passed']}")).json()
    assert (item["state"], [change["state"] for change in item["history"]]) == (
        "retired",
        ["candidate", "promoted", "retired"],
    )


async def test_who_serves_is_what_a_model_server_has_loaded(
    world: Any, client: httpx.AsyncClient, digests: dict[str, str]
) -> None:
    async def serving() -> dict[str, bool]:
        items = (await client.get("/api/models")).raise_for_status().json()["items"]
        return {item["version"]: item["serves"] for item in items if item["serves"]}

    assert await serving() == {}, "no model server runs"
    await report_loaded(world, INSTALLED)
    promoted = digests["passed"]
    (await client.post(f"/api/models/{promoted}/promote", json={"why": "finds more"})).raise_for_status()
    assert await serving() == {"0": True}, "the promoted one is not loaded, or never will be"
    for answer in (
        await client.get(f"/api/models/{INSTALLED}/diff"),
        await client.post(f"/api/models/{promoted}/shadow", json={}),
    ):
        assert answer.status_code == 409
    await report_loaded(world, promoted)
    assert await serving() == {"passed": True}
    shown = (await client.get(f"/api/models/{promoted}")).json()
    assert (shown["has_late_images"], shown["first_served_at"]) == (False, None)
    image = await world.add_image("late")
    await world.context.records.apply(Collection.IMAGES, [Change(id=image, set={"late_by": promoted})])
    shown = (await client.get(f"/api/models/{promoted}")).json()
    assert shown["has_late_images"], "the button leads to what the second pass found, where it found something"
    in_use = await client.get(f"/api/models/{promoted}/diff")
    assert (in_use.status_code, "is the one in use" in in_use.json()["detail"]) == (409, True)
    await report_loaded(world, promoted, silent=timedelta(minutes=1))
    assert await serving() == {}, "what it said a minute ago is no longer so"


@pytest.mark.parametrize(
    ("state", "serves", "has_served", "words"),
    [
        (ModelState.PROMOTED, True, True, "serves"),
        (ModelState.PROMOTED, False, False, "promoted, not served"),
        (ModelState.RETIRED, True, True, "still serves"),
        (ModelState.RETIRED, False, True, "has served"),
        (ModelState.RETIRED, False, False, "not seen serving"),
        (ModelState.CANDIDATE, False, False, "candidate"),
    ],
)
async def test_the_page_says_served_only_of_what_served(
    client: httpx.AsyncClient, digests: dict[str, str], state: ModelState, serves: bool, has_served: bool, words: str
) -> None:
    found = (await client.get(f"/api/models/{digests['passed']}")).raise_for_status().json()
    served_at = MADE if has_served else None
    model = ModelView.model_validate(found | {"state": state, "serves": serves, "first_served_at": served_at})
    assert _state(model)[0] == words


async def test_failed_gates_are_counted_with_their_names_below(
    client: httpx.AsyncClient, digests: dict[str, str]
) -> None:
    """A state is never broken into lines: with all the names in it, decisions lay beyond the window."""
    found = (await client.get(f"/api/models/{digests['refused']}")).raise_for_status().json()
    cells = _row(ModelView.model_validate(found))
    assert [part["text"] for part in cells[2]] == ["failed 1 of 1", "macro F1"]
    assert [part["text"] for part in cells[1] if part["text"]] == ["refused by its gates"]


async def test_what_a_gate_refused_is_not_promoted(client: httpx.AsyncClient, digests: dict[str, str]) -> None:
    refused = await client.post(f"/api/models/{digests['refused']}/promote", json={"why": "please"})
    assert refused.status_code == 409
    assert "it failed macro F1" in refused.json()["detail"]
    assert (await client.post(f"/api/models/{'f' * 64}/promote", json={"why": "x"})).status_code == 404
    unnamed = await client.post("/api/models/no-digest/promote", json={"why": "x"})
    assert (unnamed.status_code, unnamed.json()["detail"]) == (
        422,
        "digest (given 'no-digest'): a digest has 64 digits, 0-9 and a-f, of which the first six or more are enough.",
    )


async def test_a_candidate_is_compared_with_what_serves_where_the_promoted_one_is_refused(
    world: Any, client: httpx.AsyncClient, digests: dict[str, str], tmp_path: Path
) -> None:
    await report_loaded(world, INSTALLED)
    (await client.post(f"/api/models/{digests['passed']}/promote", json={"why": "junk"})).raise_for_status()
    write_folder(tmp_path / "next", version="next")
    registry = ModelRegistry(records=world.context.records, images=world.context.images)
    signer = load_signer(tmp_path / "model-signing.key", create=True)
    candidate = await registry.publish(tmp_path / "next", signer=signer, created_by="run 2", gates=PASSED)
    begun = (await client.post(f"/api/models/{candidate.digest}/shadow", json={})).raise_for_status().json()
    assert begun["shadow"]["champion_digest"] == INSTALLED
    await report_loaded(world, digests["passed"])
    begun = (await client.post(f"/api/models/{candidate.digest}/shadow", json={})).raise_for_status().json()
    assert begun["shadow"]["champion_digest"] == digests["passed"]


async def test_a_candidate_is_compared_and_what_it_would_change_has_pictures(
    world: Any, client: httpx.AsyncClient, digests: dict[str, str]
) -> None:
    digest = digests["passed"]
    assert (await client.get(f"/api/models/{digest}/diff")).status_code == 409
    by_default = (await client.post(f"/api/models/{digest}/shadow", json={})).raise_for_status().json()
    assert by_default["shadow"]["wanted"] == world.context.settings.shadow_images
    begun = (await client.post(f"/api/models/{digest}/shadow", json={"images": 2})).raise_for_status().json()
    assert (begun["state"], begun["shadow"]["wanted"], begun["shadow"]["images"]) == ("shadow", 2, 0)
    one, two = [await world.add_image(name) for name in ("one", "two")]
    await world.context.records.upsert(
        Collection.SHADOWS,
        [
            ShadowRecord(
                digest=digest,
                champion_digest=INSTALLED,
                wanted=2,
                began_at=MADE,
                finished_at=MADE,
                image_ids=(one, two),
                champion_rank_scores=(0.1, 2.5),
                candidate_rank_scores=(2.4, 0.2),
                newly_anomalous=1,
                no_longer_anomalous=1,
                newly_anomalous_ids=(one,),
                no_longer_anomalous_ids=(two, "0" * 32),
            )
        ],
    )
    body = (await client.get(f"/api/models/{digest}/diff")).raise_for_status().json()
    assert [card["image_id"] for card in body["newly_anomalous"]] == [one]
    assert [card["image_id"] for card in body["no_longer_anomalous"]] == [two]
    for other in (INSTALLED, digests["refused"]):
        assert (await client.post(f"/api/models/{other}/shadow", json={"images": 2})).status_code == 409
