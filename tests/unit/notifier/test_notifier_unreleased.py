"""What a survey has not released reaches no public topic and no channel."""

from typing import Any

import pytest
from astrolens.contracts import examples
from astrolens.contracts.catalogues import MatchStatus
from astrolens.contracts.data_rights import is_unreleased
from astrolens.contracts.image_files import FileHeader
from astrolens.contracts.records import ImageRecord
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import public_alerts
from astrolens.platform.stores.collections import Collection

from tests.unit.notifier.notifier_fakes import World, crossmatch, image


def of_ztf(programme: str, *, survey: str = "ztf", **given: Any) -> ImageRecord:
    return image(1, survey=survey, extra={"candid": "2459", "programid": programme}, **given)


@pytest.mark.parametrize("programme", ["2", "3", "0", "2.0", "private"])
@pytest.mark.parametrize("survey", ["ztf", "my-transients"])
async def test_unreleased_data_are_recorded_and_never_published(world: World, programme: str, survey: str) -> None:
    picture = of_ztf(programme, survey=survey)
    await world.put(picture)
    service = world.service("mailto #1")
    await service.reconcile([picture.image_id])
    await world.put(picture, status=MatchStatus.NONE, revision=2)
    await service.reconcile([picture.image_id])
    await world.put(of_ztf(programme, survey=survey, verdict=Verdict.ORDINARY, model="b"))
    await service.reconcile([], [picture.image_id])
    record = await world.alert(picture)
    assert record is not None
    assert (record.alert_type, record.alert_tense, record.revision) == ("retraction", "withheld", 2)
    assert (record.topic, record.event_id, record.pending) == (None, None, ())
    assert (record.deliveries, record.undelivered) == ((), False)
    assert world.outbox.published == []
    assert world.deliveries_queued == 0
    assert picture.analysis is not None
    with pytest.raises(ValueError, match="not public"):
        public_alerts.public_alert(
            picture,
            picture.analysis,
            crossmatch(),
            record.model_copy(update={"event_id": "e"}),
            cutout=None,
            published_at=record.raised_at,
        )


@pytest.mark.parametrize("extra", [{"programid": "1"}, {"programid": "1.0"}, {}, {"programid": ""}])
async def test_public_data_are_published(world: World, extra: dict[str, str]) -> None:
    picture = image(1, survey="ztf", extra=extra)
    await world.put(picture)
    await world.service("mailto #1").reconcile([picture.image_id])
    assert len(world.outbox.published) == 2
    assert world.deliveries_queued == 1


def test_a_programme_of_another_survey_says_nothing() -> None:
    assert not is_unreleased(image(1, survey="sdss", extra={"programid": "2"}))


def test_what_the_file_or_a_later_arrival_states_counts_whatever_was_given() -> None:
    given = of_ztf("1")
    assert not is_unreleased(given)
    header = FileHeader(survey="ztf", extra={"programid": "3"})
    assert is_unreleased(given.model_copy(update={"header": header}))
    later = examples.image().later[0].model_copy(update={"conflicting": {"extra.programid": "2"}})
    assert is_unreleased(given.model_copy(update={"later": (later,)}))


async def test_a_setting_publishes_them(world: World) -> None:
    picture = of_ztf("2")
    await world.put(picture)
    await world.service("mailto #1", publish_unreleased=True).reconcile([picture.image_id])
    assert len(world.outbox.published) == 2
    assert world.deliveries_queued == 1


async def test_nothing_more_is_told_once_the_programme_is_known(world: World) -> None:
    picture = image(1, survey="ztf")
    await world.put(picture)
    service = world.service("mailto #1")
    await service.reconcile([picture.image_id])
    world.outbox.clear()
    await world.put(of_ztf("2", verdict=Verdict.ORDINARY, model="b"))
    await service.reconcile([], [picture.image_id])
    record = await world.alert(picture)
    assert record is not None
    assert (record.alert_type, record.alert_tense, record.undelivered) == ("retraction", "withheld", False)
    assert world.outbox.published == []
    assert await world.records.pending(Collection.ALERTS, limit=10) == []
