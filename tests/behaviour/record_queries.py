"""What every record store must do with queries: clauses, pages, orders, projections."""

import base64
from dataclasses import replace
from typing import Any, Literal

import pytest
from astrolens.platform.errors import PermanentError, UndeclaredField
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import MAX_CONTAINING, Change, Clause, Order, Query, RecordStore

from tests.behaviour.record_documents import IMAGES, event, image


class RecordQueryBehaviour:
    """A part of `RecordStoreBehaviour`."""

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

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize("limit", [1, 3, 100])
    async def test_bounds_of_the_order_hold_on_every_page(
        self, store: RecordStore, limit: int, *, descending: bool
    ) -> None:
        # Ties at both bounds, documents without a value, and others that the equality leaves out.
        states = ("analyzed", "ingested")
        await store.insert(
            IMAGES,
            [image(n, p_value=(n % 5) / 10, state=states[n % 3 == 0]) for n in range(40)]
            + [image(n, state="analyzed") for n in range(90, 93)],
        )
        for low, high in ((("gte", 0.1), ("lte", 0.3)), (("gt", 0.0), ("lt", 0.4)), (("gte", 0.1), ("gt", 0.0))):
            bounds = tuple(Clause("p_value", *bound) for bound in (low, high))
            query = Query(
                where=(Clause("state", "eq", "analyzed"), *bounds),
                order=Order("p_value", descending=descending),
                limit=limit,
                fields=("p_value",),
            )
            seen = [(each["p_value"], each["image_id"]) async for page in pages(store, IMAGES, query) for each in page]
            most = 4 if high[0] == "gt" else 3
            expected = [((n % 5) / 10, f"img{n:04}") for n in range(40) if n % 3 and 1 <= n % 5 <= most]
            assert seen == sorted(expected, reverse=descending)

    @pytest.mark.parametrize(("op", "value", "expected"), [("eq", 0.1, [1]), ("eq", None, []), ("ne", 0.1, [2])])
    async def test_an_order_leaves_out_what_has_no_value_whatever_is_asked_of_its_field(
        self, store: RecordStore, op: Literal["eq", "ne"], value: float | None, expected: list[int]
    ) -> None:
        await store.insert(IMAGES, [image(1, p_value=0.1), image(2, p_value=0.2), image(3)])
        query = Query(where=(Clause("p_value", op, value),), order=Order("p_value"))
        found = [document["image_id"] for document in (await store.find(IMAGES, query)).documents]
        assert found == [f"img{n:04}" for n in expected]

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
    @pytest.mark.parametrize("wanted", [("contains", "c 1.5 (B"), ("prefix", "UGC 1.5 (")])
    async def test_a_part_of_a_name_is_found_on_every_page(
        self, store: RecordStore, wanted: tuple[Literal["contains", "prefix"], str], *, frequent: bool
    ) -> None:
        """Also where more documents hold it than may narrow a query."""
        count = MAX_CONTAINING + 5 if frequent else 5
        held = {"survey": "sdss", "name": "UGC 1.5 (b)", "position": None}
        documents = [image(n, p_value=n / 10_000, observation=held) for n in range(count)]
        await store.insert(IMAGES, [*documents, image(9998, p_value=1.0), image(9999, observation={"name": None})])
        for order in (None, Order("p_value", descending=True)):
            query = Query(where=(Clause("observation.name", *wanted),), order=order, limit=count - 2)
            first = await store.find(IMAGES, query)
            second = await store.find(IMAGES, replace(query, after=first.next))
            found = [document["image_id"] for document in (*first.documents, *second.documents)]
            ids = [document["image_id"] for document in documents]
            assert found == (ids if order is None else ids[::-1])
            assert second.next is None

    async def test_documents_are_counted_within_bounds(self, store: RecordStore) -> None:
        await store.insert(IMAGES, [image(n, state="analyzed" if n % 2 else "ingested") for n in range(40)])
        analyzed = Clause("state", "eq", "analyzed")
        assert await store.count(IMAGES, (), limit=100, within_s=30) == 40
        assert await store.count(IMAGES, (analyzed,), limit=100, within_s=30) == 20
        assert await store.count(IMAGES, (analyzed,), limit=7, within_s=30) == 7
        first_ten = Clause("image_id", "lt", "img0010")
        assert await store.count(IMAGES, (analyzed, first_ten), limit=100, within_s=30) == 5
        named = [image(n, observation={"survey": "sdss", "name": f"NGC {n}", "position": None}) for n in range(90, 95)]
        await store.insert(IMAGES, named)
        part = Clause("observation.name", "contains", "gc 9")
        assert await store.count(IMAGES, (part, Clause("image_id", "exists", True)), limit=100, within_s=30) == 5
        assert await store.count(IMAGES, (part, Clause("observation.survey", "eq", "efigi")), limit=9, within_s=30) == 0
        assert await store.count(IMAGES, (part,), limit=3, within_s=30) == 3
        begins = Clause("observation.name", "prefix", "NGC 9")
        assert await store.count(IMAGES, (begins, Clause("image_id", "exists", True)), limit=100, within_s=30) == 5
        assert await store.count(IMAGES, (begins,), limit=3, within_s=30) == 3
        some = Clause("image_id", "in", ["img0001", "img0002", "img0003"])
        assert await store.count(IMAGES, (analyzed, some), limit=100, within_s=30) == 2
        with pytest.raises(UndeclaredField):
            await store.count(IMAGES, (Clause("credit", "eq", 1),), limit=1, within_s=30)

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
