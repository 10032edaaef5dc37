"""Images of one object get one id, whoever links them, in whatever order, and however often."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from astrolens.contracts.events import ImageAnalyzed
from astrolens.contracts.ids import object_id
from astrolens.contracts.records import ImageRecord
from astrolens.contracts.verdicts import Verdict
from astrolens.crossref.handlers import image_analyzed
from astrolens.crossref.sky_objects import ObjectLinker
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change

from tests.catalogues.services import FakeSimbad
from tests.catalogues.sky import Thing
from tests.unit.crossref.crossref_fakes import EPOCH, World, image

DEC = 2.0


def sighting(number: int, arcsec: float, *, verdict: Verdict = Verdict.ANOMALY, simulated: bool = False) -> ImageRecord:
    """An image so far north of a place; a larger number was ingested later."""
    made = image(number, position=(150.0, DEC + arcsec / 3600.0), verdict=verdict, simulated=simulated)
    return made.model_copy(update={"ingested_at": EPOCH + timedelta(minutes=number)})


async def object_ids(world: World, pictures: Sequence[ImageRecord]) -> list[str | None]:
    ids = [each.image_id for each in pictures]
    found = await world.records.get(Collection.IMAGES, ids, fields=("object_id",))
    return [found[each]["object_id"] for each in ids]


async def answered(world: World, *pictures: ImageRecord) -> None:
    await world.analysed(*pictures)
    await world.worker.run_pass()


async def test_five_images_of_one_strange_galaxy_are_one_object_before_anything_is_published(world: World) -> None:
    pictures = [sighting(number, number * 0.9) for number in range(5)]
    await answered(world, *pictures, sighting(9, 100.0))
    assert await object_ids(world, pictures) == [object_id(pictures[0].image_id)] * 5
    assert await object_ids(world, [sighting(9, 100.0)]) == [object_id(sighting(9, 100.0).image_id)]


async def test_later_images_keep_the_id_of_the_first_whichever_is_answered_first(world: World) -> None:
    pictures = [sighting(number, number * 2.0) for number in range(4)]
    for picture in reversed(pictures):
        await answered(world, picture)
    # As each came, the ones of an earlier time were not there yet: the id moved to the earliest.
    assert await object_ids(world, pictures) == [object_id(pictures[0].image_id)] * 4


async def test_an_image_between_two_objects_merges_them_under_the_earlier_id(world: World) -> None:
    south, north, between = sighting(1, 0.0), sighting(2, 8.0), sighting(3, 4.0)
    await answered(world, south, north)
    assert await object_ids(world, [south, north]) == [object_id(south.image_id), object_id(north.image_id)]
    await answered(world, between)
    assert await object_ids(world, [south, north, between]) == [object_id(south.image_id)] * 3


async def test_a_late_answer_that_tells_two_objects_apart_splits_them(world: World, simbad: FakeSimbad) -> None:
    simbad.fault = "http-503"
    south, north = sighting(1, 0.0), sighting(2, 4.0)
    await answered(world, south, north)
    assert await object_ids(world, [south, north]) == [object_id(south.image_id)] * 2
    simbad.fault = None
    simbad.sky.things += [Thing("south", 150.0, DEC), Thing("north", 150.0, DEC + 4.0 / 3600.0)]
    world.clock.move(7200.0)
    for client in world.clients:
        await client.check_canaries(within_s=5.0)
    await world.worker.run_pass()
    assert await object_ids(world, [south, north]) == [object_id(south.image_id), object_id(north.image_id)]


async def test_a_known_galaxy_links_images_beyond_their_error_radius(world: World, simbad: FakeSimbad) -> None:
    simbad.sky.things.append(Thing("large", 150.0, DEC, major_arcmin=3.0))
    pictures = [sighting(1, -20.0), sighting(2, 22.0)]
    await answered(world, *pictures)
    assert await object_ids(world, pictures) == [object_id(pictures[0].image_id)] * 2


async def test_ordinary_images_join_what_is_there_and_alone_they_get_no_id(world: World) -> None:
    candidate = sighting(1, 0.0)
    await answered(world, candidate)
    joins, alone = sighting(2, 1.0, verdict=Verdict.ORDINARY), sighting(3, 200.0, verdict=Verdict.ORDINARY)
    await world.records.upsert(Collection.IMAGES, [joins, alone])
    handle = image_analyzed(world.candidates, world.objects, world.watchlists)
    assert await handle([analyzed(joins), analyzed(alone)]) == []
    assert await object_ids(world, [candidate, joins, alone]) == [object_id(candidate.image_id)] * 2 + [None]


async def test_simulated_images_and_blind_injections_are_never_linked(world: World) -> None:
    real, simulated, injected = sighting(1, 0.0), sighting(2, 0.5, simulated=True), sighting(3, 1.0)
    injected = injected.model_copy(update={"observation": injected.observation.model_copy(update={"injected": True})})
    await answered(world, real, simulated, injected)
    await world.objects.link([each.image_id for each in (real, simulated, injected)])
    assert await object_ids(world, [real, simulated, injected]) == [object_id(real.image_id), None, None]


async def test_an_image_that_moves_away_leaves_its_object_and_the_rest_stays_one(world: World) -> None:
    first, second, third = (sighting(number, number * 1.0) for number in (1, 2, 3))
    await answered(world, first, second, third)
    moved = sighting(1, 500.0)
    await world.records.upsert(
        Collection.IMAGES, [moved.model_copy(update={"object_id": (await object_ids(world, [first]))[0]})]
    )
    await world.objects.link([first.image_id])
    ids = await object_ids(world, [first, second, third])
    assert ids == [object_id(first.image_id), object_id(second.image_id), object_id(second.image_id)]


@pytest.mark.parametrize("seed", range(3))
async def test_replicas_that_link_at_once_agree(world: World, seed: int) -> None:
    """A chain: whoever sees less than all of it would cut it."""
    pictures = [sighting(number, 3.0 * ((number * (seed + 2)) % 7)) for number in range(7)]
    replicas = [ObjectLinker(world.records) for _ in range(3)]
    await world.records.upsert(Collection.IMAGES, pictures[:3])

    async def arrive() -> None:
        for picture in pictures[3:]:
            await world.records.insert(Collection.IMAGES, [picture])
            await replicas[2].link([picture.image_id])

    await asyncio.gather(
        replicas[0].link([each.image_id for each in pictures[:3]]),
        replicas[1].link([each.image_id for each in reversed(pictures[:3])]),
        arrive(),
    )
    assert await object_ids(world, pictures) == [object_id(pictures[0].image_id)] * 7


async def test_a_replica_that_saw_less_cannot_undo_what_one_that_saw_more_wrote(world: World) -> None:
    south, north, between = sighting(1, 0.0), sighting(2, 8.0), sighting(3, 4.0)
    await world.records.upsert(Collection.IMAGES, [south, north])
    slow, quick = ObjectLinker(world.records), ObjectLinker(world.records)
    apply, held = world.records.apply, asyncio.Event()

    async def late(collection: Collection, changes: Sequence[Change]) -> set[str]:
        await held.wait()
        return await apply(collection, changes)

    world.records.apply = late  # type: ignore[method-assign]
    writing = asyncio.create_task(slow.link([south.image_id, north.image_id]))
    await asyncio.sleep(0.05)
    world.records.apply = apply  # type: ignore[method-assign]
    await world.records.insert(Collection.IMAGES, [between])
    await quick.link([between.image_id])
    held.set()
    await writing
    assert await object_ids(world, [south, north, between]) == [object_id(south.image_id)] * 3


async def test_linking_again_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [sighting(number, number * 0.9) for number in range(3)]
    await answered(world, *pictures)

    async def never(*_: object) -> set[str]:
        raise AssertionError("nothing has changed")

    monkeypatch.setattr(world.records, "apply", never)
    await world.objects.link([each.image_id for each in pictures])


def analyzed(picture: ImageRecord) -> ImageAnalyzed:
    assert picture.analysis is not None
    return ImageAnalyzed(
        event_id=picture.image_id,
        producer="analyzer",
        occurred_at=EPOCH,
        image_id=picture.image_id,
        survey=picture.observation.survey,
        model_digest=picture.analysis.model_digest,
        calibration_id=picture.analysis.calibration_id,
        predicted_class=picture.analysis.predicted_class,
        p_value=picture.analysis.p_value,
        verdict=picture.analysis.verdict,
    )
