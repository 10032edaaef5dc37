"""Every query that the services make walks an index: no page of the console reads the whole archive."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from astrolens.platform.stores.collections import DECLARATIONS, Collection
from astrolens.platform.stores.records import Clause, Operator, Order, Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore

IMAGES, RECEIPTS, ALERTS = Collection.IMAGES, Collection.RECEIPTS, Collection.ALERTS
STRANGE = ["anomaly", "near_miss"]
Where = tuple[tuple[str, Operator, Any], ...]

WALKED: list[tuple[Collection, Where, str]] = [
    # What services look for by themselves.
    (IMAGES, (("state", "eq", "ingested"), ("offered_at", "lt", "2026")), "offered_at"),
    (IMAGES, (("analysis.model_digest", "eq", "d"), ("analyzed_at", "gte", "2026")), "analyzed_at"),
    (IMAGES, (("verdict", "eq", "anomaly"), ("analyzed_at", "gte", "2026")), "analyzed_at"),
    (
        IMAGES,
        (("verdict", "eq", "ordinary"), ("analyzed_at", "gte", "2025"), ("analyzed_at", "lte", "2026")),
        "analyzed_at",
    ),
    (
        IMAGES,
        (("verdict", "eq", "near_miss"), ("morphology.quality", "exists", False), ("analyzed_at", "gte", "2026")),
        "analyzed_at",
    ),
    (IMAGES, (("labeled_at", "gte", "2026"),), "labeled_at"),
    (IMAGES, (("object_id", "eq", "x"),), "ingested_at"),
    (IMAGES, (("ingested_at", "gte", "2026"), ("ingested_at", "lt", "2027")), "ingested_at"),  # the discovery list
    (RECEIPTS, (("outcome", "eq", "received"), ("received_at", "lt", "2026")), "received_at"),
    (ALERTS, (("undelivered", "eq", True),), "raised_at"),
    (Collection.WATCH_HITS, (("undelivered", "eq", True),), "raised_at"),
    # The console's lists and their filters.
    *((IMAGES, (), field) for field in ("ingested_at", "rank_score", "labeled_at", "analyzed_at")),
    *((IMAGES, (), f"morphology.{name}") for name in ("asymmetry", "concentration", "gini", "ring_score")),
    *((IMAGES, ((field, "eq", "x"),), "ingested_at") for field in ("state", "verdict", "source", "batch")),
    *((IMAGES, ((field, "eq", "x"),), "ingested_at") for field in ("predicted_class", "observation.survey")),
    *((IMAGES, ((field, "eq", "x"),), "rank_score") for field in ("verdict", "observation.survey")),
    (IMAGES, (("label", "exists", False),), "ingested_at"),
    (IMAGES, (("ingested_at", "gte", "2026"),), "ingested_at"),
    *((RECEIPTS, ((field, "eq", "x"),), "received_at") for field in ("batch", "source", "reason.code")),
    (RECEIPTS, (), "received_at"),
    (ALERTS, (), "raised_at"),
    (ALERTS, (("survey", "eq", "sdss"), ("raised_at", "gte", "2026")), "raised_at"),
    (ALERTS, (("predicted_class", "eq", "x"),), "raised_at"),
    (ALERTS, (("updated_at", "gte", "2026"),), "updated_at"),
    (Collection.DEAD_LETTERS, (), "dead_lettered_at"),
    (Collection.DEAD_LETTERS, (("state", "eq", "open"),), "dead_lettered_at"),
]
"""Read in order, as far as the page goes."""

NARROWED: list[tuple[Collection, Where, str]] = [
    (IMAGES, (("verdict", "in", STRANGE),), "rank_score"),
    (IMAGES, (("verdict", "in", STRANGE), ("label", "exists", False)), "rank_score"),
    (IMAGES, (("verdict", "in", STRANGE), ("analyzed_at", "gte", "2026")), "analyzed_at"),
    (IMAGES, (("label", "eq", "artefact"),), "ingested_at"),
    (IMAGES, (("label", "in", ["artefact", "ordinary"]),), "labeled_at"),
    (IMAGES, (("batch", "eq", "b"),), "rank_score"),
    (IMAGES, (("object_id", "in", ["x", "y"]),), "ingested_at"),
    (
        IMAGES,
        tuple(
            bound
            for axis in "xyz"
            for bound in (
                (f"observation.position.{axis}", "gte", 0.1),
                (f"observation.position.{axis}", "lte", 0.1003),
            )
        ),
        "ingested_at",
    ),
    (RECEIPTS, (("image_id", "eq", "x"),), "received_at"),
]
"""An index finds the few that fit, and these are sorted."""


async def plan(path: Path, collection: Collection, where: Where, order: str) -> list[str]:
    """The steps of SQLite's planner for the statement that the store really sends."""
    store = SqliteRecordStore(path)
    await store.open()
    statements: list[str] = []
    assert store._reader is not None
    store._reader.set_trace_callback(statements.append)
    await store.find(collection, Query(tuple(Clause(*clause) for clause in where), Order(order, descending=True)))
    await store.close()
    with sqlite3.connect(path) as database:
        steps = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")]
    database.close()
    return steps


@pytest.mark.parametrize(("collection", "where", "order"), WALKED)
async def test_a_list_is_read_in_order_as_far_as_its_page(
    tmp_path: Path, collection: Collection, where: Where, order: str
) -> None:
    (step,) = await plan(tmp_path / "records.sqlite", collection, where, order)
    assert step.startswith(f"SEARCH {collection} USING INDEX {collection}_f_")


@pytest.mark.parametrize(("collection", "where", "order"), NARROWED)
async def test_what_must_be_sorted_is_narrowed_first(
    tmp_path: Path, collection: Collection, where: Where, order: str
) -> None:
    step, sorting = await plan(tmp_path / "records.sqlite", collection, where, order)
    assert step.startswith(f"SEARCH {collection} USING INDEX")
    assert sorting == "USE TEMP B-TREE FOR ORDER BY"


@pytest.mark.parametrize("field", ["image_id", "observation.name"])
async def test_the_beginning_of_a_text_is_looked_for_in_its_index(tmp_path: Path, field: str) -> None:
    (step,) = await plan(tmp_path / "records.sqlite", IMAGES, ((field, "prefix", "abcd"),), "ingested_at")
    assert step.startswith(f"SEARCH {IMAGES} USING COVERING INDEX")


def test_indexes_name_declared_fields_and_none_is_the_beginning_of_another() -> None:
    for declared in DECLARATIONS.values():
        assert {field for fields in declared.indexes for field in fields} <= set(declared.fields)
        for fields in declared.indexes:
            longer = [other for other in declared.indexes if other != fields and other[: len(fields)] == fields]
            assert not longer
