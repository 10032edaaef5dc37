"""What every record store must do. An adapter's test class inherits this and gives the `store` fixture."""

import asyncio
import base64
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from astrolens.contracts.records import PendingEvent
from astrolens.platform.errors import PermanentError, UndeclaredField
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.hash_index import KEY_LIMIT
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import MAX_CONTAINING, Change, Clause, Order, Query, RecordStore

IMAGES = Collection.IMAGES


def image(n: int, **fields: Any) -> dict[str, Any]:
    """A document with only what a test needs; stores do not look at the rest."""
    return {
        "image_id": f"img{n:04}",
        "state": "ingested",
        "verdict": None,
        "p_value": None,
        "observation": {"survey": "sdss", "name": f"SDSS J{n:04}", "position": None},
        "labels": [],
        "pending": [],
        **fields,
    }


def event(n: int) -> dict[str, Any]:
    return PendingEvent(event_id=f"event{n}", topic="t", key="k", payload="{}").model_dump(mode="json")


class RecordStoreBehaviour:
    """Inherit, and give a fixture `store` (an opened store) and `reopen` (a second handle on the same data)."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[RecordStore]:
        raise AssertionError("the adapter's test class gives the store")
        yield  # noqa: PT022 - makes this a generator, as the adapters' fixtures are

    @pytest.fixture
    def reopen(self) -> Callable[[], RecordStore]:
        raise AssertionError("the adapter's test class gives the store")

    async def test_insert_puts_only_what_is_absent(self, store: RecordStore) -> None:
        assert await store.insert(IMAGES, [image(1), image(2)]) == {"img0001", "img0002"}
        assert await store.insert(IMAGES, [image(2, state="analyzed"), image(3)]) == {"img0003"}
        found = await store.get(IMAGES, ["img0001", "img0002", "img0003", "absent"])
        assert {key: document["state"] for key, document in found.items()} == dict.fromkeys(
            ["img0001", "img0002", "img0003"], "ingested"
        )

    async def test_the_same_id_twice_in_one_insert_is_put_once(self, store: RecordStore) -> None:
        assert await store.insert(IMAGES, [image(1), image(1, state="analyzed")]) == {"img0001"}
        assert (await store.get(IMAGES, ["img0001"]))["img0001"]["state"] == "ingested"
        assert await store.tally(IMAGES, "state") == {("ingested",): 1}

    async def test_documents_come_back_as_they_went_in(self, store: RecordStore) -> None:
        document = image(1, analysis={"p": 1e-12, "text": "Ω \u2028 '\"", "big": 2**62, "list": [1, None, {"a": []}]})
        await store.insert(IMAGES, [document])
        assert (await store.get(IMAGES, ["img0001"]))["img0001"] == document

    async def test_a_change_happens_only_where_its_guard_holds(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1), image(2, state="analyzed")])
        changes = [
            Change(
                id=name, set={"state": "analyzed", "analysis.deep.value": 3}, when=(Clause("state", "eq", "ingested"),)
            )
            for name in ("img0001", "img0002", "absent")
        ]
        assert await store.apply(IMAGES, changes) == {"img0001"}
        found = await store.get(IMAGES, ["img0001", "img0002"])
        assert found["img0001"]["analysis"] == {"deep": {"value": 3}}
        assert "analysis" not in found["img0002"]

    async def test_changes_of_one_document_in_one_call_follow_each_other(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        first = Change(id="img0001", push={"labels": [{"n": 1}]})
        second = Change(id="img0001", push={"labels": [{"n": 2}, {"n": 3}]}, set={"label": "artefact"})
        assert await store.apply(IMAGES, [first, second]) == {"img0001"}
        document = (await store.get(IMAGES, ["img0001"]))["img0001"]
        assert [label["n"] for label in document["labels"]] == [1, 2, 3]
        assert document["label"] == "artefact"

    async def test_concurrent_changes_of_one_document_all_count(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        await asyncio.gather(
            *(store.apply(IMAGES, [Change(id="img0001", push={"labels": [{"n": n}]})]) for n in range(20))
        )
        labels = (await store.get(IMAGES, ["img0001"]))["img0001"]["labels"]
        assert sorted(label["n"] for label in labels) == list(range(20))

    async def test_a_guard_on_a_whole_list_or_map_lets_one_of_many_append(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, labels=[{"n": 0, "at": None}], labeled={"a": 1})])
        read = (await store.get(IMAGES, ["img0001"]))["img0001"]
        unchanged = tuple(Clause(field, "eq", read.get(field)) for field in ("labels", "labeled", "absent"))
        changes = [Change(id="img0001", push={"labels": [{"n": n}]}, when=unchanged) for n in range(1, 9)]
        results = await asyncio.gather(*(store.apply(IMAGES, [change]) for change in changes))
        assert sorted(map(len, results)) == [0] * 7 + [1]
        labels = (await store.get(IMAGES, ["img0001"]))["img0001"]["labels"]
        assert (len(labels), labels[0]) == (2, {"n": 0, "at": None})

    async def test_only_one_of_two_guarded_changes_wins(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1)])
        guard = (Clause("state", "eq", "ingested"),)
        results = await asyncio.gather(
            *(store.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed"}, when=guard)]) for _ in range(8))
        )
        assert sum(bool(result) for result in results) == 1

    async def test_upsert_replaces_whole_documents(self, store: RecordStore) -> None:
        await store.upsert(Collection.SERVICES, [{"instance": "a", "service": "ingestor", "info": {"x": 1}}])
        await store.upsert(Collection.SERVICES, [{"instance": "a", "service": "ingestor"}, {"instance": "b"}])
        found = await store.get(Collection.SERVICES, ["a", "b"])
        assert found["a"] == {"instance": "a", "service": "ingestor"}
        assert set(found) == {"a", "b"}

    async def test_delete_removes_and_counts(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1), image(2)])
        assert await store.delete(IMAGES, ["img0001", "absent"]) == 1
        assert set(await store.get(IMAGES, ["img0001", "img0002"])) == {"img0002"}
        assert await store.tally(IMAGES, "state") == {("ingested",): 1}

    async def test_paging_sees_every_document_once_in_order(self, store: RecordStore) -> None:
        # Ties in p_value, documents without one, and inserts while paging.
        await store.insert(IMAGES, [image(n, p_value=(n % 5) / 10) for n in range(23)] + [image(99)])
        for descending in (False, True):
            seen: list[tuple[float, str]] = []
            cursor: str | None = None
            while True:
                query = Query(order=Order("p_value", descending=descending), limit=4, after=cursor)
                page = await store.find(IMAGES, query)
                seen += [(document["p_value"], document["image_id"]) for document in page.documents]
                cursor = page.next
                if cursor is None:
                    break
            assert len(seen) == 23
            assert seen == sorted(seen, reverse=descending)

    async def test_paging_without_order_goes_by_id(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n) for n in (3, 1, 2)])
        first = await store.find(IMAGES, Query(limit=2))
        second = await store.find(IMAGES, Query(limit=2, after=first.next))
        ids = [document["image_id"] for document in first.documents + second.documents]
        assert ids == ["img0001", "img0002", "img0003"]
        assert second.next is None

    @pytest.mark.parametrize(
        ("clause", "expected"),
        [
            (Clause("verdict", "eq", "anomaly"), {2}),
            (Clause("verdict", "eq", None), {1}),
            (Clause("verdict", "ne", "ordinary"), {1, 2}),
            (Clause("verdict", "in", ["anomaly", "ordinary"]), {2, 3}),
            (Clause("verdict", "exists", True), {2, 3}),
            (Clause("verdict", "exists", False), {1}),
            (Clause("p_value", "lt", 0.5), {2}),
            (Clause("p_value", "lte", 0.5), {2, 3}),
            (Clause("p_value", "gt", 0.01), {3}),
            (Clause("p_value", "gte", 0.01), {2, 3}),
            (Clause("observation.name", "prefix", "NGC_4"), {3}),
            (Clause("observation.name", "contains", "andromeda"), {2}),
            (Clause("observation.simulated", "eq", True), {1}),
            (Clause("image_id", "in", ["img0001", "img0003"]), {1, 3}),
        ],
    )
    async def test_clauses(self, store: RecordStore, clause: Clause, expected: set[int]) -> None:
        def observed(name: str, *, simulated: bool) -> dict[str, Any]:
            return {"survey": "sdss", "name": name, "simulated": simulated}

        await store.insert(
            IMAGES,
            [
                image(1, observation=observed("NGCx4", simulated=True)),
                image(2, verdict="anomaly", p_value=0.01, observation=observed("M31 ANDROMEDA", simulated=False)),
                image(3, verdict="ordinary", p_value=0.5, observation=observed("NGC_44", simulated=False)),
            ],
        )
        page = await store.find(IMAGES, Query(where=(clause,)))
        assert {int(document["image_id"][3:]) for document in page.documents} == expected

    @pytest.mark.parametrize("frequent", [False, True])
    async def test_a_part_of_a_name_is_found_on_every_page(self, store: RecordStore, *, frequent: bool) -> None:
        """Also where more documents hold it than may narrow a query."""
        count = MAX_CONTAINING + 5 if frequent else 5
        held = {"survey": "sdss", "name": "UGC 1.5 (b)", "position": None}
        documents = [image(n, p_value=n / 10_000, observation=held) for n in range(count)]
        await store.insert(IMAGES, [*documents, image(9998, p_value=1.0), image(9999, observation={"name": None})])
        for order in (None, Order("p_value", descending=True)):
            query = Query(where=(Clause("observation.name", "contains", "c 1.5 (B"),), order=order, limit=count - 2)
            first = await store.find(IMAGES, query)
            second = await store.find(IMAGES, replace(query, after=first.next))
            found = [document["image_id"] for document in (*first.documents, *second.documents)]
            ids = [document["image_id"] for document in documents]
            assert found == (ids if order is None else ids[::-1])
            assert second.next is None

    async def test_clauses_are_joined_by_and(self, store: RecordStore) -> None:
        await store.insert(
            IMAGES, [image(n, state="analyzed" if n % 2 else "ingested", p_value=n / 10) for n in range(6)]
        )
        query = Query(where=(Clause("state", "eq", "analyzed"), Clause("p_value", "gt", 0.2)))
        assert [document["image_id"] for document in (await store.find(IMAGES, query)).documents] == [
            "img0003",
            "img0005",
        ]

    async def test_a_query_on_an_undeclared_field_is_refused(self, store: RecordStore) -> None:
        with pytest.raises(UndeclaredField, match=r"images\.credit"):
            await store.find(IMAGES, Query(where=(Clause("credit", "eq", 1),)))

    async def test_a_made_up_cursor_is_refused(self, store: RecordStore) -> None:
        with pytest.raises(PermanentError, match="cursor"):
            await store.find(IMAGES, Query(after="nonsense"))

    async def test_a_cursor_of_another_order_is_refused(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n, p_value=n / 10, rank_score=float(n)) for n in range(3)])
        page = await store.find(IMAGES, Query(order=Order("p_value"), limit=1))
        for order in (Order("rank_score", descending=True), Order("p_value", descending=True), None):
            with pytest.raises(PermanentError, match="begin again with the first page"):
                await store.find(IMAGES, Query(order=order, after=page.next))
        # Cursors of versions that named no order.
        text = base64.urlsafe_b64encode(b'[0.1, "1"]').decode().rstrip("=")
        with pytest.raises(PermanentError, match="cursor"):
            await store.find(IMAGES, Query(order=Order("p_value"), after=text))

    async def test_the_strangest_come_first_where_p_values_tie(self, store: RecordStore) -> None:
        ranks = {1: 2.8, 2: 11.3, 3: None, 4: 0.3, 5: 5.1}
        await store.insert(
            IMAGES,
            [
                image(n, p_value=0.5 if n == 4 else 1 / 606, rank_score=rank, verdict="anomaly")
                for n, rank in ranks.items()
            ],
        )
        await store.apply(IMAGES, [Change(id="img0001", set={"rank_score": 7.0})])
        where = (Clause("verdict", "eq", "anomaly"), Clause("p_value", "lt", 0.1))
        page = await store.find(IMAGES, Query(where=where, order=Order("rank_score", descending=True)))
        assert [document["image_id"] for document in page.documents] == ["img0002", "img0001", "img0005"]

    async def test_tallies_follow_every_write(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n) for n in range(5)])
        await store.apply(
            IMAGES, [Change(id=f"img{n:04}", set={"state": "analyzed", "verdict": "anomaly"}) for n in (0, 1)]
        )
        await store.delete(IMAGES, ["img0004"])
        assert await store.tally(IMAGES, "state") == {("ingested",): 2, ("analyzed",): 2}
        assert await store.tally(IMAGES, "survey_verdict") == {("sdss", ""): 2, ("sdss", "anomaly"): 2}
        states, receipts = await store.tallies([(IMAGES, "state"), (Collection.RECEIPTS, "outcome")])
        assert states == {("ingested",): 2, ("analyzed",): 2}
        assert receipts == {}

    async def test_pending_events_stay_until_pulled(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)]), image(2)])
        await store.apply(IMAGES, [Change(id="img0002", push={"pending": [event(2), event(3)]})])
        waiting = dict(await store.pending(IMAGES, limit=10))
        assert {key: [e.event_id for e in events] for key, events in waiting.items()} == {
            "img0001": ["event1"],
            "img0002": ["event2", "event3"],
        }
        await store.apply(
            IMAGES, [Change(id="img0002", pull_pending=["event2"]), Change(id="img0001", pull_pending=["event1"])]
        )
        waiting = dict(await store.pending(IMAGES, limit=10))
        assert {key: [e.event_id for e in events] for key, events in waiting.items()} == {"img0002": ["event3"]}

    async def test_pending_documents_are_paged_by_age(self, store: RecordStore) -> None:
        for number in (3, 1, 4, 2, 5):
            await store.insert(IMAGES, [image(number, pending=[event(number)])])
            await asyncio.sleep(0.005)  # The age is kept in milliseconds by some engines.
        await store.insert(IMAGES, [image(number, pending=[event(number)]) for number in (7, 6, 8)])
        seen: list[str] = []
        after: str | None = None
        while page := await store.pending(IMAGES, limit=2, after=after):
            seen += [key for key, _ in page]
            after = seen[-1]
        assert seen[:5] == ["img0003", "img0001", "img0004", "img0002", "img0005"]
        assert sorted(seen[5:]) == ["img0006", "img0007", "img0008"]
        await store.apply(IMAGES, [Change(id="img0004", pull_pending=["event4"])])
        whole = [key for key, _ in await store.pending(IMAGES, limit=10)]
        for vanished in ("img0004", "absent"):
            assert [key for key, _ in await store.pending(IMAGES, limit=10, after=vanished)] == whole

    async def test_a_document_carries_its_pending_events_in_their_order(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(2), event(1)]), image(2)])
        await store.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed"}, push={"pending": [event(3)]})])
        whole = (await store.get(IMAGES, ["img0001"]))["img0001"]
        assert whole["pending"] == [event(2), event(1), event(3)]
        page = await store.find(IMAGES, Query(where=(Clause("state", "eq", "analyzed"),)))
        assert page.documents == [whole]
        pull = Change(id="img0001", pull_pending=["event2", "event1"], when=(Clause("state", "eq", "analyzed"),))
        assert await store.apply(IMAGES, [pull]) == {"img0001"}
        left = await store.get(IMAGES, ["img0001", "img0002"])
        assert {key: found["pending"] for key, found in left.items()} == {"img0001": [event(3)], "img0002": []}

    async def test_a_change_that_does_not_happen_leaves_no_event(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)])])
        guard = (Clause("state", "eq", "analyzed"),)
        changes = [
            Change(id="img0001", push={"pending": [event(2)]}, pull_pending=["event1"], when=guard),
            Change(id="absent", push={"pending": [event(3)]}),
        ]
        assert await store.apply(IMAGES, changes) == set()
        ((key, waiting),) = await store.pending(IMAGES, limit=10)
        assert (key, [one.event_id for one in waiting]) == ("img0001", ["event1"])

    async def test_clearing_events_tells_which_documents_exist(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)]), image(2)])
        changes = [Change(id=key, pull_pending=["event1"]) for key in ("img0001", "img0002", "absent")]
        assert await store.apply(IMAGES, changes) == {"img0001", "img0002"}
        assert await store.pending(IMAGES, limit=10) == []

    async def test_a_deleted_document_takes_its_events_along(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)]), image(2, pending=[event(1)])])
        await store.delete(IMAGES, ["img0001"])
        assert [key for key, _ in await store.pending(IMAGES, limit=10)] == ["img0002"]
        await store.insert(IMAGES, [image(1)])
        assert (await store.get(IMAGES, ["img0001"]))["img0001"]["pending"] == []

    async def test_what_was_written_is_there_for_another_handle(
        self, store: RecordStore, reopen: Callable[[], RecordStore]
    ) -> None:
        await store.insert(IMAGES, [image(1, pending=[event(1)])])
        other = reopen()
        await other.open()
        try:
            assert set(await other.get(IMAGES, ["img0001"])) == {"img0001"}
            assert await other.tally(IMAGES, "state") == {("ingested",): 1}
            await other.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed"})])
        finally:
            await other.close()
        assert (await store.get(IMAGES, ["img0001"]))["img0001"]["state"] == "analyzed"
        assert await store.tally(IMAGES, "state") == {("analyzed",): 1}

    async def test_many_documents_at_once(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n) for n in range(1500)])
        assert len(await store.get(IMAGES, [f"img{n:04}" for n in range(1500)])) == 1500
        changed = await store.apply(IMAGES, [Change(id=f"img{n:04}", set={"state": "analyzed"}) for n in range(1500)])
        assert len(changed) == 1500

    async def test_fields_are_all_that_a_projection_holds(self, store: RecordStore) -> None:
        position = {"ra_deg": 1.5, "x": 0.25}
        observation = {"survey": "sdss", "name": "M31", "simulated": True, "position": position}
        await store.insert(
            IMAGES,
            [
                image(1, observation=observation, p_value=0.5, pending=[event(1)]),
                image(2, analysis={"model_digest": "a"}),
            ],
        )
        fields = ("p_value", "observation.name", "observation.simulated", "analysis.model_digest", "observation.extra")
        for asked in (fields[:4], fields, (*fields, "image_id")):
            found = await store.get(IMAGES, ["img0001", "img0002", "absent"], fields=asked)
            rare = {"extra": None} if "observation.extra" in asked else {}
            assert found == {
                "img0001": {
                    "image_id": "img0001",
                    "p_value": 0.5,
                    "observation": {"name": "M31", "simulated": True, **rare},
                    "analysis": {"model_digest": None},
                },
                "img0002": {
                    "image_id": "img0002",
                    "p_value": None,
                    "observation": {"name": "SDSS J0002", "simulated": None, **rare},
                    "analysis": {"model_digest": "a"},
                },
            }
        nested = await store.get(IMAGES, ["img0001"], fields=("observation.position", "observation.position.x"))
        assert nested["img0001"] == {"image_id": "img0001", "observation": {"position": position}}
        assert (await store.get(IMAGES, ["img0001"], fields=["pending"]))["img0001"]["pending"] == [event(1)]

    async def test_pages_of_a_projection_follow_each_other(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n, p_value=(n % 3) / 10, verdict="anomaly") for n in range(11)])
        for fields in (("verdict",), ("labels", "verdict")):
            seen: list[dict[str, Any]] = []
            query = Query(order=Order("p_value", descending=True), limit=4, fields=fields)
            async for page in pages(store, IMAGES, query):
                seen += page
            assert [document["verdict"] for document in seen] == ["anomaly"] * 11
            assert {document["image_id"] for document in seen} == {f"img{n:04}" for n in range(11)}
            assert {frozenset(document) for document in seen} == {frozenset({"image_id", *fields})}
            assert [int(document["image_id"][3:]) % 3 for document in seen] == [2] * 3 + [1] * 4 + [0] * 4

    async def test_binary_fields_come_only_when_asked_for(self, store: RecordStore) -> None:
        analysis = {"model_digest": "a", "embedding": "ADwAQABC"}
        await store.insert(IMAGES, [image(1, analysis=analysis), image(2, analysis=None), image(3, analysis={"a": 1})])
        await store.apply(IMAGES, [Change(id="img0002", set={"analysis": analysis, "state": "analyzed"})])
        whole = await store.get(IMAGES, ["img0001", "img0002", "img0003"])
        assert [whole[key]["analysis"] for key in sorted(whole)] == [{"model_digest": "a"}] * 2 + [{"a": 1}]
        page = await store.find(IMAGES, Query(order=Order("state")))
        assert {document["image_id"]: document for document in page.documents} == whole
        assert await _embeddings(store) == ["ADwAQABC", "ADwAQABC", None]
        for fields in (("image_id", "analysis.embedding"), ("analysis.embedding", "labels")):
            page = await store.find(IMAGES, Query(fields=fields))
            found = {document["image_id"]: document["analysis"]["embedding"] for document in page.documents}
            assert found == {"img0001": "ADwAQABC", "img0002": "ADwAQABC", "img0003": None}
        with_all = await store.get(IMAGES, ["img0001"], fields=("analysis", "analysis.embedding"))
        assert with_all["img0001"] == {"image_id": "img0001", "analysis": analysis}

    async def test_binary_fields_follow_every_write(self, store: RecordStore) -> None:
        def analyzed(embedding: str | None) -> dict[str, Any]:
            return {"model_digest": "a", "embedding": embedding}

        await store.insert(IMAGES, [image(n, analysis=analyzed("AAAA")) for n in (1, 2, 3)])
        # What does not touch it, leaves it; what replaces the analysis, replaces it.
        await store.apply(IMAGES, [Change(id="img0001", set={"state": "analyzed", "analysis.model_digest": "b"})])
        await store.apply(IMAGES, [Change(id="img0002", set={"analysis": analyzed("BBBB")})])
        await store.apply(IMAGES, [Change(id="img0003", set={"analysis": None})])
        assert await _embeddings(store) == ["AAAA", "BBBB", None]
        await store.apply(IMAGES, [Change(id="img0001", set={"analysis.embedding": "CCCC"})])
        await store.apply(IMAGES, [Change(id="img0003", set={"analysis": analyzed("")})])
        await store.upsert(IMAGES, [image(2, analysis=analyzed(None)), image(4, analysis=analyzed("DDDD"))])
        assert await _embeddings(store) == ["CCCC", None, None, "DDDD"]
        with pytest.raises(PermanentError, match="base64"):
            await store.insert(IMAGES, [image(5, analysis=analyzed("no base64!"))])

    @pytest.mark.parametrize("radius", range(9))
    async def test_near_finds_what_brute_force_finds(self, store: RecordStore, radius: int) -> None:
        chance = random.Random(radius)
        seeds = [chance.getrandbits(64) for _ in range(6)]
        values = [_flipped(chance.choice(seeds), chance.randrange(12), chance) for _ in range(300)]
        await store.insert(IMAGES, [image(n, phash=f"{value:016x}") for n, value in enumerate(values)])
        wanted = [*seeds, chance.getrandbits(64)]
        expected = [
            sorted((bits, n) for n, value in enumerate(values) if (bits := (value ^ one).bit_count()) <= radius)[:10]
            for one in wanted
        ]
        assert any(expected)
        found = await store.near(IMAGES, [f"{one:016x}" for one in wanted], radius=radius, limit=10)
        assert found == [[(f"img{n:04}", bits) for bits, n in hits] for hits in expected]

    async def test_near_follows_every_write(self, store: RecordStore) -> None:
        async def at(value: int) -> list[tuple[str, int]]:
            (found,) = await store.near(IMAGES, [f"{value:016x}"], radius=2, limit=10)
            return found

        old, new = 0, 2**64 - 1
        await store.insert(IMAGES, [image(n, phash=f"{old:016x}") for n in (1, 2, 3)])
        await store.insert(
            IMAGES, [image(1, phash=f"{new:016x}"), image(5), image(6, phash=None), image(7, phash="no")]
        )
        assert await at(old) == [("img0001", 0), ("img0002", 0), ("img0003", 0)]
        assert await at(new) == []
        await store.upsert(IMAGES, [image(1, phash=f"{new:016x}"), image(4, phash=f"{new ^ 1:016x}")])
        await store.apply(IMAGES, [Change(id="img0002", set={"state": "analyzed"})])
        assert await at(old) == [("img0002", 0), ("img0003", 0)]
        assert await at(new) == [("img0001", 0), ("img0004", 1)]
        await store.apply(IMAGES, [Change(id="img0003", set={"phash": f"{new ^ 3:016x}"})])
        await store.delete(IMAGES, ["img0001", "img0002"])
        assert await at(old) == []
        assert await at(new) == [("img0004", 1), ("img0003", 2)]
        await store.upsert(IMAGES, [image(4)])
        assert await at(new) == [("img0003", 2)]

    async def test_near_shows_nothing_of_itself(self, store: RecordStore) -> None:
        document = image(1, phash="0" * 16)
        await store.insert(IMAGES, [document])
        await store.apply(IMAGES, [Change(id="img0001", set={"phash": "1" * 16})])
        page = await store.find(IMAGES, Query())
        assert page.documents == [{**document, "phash": "1" * 16}]
        assert await store.get(IMAGES, ["img0001"]) == {"img0001": {**document, "phash": "1" * 16}}

    async def test_crowded_keys_stay_bounded_and_answer(self, store: RecordStore) -> None:
        blank, lonely = "0" * 16, "f" * 16
        count = 12 * KEY_LIMIT
        await store.insert(IMAGES, [image(n, phash=blank) for n in range(count)] + [image(9999, phash=lonely)])
        crowded, alone = await store.near(IMAGES, [blank, lonely], radius=4, limit=5)
        assert alone == [("img9999", 0)]
        assert len(crowded) == 5
        assert {bits for _, bits in crowded} == {0}
        # The newest are looked at, and the older of these come first.
        numbers = [int(document_id[3:]) for document_id, _ in crowded]
        assert numbers == sorted(numbers)
        assert numbers[0] > 0

    async def test_near_of_nothing_and_of_no_hash(self, store: RecordStore) -> None:
        assert await store.near(IMAGES, [], radius=4, limit=10) == []
        assert await store.near(IMAGES, ["0" * 16, "f" * 16], radius=4, limit=10) == [[], []]
        with pytest.raises(UndeclaredField, match="sources"):
            await store.near(Collection.SOURCES, ["0" * 16], radius=4, limit=10)


async def _embeddings(store: RecordStore) -> list[str | None]:
    """The embeddings of all images, by id."""
    ids = [f"img{n:04}" for n in range(1, 5)]
    found = await store.get(IMAGES, ids, fields=["analysis.embedding"])
    return [found[document_id]["analysis"]["embedding"] for document_id in ids if document_id in found]


def _flipped(value: int, bits: int, chance: random.Random) -> int:
    for bit in chance.sample(range(64), bits):
        value ^= 1 << bit
    return value
