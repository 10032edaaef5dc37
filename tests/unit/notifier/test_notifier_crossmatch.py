"""What the catalogues say, in alerts: waited for, revised, and never more than they told."""

from datetime import timedelta

from astrolens.contracts.catalogues import CrossmatchStatus, MatchStatus
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import handlers, message_text
from astrolens.notifier.alert_service import CROSSMATCH_WAIT
from astrolens.notifier.lifecycle import is_outdated
from astrolens.notifier.message_text import AlertWithImage

from tests.unit.notifier.notifier_fakes import EPOCH, World, candidate, image


async def test_an_alert_says_what_every_catalogue_answered(world: World) -> None:
    picture = image(1)
    await world.put(picture, status=MatchStatus.MATCHED)
    await handlers.candidate_matched(world.service())([candidate(picture, status=MatchStatus.MATCHED)])
    (packet,) = world.outbox.packets()
    assert packet.crossmatch_status is CrossmatchStatus.KNOWN
    assert [answer.catalogue for answer in packet.catalogues] == ["simbad", "ned"]
    assert packet.catalogues[0].counterparts[0].name == "M 51"
    assert not packet.possible_discovery


async def test_a_late_answer_updates_the_alert_under_its_id(world: World) -> None:
    picture = image(1)
    service = world.service("mailto #1")
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    await world.put(picture, status=MatchStatus.NONE, revision=2)
    await handlers.candidate_matched(service)([candidate(picture, status=MatchStatus.NONE, revision=2)] * 2)
    first, second = world.outbox.packets()
    assert first.alert_id == second.alert_id
    assert (first.alert_type, first.crossmatch_status) == ("initial", CrossmatchStatus.UNDETERMINED)
    assert (second.alert_type, second.crossmatch_status) == ("update", CrossmatchStatus.UNMATCHED)
    assert (first.possible_discovery, second.possible_discovery) == (False, True)
    alert = await world.alert(picture)
    assert alert is not None
    assert alert.occasion == "possible-discovery"
    text = message_text.single_alert(AlertWithImage(alert, picture), console="http://localhost")
    assert text.title.startswith("Possible discovery: spiral in sdss")
    assert "Catalogues: looked for and not found" in text.body


async def test_the_same_said_again_is_no_message(world: World) -> None:
    picture = image(1)
    service = world.service("mailto #1")
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    # Asked again, and analysed again under another budget: other ids, the same figures and answers.
    analysis = picture.analysis
    assert analysis is not None
    later = analysis.model_copy(update={"calibration_id": "other", "analyzed_at": world.clock() + timedelta(hours=1)})
    again = picture.model_copy(update={"analysis": later})
    await world.put(again, revision=2)
    world.clock.now += timedelta(hours=2)
    await handlers.candidate_matched(service)([candidate(again, revision=2)])
    assert [packet.alert_type for packet in world.outbox.packets()] == ["initial"]
    alert = await world.alert(picture)
    assert alert is not None
    assert (alert.alert_type, alert.updated_at, alert.revision) == ("initial", None, 0)
    assert (alert.calibration_id, alert.crossmatch_revision) == ("other", 2)
    given = {"label": alert.label, "tags": alert.tags, "matched": 2}
    assert not is_outdated(alert, later.analyzed_at, **given), "the sweep has nothing left to do"
    # Other figures are news.
    figures = later.model_copy(update={"p_value": later.p_value / 2})
    await world.put(picture.model_copy(update={"analysis": figures}), revision=3)
    await handlers.candidate_matched(service)([candidate(again, revision=3)])
    assert [packet.alert_type for packet in world.outbox.packets()] == ["initial", "update"]


async def test_people_are_told_when_a_discovery_is_none_after_all(world: World) -> None:
    picture = image(1)
    service = world.service("mailto #1")
    await world.put(picture, status=MatchStatus.NONE)
    await handlers.candidate_matched(service)([candidate(picture, status=MatchStatus.NONE)])
    await world.put(picture, status=MatchStatus.MATCHED, revision=2)
    await handlers.candidate_matched(service)([candidate(picture, status=MatchStatus.MATCHED, revision=2)])
    alert = await world.alert(picture)
    assert alert is not None
    assert (alert.alert_type, alert.occasion, alert.undelivered) == ("update", "no-discovery", True)
    text = message_text.single_alert(AlertWithImage(alert, picture), console="http://localhost")
    assert text.title.startswith("No discovery after all")
    assert "simbad has M 51" in text.body


async def test_a_candidate_that_is_none_any_more_is_retracted(world: World) -> None:
    picture = image(1)
    await world.put(picture)
    await handlers.candidate_matched(world.service())([candidate(picture)])
    again = image(1, verdict=Verdict.ORDINARY, p_value=0.5, model="b")
    await world.put(again, revision=2)
    await handlers.candidate_matched(world.service())([candidate(again, revision=2)])
    assert [packet.alert_type for packet in world.outbox.packets()] == ["initial", "retraction"]


async def test_the_sweep_waits_for_the_catalogues_and_not_for_ever(world: World) -> None:
    picture = image(1)
    await world.put(picture, status=None)
    service = world.service()
    assert await service.repair({picture.image_id: EPOCH}) == {}
    assert await world.alert(picture) is None
    world.clock.now = EPOCH + CROSSMATCH_WAIT + timedelta(seconds=1)
    assert await service.repair({picture.image_id: EPOCH}) == {}
    (packet,) = world.outbox.packets()
    assert packet.crossmatch_status is CrossmatchStatus.UNDETERMINED
    assert packet.crossmatch_reason == "the crossref service has not asked the catalogues"
    await world.put(picture, status=MatchStatus.NONE, revision=1)
    await service.repair({picture.image_id: EPOCH})
    assert [each.alert_type for each in world.outbox.packets()] == ["initial", "update"], "a lost event is repaired"
