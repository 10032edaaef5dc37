"""Originals go only while their record says ordinary and unlabelled, whoever writes when and whatever fails."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts.base import utc_text
from astrolens.contracts.ids import alert_id
from astrolens.ingestor.retention import GRACE, INTERVAL_S, Retention, remove_expiry_rule
from astrolens.platform.errors import ConfigurationError, StoreUnavailable
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.images import Expiry
from astrolens.platform.stores.records import Change
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.usecases.originals import OriginalsProtection

EXAMPLE = json.loads((Path(__file__).resolve().parents[3] / "schemas/examples/records/image.json").read_text())
NOW = datetime(2026, 6, 1, tzinfo=UTC)

Step = Callable[[], Awaitable[None]]


class MarkingStore(FolderImageStore):
    """A folder that can mark; something may happen, or go wrong, before any of its steps."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.marked: set[str] = set()
        self.days: int | None = None
        self.steps = 0
        self.before: dict[int, Step] = {}

    @property
    def expiry(self) -> Expiry:
        return self

    async def expire_after(self, days: int) -> None:
        self.days = days

    async def mark_expendable(self, keys: Sequence[str]) -> None:
        await self._step()
        self.marked |= set(keys)
        await self._step()

    async def unmark_expendable(self, keys: Sequence[str]) -> None:
        await self._step()
        self.marked -= set(keys)
        await self._step()

    async def _step(self) -> None:
        self.steps += 1
        if (happening := self.before.pop(self.steps, None)) is not None:
            await happening()


class Sky:
    """Records, a store that marks, and the one who marks."""

    def __init__(self, records: SqliteRecordStore, store: MarkingStore) -> None:
        self.records = records
        self.store = store
        self.now = NOW

    def retention(self, *, days: int = 30) -> Retention:
        return Retention(records=self.records, originals=self.store, days=days, clock=lambda: self.now)

    async def add(self, name: str, *, days_ago: float = 2.0, **changes: Any) -> str:
        image = hashlib.sha256(name.encode()).hexdigest()[:32]
        record = {
            **EXAMPLE,
            "image_id": image,
            "original": {**EXAMPLE["original"], "key": f"originals/{name}"},
            "state": "analyzed",
            "verdict": "ordinary",
            "analyzed_at": utc_text(self.now - timedelta(days=days_ago)),
            "label": None,
            "labeled_at": None,
            "labels": [],
            "pending": [],
            **changes,
        }
        await self.records.insert(Collection.IMAGES, [record])
        return image

    async def label(self, image: str) -> None:
        """As the console does."""
        documents = await self.records.get(Collection.IMAGES, [image])
        async with OriginalsProtection(self.store, expiring=True).protect_from_expiry(documents.values()):
            change = Change(id=image, set={"label": "interesting", "labeled_at": utc_text(self.now)})
            await self.records.apply(Collection.IMAGES, [change])


@pytest.fixture
async def sky(tmp_path: Path) -> AsyncIterator[Sky]:
    records, store = SqliteRecordStore(tmp_path / "records.sqlite"), MarkingStore(tmp_path / "images")
    await records.open()
    await store.open()
    yield Sky(records, store)
    await store.close()
    await records.close()


async def test_only_ordinary_unlabelled_images_past_the_grace_are_marked(sky: Sky) -> None:
    await sky.add("ordinary")
    await sky.add("fresh", days_ago=GRACE.days * 0.99)
    await sky.add("labelled", label="ordinary", labeled_at=utc_text(NOW))
    await sky.add("near miss", verdict="near_miss")
    await sky.add("anomaly", verdict="anomaly")
    await sky.add("on its way again", state="ingested")
    told = await sky.add("told of")
    await sky.records.insert(Collection.ALERTS, [{"alert_id": alert_id(told), "image_id": told}])
    assert await sky.retention().run_pass() == 1
    assert sky.store.marked == {"originals/ordinary"}
    assert sky.store.days == 30
    sky.now += timedelta(hours=1)
    assert await sky.retention().run_pass() == 1, "the one whose grace is over"
    assert sky.store.marked == {"originals/ordinary", "originals/fresh"}


async def test_pages_follow_each_other_and_a_restart_goes_on_where_it_was(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrolens.ingestor.retention._PAGE", 3)
    for n in range(10):
        await sky.add(f"n{n}", days_ago=20 - n)

    async def fail() -> None:
        raise StoreUnavailable("no answer")

    # A page takes six steps; the pass is cut off when it marks the second page.
    sky.store.before = {9: fail}
    with pytest.raises(StoreUnavailable):
        await sky.retention().run_pass()
    assert len(sky.store.marked) == 3
    assert await sky.retention().run_pass() == 8, "the last of the page that was marked is read again"
    assert len(sky.store.marked) == 10
    sky.store.marked.clear()
    assert await sky.retention().run_pass() == 0, "what is behind is not looked at again"


async def test_a_label_or_another_verdict_takes_the_mark_off(sky: Sky) -> None:
    labelled, strange = await sky.add("labelled"), await sky.add("strange")
    await sky.retention().run_pass()
    assert len(sky.store.marked) == 2
    await sky.label(labelled)
    assert sky.store.marked == {"originals/strange"}
    change = Change(id=strange, set={"verdict": "near_miss", "analyzed_at": utc_text(sky.now)})
    await sky.records.apply(Collection.IMAGES, [change])
    await sky.retention().run_pass()
    assert sky.store.marked == set()


@pytest.mark.parametrize("step", range(1, 9))
async def test_a_label_at_any_moment_of_a_pass_wins(sky: Sky, step: int) -> None:
    image = await sky.add("m51")

    async def label() -> None:
        await sky.label(image)

    sky.store.before = {step: label}
    await sky.retention().run_pass()
    if sky.store.before:
        await sky.label(image)
    assert sky.store.marked == set()


@pytest.mark.parametrize("step", range(1, 5))
async def test_a_pass_at_any_moment_of_a_label_leaves_no_mark(sky: Sky, step: int) -> None:
    image = await sky.add("m51")

    async def one_pass() -> None:
        await sky.retention().run_pass()

    sky.store.before = {step: one_pass}
    await sky.label(image)
    assert sky.store.before == {}
    assert sky.store.marked == set()


@pytest.mark.parametrize("step", range(1, 9))
async def test_a_pass_cut_off_anywhere_is_mended_by_the_next(sky: Sky, step: int) -> None:
    labelled, other = await sky.add("labelled"), await sky.add("other")

    async def fail() -> None:
        # Written while the pass hangs, without its second look at the marks: the labeller died as well.
        change = Change(id=labelled, set={"label": "artefact", "labeled_at": utc_text(sky.now)})
        await sky.records.apply(Collection.IMAGES, [change])
        raise StoreUnavailable("gone")

    sky.store.before = {step: fail}
    try:
        await sky.retention().run_pass()
    except StoreUnavailable:
        sky.now += timedelta(seconds=INTERVAL_S)
    sky.store.before = {}
    await sky.retention().run_pass()
    record = (await sky.records.get(Collection.IMAGES, [labelled]))[labelled]
    assert ("originals/labelled" in sky.store.marked) == (record["label"] is None)
    assert "originals/other" in sky.store.marked
    assert other


async def test_nothing_is_written_where_the_mark_cannot_be_taken_off(sky: Sky) -> None:
    image = await sky.add("m51")

    async def fail() -> None:
        raise StoreUnavailable("the image store is away")

    sky.store.before = {1: fail}
    with pytest.raises(StoreUnavailable):
        await sky.label(image)
    assert (await sky.records.get(Collection.IMAGES, [image]))[image]["label"] is None


async def test_labels_given_while_nothing_expired_are_found_before_the_rule_comes_back(sky: Sky) -> None:
    image = await sky.add("m51")
    await sky.retention().run_pass()
    sky.now += timedelta(days=1)
    await remove_expiry_rule(sky.store, condition=Condition())
    assert sky.store.days == 0
    change = Change(id=image, set={"label": "interesting", "labeled_at": utc_text(sky.now)})
    await sky.records.apply(Collection.IMAGES, [change])
    assert sky.store.marked == {"originals/m51"}

    async def no_rule_yet() -> None:
        assert sky.store.days == 0

    sky.now += timedelta(days=1)
    sky.store.steps, sky.store.before = 0, {2: no_rule_yet}
    await sky.retention().run_pass()
    assert (sky.store.before, sky.store.days, sky.store.marked) == ({}, 30, set())


async def test_without_an_age_the_rule_is_removed_and_that_is_all(sky: Sky) -> None:
    await sky.add("m51")
    await asyncio.wait_for(remove_expiry_rule(sky.store, condition=Condition()), timeout=5)
    assert (sky.store.days, sky.store.steps) == (0, 0)


async def test_the_rule_is_removed_once_the_store_answers(sky: Sky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astrolens.ingestor.retention._RULE_RETRY_S", 0.001)
    tries = iter([StoreUnavailable("no answer"), StoreUnavailable("no answer"), None])

    async def expire_after(days: int) -> None:
        if (error := next(tries)) is not None:
            raise error
        sky.store.days = days

    monkeypatch.setattr(sky.store, "expire_after", expire_after)
    condition = Condition()
    await asyncio.wait_for(remove_expiry_rule(sky.store, condition=condition), timeout=5)
    assert sky.store.days == 0
    assert condition.last_errors == ("originals may still expire: no answer",)
    assert condition.detail is None


async def test_credentials_that_may_not_set_the_rule_are_a_wrong_setting(
    sky: Sky, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def expire_after(days: int) -> None:
        raise ConfigurationError(f"may not set a rule of {days} days")

    monkeypatch.setattr(sky.store, "expire_after", expire_after)
    with pytest.raises(ConfigurationError, match="rule of 0 days"):
        await asyncio.wait_for(remove_expiry_rule(sky.store, condition=Condition()), timeout=5)
    with pytest.raises(ConfigurationError, match="rule of 30 days"):
        await sky.retention().run_pass()


async def test_a_record_without_its_original_does_not_hold_up_the_others(sky: Sky) -> None:
    await sky.add("unreadable", days_ago=3.0, original=None)
    await sky.add("m51")
    assert await sky.retention().run_pass() == 1
    assert sky.store.marked == {"originals/m51"}


async def test_a_console_where_nothing_expires_asks_nothing_of_the_store(sky: Sky, tmp_path: Path) -> None:
    documents = [{"original": {"key": "originals/a"}}]
    async with OriginalsProtection(sky.store, expiring=False).protect_from_expiry(documents):
        assert sky.store.steps == 0
    async with OriginalsProtection(FolderImageStore(tmp_path / "plain"), expiring=True).protect_from_expiry(documents):
        assert sky.store.steps == 0
