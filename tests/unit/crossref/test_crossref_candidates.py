"""Candidates from their analysis to their late answers: unknown is never novel, and nothing is lost."""

from datetime import timedelta
from pathlib import Path

import pytest
from astrolens.contracts import examples
from astrolens.contracts.catalogues import CrossmatchStatus, MatchStatus
from astrolens.contracts.events import ImageEnriched
from astrolens.contracts.verdicts import Verdict
from astrolens.crossref.handlers import image_enriched
from astrolens.crossref.registry import ChosenCatalogue
from astrolens.platform.stores.collections import Collection

from tests.catalogues.services import FAULTS, FakeSimbad
from tests.catalogues.sky import Thing
from tests.unit.crossref.crossref_fakes import EPOCH, World, image, opened


async def test_a_known_object_is_known_with_its_counterpart(world: World, simbad: FakeSimbad) -> None:
    simbad.sky.things.append(Thing("NGC 1", 150.0003, 2.0, references=12, redshift=0.02))
    picture = image(1)
    await world.analysed(picture)
    assert (await world.record(picture)).revision == 0
    assert await world.worker.run_pass() == 1
    record = await world.record(picture)
    assert (record.status, record.revision, record.next_try_at) == (CrossmatchStatus.KNOWN, 1, None)
    (event,) = world.events()
    (answer,) = event.catalogues
    assert answer.status is MatchStatus.MATCHED
    (counterpart,) = answer.counterparts
    assert (counterpart.name, counterpart.references, counterpart.redshift) == ("NGC 1", 12, 0.02)
    assert counterpart.separation_arcsec == pytest.approx(1.08, abs=0.01)
    assert counterpart.link is not None
    assert not event.possible_discovery
    assert event.references == 12
    (document,) = (await world.records.get(Collection.IMAGES, [picture.image_id])).values()
    assert document["crossmatch_status"] == "known", "lists are filtered by the copy in the image"


async def test_only_looked_for_and_not_found_is_a_possible_discovery(world: World, simbad: FakeSimbad) -> None:
    simbad.sky.things.append(Thing("far", 150.02, 2.0))
    picture = image(1)
    await world.analysed(picture)
    await world.worker.run_pass()
    (event,) = world.events()
    assert event.status is CrossmatchStatus.UNMATCHED
    assert event.possible_discovery
    (nearest,) = event.catalogues[0].counterparts
    assert (nearest.name, nearest.matches) == ("far", False), "the nearest known object is always reported"


@pytest.mark.parametrize("fault", [each for each in FAULTS if each not in {"empty", "lost-rows"}])
async def test_no_fault_reads_as_none(world: World, simbad: FakeSimbad, fault: str) -> None:
    simbad.fault = fault
    picture = image(1)
    await world.analysed(picture)
    await world.worker.run_pass()
    (event,) = world.events()
    assert event.status is CrossmatchStatus.UNDETERMINED
    assert event.catalogues[0].status is MatchStatus.FAILED
    assert event.catalogues[0].detail
    assert not event.possible_discovery
    assert (await world.record(picture)).next_try_at is not None


@pytest.mark.parametrize("fault", ["empty", "lost-rows"])
async def test_an_empty_answer_is_not_believed_without_its_canary(world: World, simbad: FakeSimbad, fault: str) -> None:
    await world.catalogues.crossmatch([])
    await world.clients[0].check_canaries(within_s=5)
    simbad.fault = "empty"
    await world.analysed(image(1))
    await world.worker.run_pass()
    simbad.fault = fault
    world.clock.move(3700)  # an hour later the canaries are due, with a known count
    await world.analysed(image(2))
    await world.worker.run_pass()
    assert {event.status for event in world.events()} == {CrossmatchStatus.UNDETERMINED}


async def test_a_late_answer_becomes_a_revision(world: World, simbad: FakeSimbad) -> None:
    simbad.fault = "http-503"
    picture = image(1)
    await world.analysed(picture)
    await world.worker.run_pass()
    simbad.fault = None
    await world.worker.run_pass()
    assert len(world.events()) == 1, "it is not due yet"
    world.clock.move(60)
    await world.worker.run_pass()
    first, second = world.events()
    assert (first.status, first.revision) == (CrossmatchStatus.UNDETERMINED, 1)
    assert (second.status, second.revision) == (CrossmatchStatus.UNMATCHED, 2)
    assert (await world.record(picture)).next_try_at is None


async def test_the_same_failure_again_is_no_news_and_pauses_grow(world: World, simbad: FakeSimbad) -> None:
    simbad.fault = "html"
    picture = image(1)
    await world.analysed(picture)
    pauses = []
    for _ in range(6):
        await world.worker.run_pass()
        record = await world.record(picture)
        pauses.append((record.next_try_at - world.clock.now).total_seconds())
        world.clock.move(pauses[-1])
    assert len(world.events()) == 1
    assert pauses == [30, 60, 120, 240, 480, 960]


async def test_after_an_outage_what_waits_is_asked_at_once(world: World, simbad: FakeSimbad) -> None:
    simbad.fault = "http-503"
    pictures = [image(number, position=(150.0 + number, 2.0)) for number in range(5)]
    await world.analysed(*pictures)
    for _ in range(5):
        await world.worker.run_pass()
        world.clock.move(500)
    simbad.fault = None
    world.clock.move(700)
    await world.clients[0].check_canaries(within_s=5)
    await world.worker.run_pass()
    assert {(await world.record(picture)).status for picture in pictures} == {CrossmatchStatus.UNMATCHED}


async def test_an_image_without_a_position_is_undetermined_for_that_reason(world: World, simbad: FakeSimbad) -> None:
    nowhere, simulated = image(1, position=None), image(2, simulated=True)
    await world.analysed(nowhere, simulated)
    assert {event.reason.code for event in world.events()} == {"no-position", "simulated-sky"}
    assert {event.status for event in world.events()} == {CrossmatchStatus.UNDETERMINED}
    assert await world.worker.run_pass() == 0
    assert simbad.asked == []


async def test_ordinary_images_are_not_asked_about(world: World, simbad: FakeSimbad) -> None:
    await world.analysed(image(1, verdict=Verdict.ORDINARY))
    assert await world.worker.run_pass() == 0
    assert simbad.asked == []
    assert world.events() == []


async def test_another_analysis_is_published_with_the_answers_that_are_there(world: World, simbad: FakeSimbad) -> None:
    await world.analysed(image(1))
    await world.worker.run_pass()
    asked = len(simbad.asked)
    await world.analysed(image(1, model="b", verdict=Verdict.ORDINARY))
    await world.analysed(image(1, model="b", verdict=Verdict.ORDINARY))
    first, second = world.events()
    assert (second.revision, second.verdict, second.model_digest) == (2, Verdict.ORDINARY, "b" * 64)
    assert second.status is first.status
    assert len(simbad.asked) == asked


async def test_events_that_come_twice_change_nothing(world: World) -> None:
    await world.analysed(image(1))
    await world.analysed(image(1))
    await world.worker.run_pass()
    await world.analysed(image(1))
    assert await world.worker.run_pass() == 0
    assert len(world.events()) == 1


async def test_answers_are_cached_by_place(world: World, simbad: FakeSimbad) -> None:
    await world.analysed(image(1))
    await world.worker.run_pass()
    asked = len(simbad.asked)
    await world.analysed(image(2, position=(150.00005, 2.00005)))
    await world.worker.run_pass()
    assert len(simbad.asked) == asked
    answer = world.events()[-1].catalogues[0]
    assert answer.status is MatchStatus.NONE
    assert answer.cache_age_s is not None


async def test_none_is_believed_for_a_day_and_stale_afterwards(world: World, simbad: FakeSimbad) -> None:
    await world.analysed(image(1))
    await world.worker.run_pass()
    simbad.fault = "http-503"
    world.clock.move(86_400 + 60)
    await world.analysed(image(2))
    await world.worker.run_pass()
    answer = world.events()[-1].catalogues[0]
    assert answer.status is MatchStatus.STALE
    assert answer.cache_age_s == pytest.approx(86_460, abs=5)
    assert "days old" in answer.detail
    assert world.events()[-1].status is CrossmatchStatus.UNDETERMINED, "that there was none is not believed so long"


async def test_an_object_that_was_known_stays_known_while_the_catalogue_is_away(
    world: World, simbad: FakeSimbad
) -> None:
    simbad.sky.things.append(Thing("NGC 1", 150.0003, 2.0))
    await world.analysed(image(1))
    await world.worker.run_pass()
    simbad.fault = "http-503"
    world.clock.move(40 * 86_400)
    await world.analysed(image(2))
    await world.worker.run_pass()
    event = world.events()[-1]
    assert (event.status, event.catalogues[0].status) == (CrossmatchStatus.KNOWN, MatchStatus.STALE)
    assert (await world.record(image(2))).next_try_at is not None


async def test_a_person_may_ask_again_past_the_cache(world: World, simbad: FakeSimbad) -> None:
    picture = image(1)
    await world.analysed(picture)
    await world.worker.run_pass()
    simbad.sky.things.append(Thing("NGC 1", 150.0003, 2.0))
    record = await world.record(picture)
    again = record.model_copy(update={"again": True, "next_try_at": world.clock.now})
    await world.records.upsert(Collection.CROSSMATCHES, [again])
    await world.worker.run_pass()
    assert [event.status for event in world.events()] == [CrossmatchStatus.UNMATCHED, CrossmatchStatus.KNOWN]
    assert not (await world.record(picture)).again


async def test_what_a_dead_replica_claimed_is_due_again_and_asked_from_the_cache(
    world: World, simbad: FakeSimbad, tmp_path: Path
) -> None:
    picture = image(1)
    await world.analysed(picture)
    claimed = await world.worker._claim()
    await world.catalogues.crossmatch([world_place(claimed[0])])  # asked, and killed before the record was written
    asked = len(simbad.asked)
    assert await world.worker.run_pass() == 0, "it is claimed"
    world.clock.move(61)
    assert await world.worker.run_pass() == 1
    assert len(simbad.asked) == asked
    assert len(world.events()) == 1


def world_place(record: object) -> object:
    from astrolens.crossref.worker import _place

    return _place(record)  # type: ignore[arg-type]


async def test_two_replicas_share_a_batch_without_asking_twice(world: World, simbad: FakeSimbad) -> None:
    pictures = [image(number, position=(100.0 + number, 2.0)) for number in range(20)]
    await world.analysed(*pictures)
    other = World(
        world.records,
        {"/simbad": simbad},
        clock=world.clock,
        catalogues=[ChosenCatalogue(world.clients[0].catalogue, required=True)],
    )
    await other.http.open()
    import asyncio

    answered = await asyncio.gather(world.worker.run_pass(), other.worker.run_pass())
    await other.http.close()
    assert sum(answered) == 20
    keys = [key for key in simbad.keys if not key.startswith("canary")]
    assert sorted(keys) == sorted(picture.image_id for picture in pictures)
    assert len(world.events()) + len(other.events()) == 20


async def test_what_a_crash_left_unpublished_is_not_lost(world: World) -> None:
    world.outbox.down = True
    picture = image(1)
    await world.analysed(picture)
    await world.worker.run_pass()
    assert len((await world.record(picture)).pending) == 1


async def test_too_many_rows_are_asked_in_parts(tmp_path: Path, simbad: FakeSimbad) -> None:
    simbad.max_rows = 30
    simbad.sky.things += [
        Thing(f"{place}-{number}", 150.0 + place + number * 1e-4, 2.0) for place in range(4) for number in range(12)
    ]
    async with opened(tmp_path, simbad) as world:
        world.clients[0].catalogue.canaries = world.clients[0].catalogue.canaries[:1]
        await world.analysed(*(image(place, position=(150.0 + place, 2.0)) for place in range(4)))
        await world.worker.run_pass()
    assert {event.status for event in world.events()} == {CrossmatchStatus.KNOWN}
    assert simbad.asked[1:] == [5, 3, 3]


def enriched(picture: object, *filled: str) -> ImageEnriched:
    """The event of a later arrival that filled some fields."""
    later = examples.image().later[0].model_copy(update={"filled": filled})
    return ImageEnriched.of(picture.image_id, later, survey="sdss", service="test")  # type: ignore[attr-defined]


async def test_a_candidate_whose_position_comes_later_is_matched_again(world: World, simbad: FakeSimbad) -> None:
    simbad.sky.things.append(Thing("NGC 1", 150.0003, 2.0))
    await world.analysed(image(1, position=None))
    placed = image(1)
    await world.records.upsert(Collection.IMAGES, [placed])
    handle = image_enriched(world.candidates, world.objects, world.watchlists)
    assert await handle([enriched(placed, "name", "credit")]) == []
    assert await world.worker.run_pass() == 0, "a name is no place"
    world.clock.move(15 * 86_400)
    for _ in range(2):
        assert await handle([enriched(placed, "position")]) == []
    simbad.fault = "http-503"
    assert await world.worker.run_pass() == 1
    simbad.fault = None
    world.clock.move(60)
    assert await world.worker.run_pass() == 1, "asked as long as any other, however old the candidate is"
    events = world.events()
    assert [(event.revision, event.reason.code) for event in events] == [
        (1, "no-position"),
        (2, "catalogue-failed"),
        (3, "matched"),
    ]
    assert {event.image_id for event in events} == {placed.image_id}
    assert (await world.record(placed)).next_try_at is None


async def test_a_time_that_comes_later_asks_again_and_other_places_are_news(world: World, simbad: FakeSimbad) -> None:
    await world.analysed(image(1))
    await world.worker.run_pass()
    handle = image_enriched(world.candidates, world.objects, world.watchlists)
    for number, (place, time) in enumerate([((150.0, 2.0), EPOCH), ((151.0, 2.0), EPOCH)]):
        world.clock.move(1)
        placed = image(1, position=place, observed_at=time)
        await world.records.upsert(Collection.IMAGES, [placed])
        assert await handle([enriched(placed, "observed_at" if number == 0 else "position")]) == []
        assert await world.worker.run_pass() == 1
        assert (await world.record(placed)).observed_at == EPOCH
    assert [event.revision for event in world.events()] == [1, 2, 3], "the same words of another place are news"


async def test_an_answer_about_the_old_place_does_not_settle_the_new_one(world: World, simbad: FakeSimbad) -> None:
    await world.analysed(image(1))
    claimed = await world.worker._claim()
    world.clock.move(1)
    simbad.sky.things.append(Thing("NGC 1", 160.0, 2.0))
    placed = image(1, position=(160.0, 2.0))
    await world.records.upsert(Collection.IMAGES, [placed])
    assert await image_enriched(world.candidates, world.objects, world.watchlists)([enriched(placed, "position")]) == []
    assert await world.worker.answer(claimed) == 0, "these answers are of another place"
    assert world.events() == []
    assert await world.worker.run_pass() == 1
    (event,) = world.events()
    assert event.status is CrossmatchStatus.KNOWN


async def test_an_analysis_that_comes_with_a_place_is_published_with_its_answers(world: World) -> None:
    await world.analysed(image(1, position=None))
    world.clock.move(1)
    later = image(1, model="b", analyzed_at=EPOCH + timedelta(seconds=1))
    await world.analysed(later)
    assert len(world.events()) == 1, "what was said of no place is not said of this one"
    await world.worker.run_pass()
    event = world.events()[-1]
    assert (event.revision, event.status, event.model_digest) == (2, CrossmatchStatus.UNMATCHED, "b" * 64)


async def test_a_simulated_sky_is_never_asked_about(world: World, simbad: FakeSimbad) -> None:
    await world.analysed(image(1, position=None, simulated=True))
    placed = image(1, simulated=True)
    await world.records.upsert(Collection.IMAGES, [placed])
    assert await image_enriched(world.candidates, world.objects, world.watchlists)([enriched(placed, "position")]) == []
    assert await world.worker.run_pass() == 0
    assert simbad.asked == []


@pytest.mark.parametrize("kind", ["*", "V*", "SN*"])
async def test_a_star_in_the_frame_never_becomes_a_possible_discovery_by_the_predicted_class(
    world: World, simbad: FakeSimbad, kind: str
) -> None:
    simbad.sky.things.append(Thing("a star", 150.0003, 2.0, kind=kind))
    picture = image(1)
    assert picture.analysis is not None
    assert picture.analysis.predicted_class in {"smooth", "spiral", "edge-on", "irregular"}
    await world.analysed(picture)
    await world.worker.run_pass()
    (event,) = world.events()
    assert event.status is CrossmatchStatus.KNOWN, "every picture has a class of galaxies, a star's as well"
    assert not event.possible_discovery
