"""Watchlists: an image at a person's place is found once, whether it came before or after, and only he is told."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from astrolens.contracts.records import ImageRecord
from astrolens.contracts.verdicts import Verdict
from astrolens.contracts.watchlists import WatchHit
from astrolens.crossref import watchlists as module
from astrolens.crossref.watchlists import Watchlists
from astrolens.local_catalogues.catalogue_folder import LocalCatalogues
from astrolens.local_catalogues.importing import ImportOptions, import_table
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Order, Query

from tests.unit.crossref.crossref_fakes import EPOCH, World, image

PLACES = ((150.0, 2.0), (0.0001, -30.0), (80.0, 89.9))


class Watching:
    """A world with a folder of catalogues."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.unfinished = asyncio.Event()

    def service(self, *, publish_unreleased: bool = False) -> Watchlists:
        return Watchlists(
            records=self.world.records,
            catalogues=LocalCatalogues(self.folder),
            publish_unreleased=publish_unreleased,
            stopping=asyncio.Event(),
            unfinished=self.unfinished,
            clock=self.world.clock,
        )

    def watch(
        self, name: str = "mine", *, places: tuple[tuple[float, float], ...] = PLACES, notify: tuple[str, ...] = ()
    ) -> None:
        table = self.folder.parent / f"{name}.csv"
        lines = [f"place {number},{ra},{dec}" for number, (ra, dec) in enumerate(places)]
        table.write_text("\n".join(["name,ra,dec", *lines]) + "\n")
        import_table(table, ImportOptions(name=name, watchlist=True, notify=notify), folder=self.folder)

    async def hits(self) -> list[WatchHit]:
        query = Query(order=Order("raised_at"), limit=1000)
        found = (await self.world.records.find(Collection.WATCH_HITS, query)).documents
        return [WatchHit.model_validate(each) for each in found]


@pytest.fixture
def watching(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watching:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    return Watching(world, tmp_path / "catalogues")


def at(
    number: int, place: tuple[float, float], arcsec: float = 0.0, *, analyzed_at: datetime = EPOCH, **given: object
) -> ImageRecord:
    position = (place[0], place[1] - arcsec / 3600.0)
    made = image(number, position=position, verdict=Verdict.ORDINARY, analyzed_at=analyzed_at)
    return made.model_copy(update={"observation": made.observation.model_copy(update=given)})


async def test_an_image_at_a_place_is_found_whatever_its_verdict_and_only_once(watching: Watching) -> None:
    watching.watch(notify=("mailto #1",))
    after_the_list = datetime(2100, 1, 1, tzinfo=UTC)
    near, far = at(1, PLACES[0], 2.0, analyzed_at=after_the_list), at(2, PLACES[0], 60.0)
    pole, wrapped = at(3, (260.0, 89.9999)), at(4, (359.9999, -30.0), 1.0)
    await watching.world.records.upsert(Collection.IMAGES, [near, far, pole, wrapped])
    service, other = watching.service(), watching.service()
    ids = [each.image_id for each in (near, far, pole, wrapped)]
    found = await asyncio.gather(service.match_images(ids), other.match_images(ids), service.match_images(ids))
    assert sum(found) == 2
    first, second = sorted(await watching.hits(), key=lambda hit: hit.place)
    assert (first.image_id, first.place, first.watchlist, first.seen_before) == (
        near.image_id,
        "place 0",
        "mine",
        False,
    )
    assert first.separation_arcsec == pytest.approx(2.0, abs=1e-3)
    assert [each.channel for each in first.deliveries] == ["mailto #1"]
    assert first.undelivered
    assert second.image_id == wrapped.image_id


async def test_a_list_without_channels_waits_for_nobody(watching: Watching) -> None:
    watching.watch()
    picture = at(1, PLACES[0])
    await watching.world.records.upsert(Collection.IMAGES, [picture])
    await watching.service().match_images([picture.image_id])
    (hit,) = await watching.hits()
    assert (hit.deliveries, hit.undelivered) == ((), False)


async def test_what_was_seen_before_the_list_is_found_part_by_part_and_not_again(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PLACES_PER_PASS", 2)
    pictures = [at(number, PLACES[number], 1.0) for number in range(3)]
    waiting = at(4, PLACES[0]).model_copy(update={"analyzed_at": None, "analysis": None})
    await watching.world.records.upsert(Collection.IMAGES, [*pictures, waiting])
    await watching.service().run_pass()
    assert await watching.hits() == []
    watching.watch(notify=("mailto #1",))
    await watching.service().run_pass()
    assert watching.unfinished.is_set()
    watching.unfinished.clear()
    await watching.service().run_pass()
    assert not watching.unfinished.is_set()
    hits = await watching.hits()
    assert {hit.image_id for hit in hits} == {each.image_id for each in pictures}
    assert all(hit.seen_before for hit in hits)
    # Imported again, with a place more: what was found stays, nobody is told twice.
    watching.watch(places=(*PLACES, (33.0, 3.0)), notify=("mailto #1",))
    later = at(7, (33.0, 3.0))
    await watching.world.records.upsert(Collection.IMAGES, [later])
    for _ in range(3):
        await watching.service().run_pass()
    assert len(await watching.hits()) == 4


async def test_an_image_whose_event_was_lost_is_found_by_the_walk(watching: Watching) -> None:
    watching.watch()
    await watching.service().run_pass()
    watching.world.clock.move(300.0)
    lost = at(1, PLACES[1]).model_copy(update={"analyzed_at": EPOCH + timedelta(seconds=200)})
    await watching.world.records.upsert(Collection.IMAGES, [lost])
    await watching.service().run_pass()
    (hit,) = await watching.hits()
    assert hit.image_id == lost.image_id


async def test_nobody_is_told_of_injections_made_skies_or_what_is_not_released(watching: Watching) -> None:
    watching.watch(notify=("mailto #1",))
    injected, simulated = at(1, PLACES[0], injected=True), at(2, PLACES[0], simulated=True)
    withheld = at(3, PLACES[0], survey="ztf", extra={"programid": "3"})
    nowhere = at(4, PLACES[0], position=None)
    pictures = [injected, simulated, withheld, nowhere]
    await watching.world.records.upsert(Collection.IMAGES, pictures)
    assert await watching.service().match_images([each.image_id for each in pictures]) == 0
    assert await watching.service(publish_unreleased=True).match_images([each.image_id for each in pictures]) == 1


async def test_a_catalogue_of_the_sky_is_no_watchlist(watching: Watching) -> None:
    m31 = at(1, (10.6847, 41.2687))
    await watching.world.records.upsert(Collection.IMAGES, [m31])
    assert await watching.service().match_images([m31.image_id]) == 0
