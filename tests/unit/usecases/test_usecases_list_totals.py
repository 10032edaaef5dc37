"""Totals of lists: exact where that is cheap, else about, and the same whichever way they are found."""

from dataclasses import replace
from typing import Any

import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change, Document, RecordStore, to_document
from astrolens.usecases import list_totals
from astrolens.usecases.coordinates import Cone
from astrolens.usecases.image_queries import ImageFilter, Sort
from astrolens.usecases.list_totals import ListTotals, Total

from tests.made_records import make_image

IMAGES = 600


@pytest.fixture
async def archive(records: RecordStore) -> list[Document]:
    """Two surveys, a fifth of the images not analysed, all around one place."""
    made = []
    for n in range(IMAGES):
        document: dict[str, Any] = to_document(make_image(f"galaxy-{n}", position=(10.0 + n / 3600, 0.0))[0])
        verdict = None if n % 5 == 0 else Verdict.ANOMALY if n % 5 == 1 else Verdict.ORDINARY
        document |= {"verdict": verdict, "rank_score": None if verdict is None else float(n)}
        document["state"] = "ingested" if verdict is None else "analyzed"
        document["observation"]["survey"] = "efigi" if n % 2 else "sdss"
        made.append(document)
    await records.insert(Collection.IMAGES, made)
    return made


def fitting(archive: list[Document], **values: Any) -> int:
    return sum(all((each["observation"] | each)[name] == value for name, value in values.items()) for each in archive)


@pytest.mark.parametrize("sampled", [False, True])
async def test_lists_that_a_tally_knows_are_exact_at_any_length(
    records: RecordStore, archive: list[Document], monkeypatch: pytest.MonkeyPatch, *, sampled: bool
) -> None:
    if sampled:
        monkeypatch.setattr(list_totals, "EXACT_BELOW", 1)
    totals = ListTotals(records=records)
    anomalies = ImageFilter(verdicts=(Verdict.ANOMALY,))
    assert await totals.of_images(ImageFilter(), sort=Sort.NEWEST) == Total(IMAGES)
    assert await totals.of_images(ImageFilter(), sort=Sort.STRANGENESS) == Total(
        IMAGES - fitting(archive, verdict=None)
    )
    assert await totals.of_images(anomalies, sort=Sort.STRANGENESS) == Total(fitting(archive, verdict="anomaly"))
    both = replace(anomalies, surveys=("efigi",))
    assert await totals.of_images(both, sort=Sort.STRANGENESS) == Total(
        fitting(archive, verdict="anomaly", survey="efigi")
    )
    assert await totals.of_images(ImageFilter(unlabeled=True), sort=Sort.NEWEST) == Total(IMAGES)


async def test_other_lists_are_counted_while_they_are_short_and_sampled_beyond(
    records: RecordStore, archive: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ImageFilter(name="galaxy-1", verdicts=(Verdict.ORDINARY,))
    exact = sum(each["observation"]["name"].startswith("galaxy-1") for each in archive if each["verdict"] == "ordinary")
    assert await ListTotals(records=records).of_images(wanted, sort=Sort.NEWEST) == Total(exact)
    monkeypatch.setattr(list_totals, "EXACT_BELOW", exact)
    monkeypatch.setattr(list_totals, "SAMPLE_SIZE", IMAGES // 2)
    about = await ListTotals(records=records).of_images(wanted, sort=Sort.NEWEST)
    assert not about.exact
    assert about.count == pytest.approx(exact, rel=0.35)
    # Too few in the sample, or no time at all: not known, and nothing is made up.
    monkeypatch.setattr(list_totals, "MIN_SAMPLED", IMAGES)
    assert await ListTotals(records=records).of_images(wanted, sort=Sort.NEWEST) == Total(None, exact=False)


async def test_a_count_that_takes_too_long_is_given_up(records: RecordStore, archive: list[Document]) -> None:
    clauses = ImageFilter(name="galaxy", unlabeled=True).clauses()
    assert await records.count(Collection.IMAGES, clauses, limit=10_000, within_s=30) == IMAGES
    big = [to_document(make_image(f"more-{n}")[0]) for n in range(3000)]
    await records.insert(Collection.IMAGES, big)
    assert await records.count(Collection.IMAGES, clauses, limit=10_000, within_s=-1) is None
    # And the next one is not cut short by it.
    assert await records.count(Collection.IMAGES, clauses, limit=10_000, within_s=30) == IMAGES


async def test_a_cone_is_counted_by_distance(
    records: RecordStore, archive: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    cone = Cone(ra_deg=10.0 + 100 / 3600, dec_deg=0.0, radius_arcsec=50.5)
    assert await ListTotals(records=records).of_images(ImageFilter(cone=cone), sort=Sort.NEWEST) == Total(101)
    monkeypatch.setattr(list_totals, "BATCH_SIZE", 50)
    about = await ListTotals(records=records).of_images(ImageFilter(cone=cone), sort=Sort.NEWEST)
    assert not about.exact
    assert about.count == pytest.approx(101, rel=0.1)


async def test_objects_are_counted_where_a_list_has_one_image_an_object(
    records: RecordStore, archive: list[Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    anomalies = ImageFilter(verdicts=(Verdict.ANOMALY,), per="object")
    chosen = [each for each in archive if each["verdict"] == Verdict.ANOMALY]
    changes = [Change(each["image_id"], set={"object_id": f"{n // 3:032x}"}) for n, each in enumerate(chosen[:60])]
    await records.apply(Collection.IMAGES, changes)
    expected = 20 + len(chosen) - 60
    assert await ListTotals(records=records).of_images(anomalies, sort=Sort.NEWEST) == Total(expected)
    monkeypatch.setattr(list_totals, "BATCH_SIZE", 50)
    assert await ListTotals(records=records).of_images(anomalies, sort=Sort.NEWEST) == Total(expected)
    monkeypatch.setattr(list_totals, "EXACT_BELOW", 60)
    about = await ListTotals(records=records).of_images(anomalies, sort=Sort.NEWEST)
    assert not about.exact
    assert about.count is not None
    assert about.count < len(chosen)


async def test_a_total_is_kept_for_the_pages_of_a_list(records: RecordStore, archive: list[Document]) -> None:
    totals = ListTotals(records=records)
    assert (await totals.of_images(ImageFilter(), sort=Sort.NEWEST)).count == IMAGES
    await records.delete(Collection.IMAGES, [archive[0]["image_id"]])
    assert (await totals.of_images(ImageFilter(), sort=Sort.NEWEST)).count == IMAGES
    assert (await totals.of(Collection.IMAGES, ())).count == IMAGES - 1
