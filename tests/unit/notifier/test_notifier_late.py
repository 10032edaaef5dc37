"""What a second pass finds: the alert says that it is late, and people read it; what comes as ever is not late."""

import pytest
from astrolens.notifier import handlers, message_text
from astrolens.notifier.message_text import AlertWithImage

from tests.unit.notifier.notifier_fakes import World, candidate, image

MODEL = "b" * 64


@pytest.mark.parametrize("late", [True, False])
async def test_an_alert_of_a_second_pass_is_late(world: World, late: bool) -> None:
    picture = image(1).model_copy(update={"label": None, "labels": (), "late_by": MODEL if late else None})
    service = world.service("mailto #1")
    await world.put(picture)
    await handlers.candidate_matched(service)([candidate(picture)])
    [packet] = world.outbox.packets()
    assert (packet.alert_type, packet.late) == ("initial", late)
    alert = await world.alert(picture)
    assert alert is not None
    told = message_text.single_alert(AlertWithImage(alert, picture), console="http://localhost")
    listed = message_text.digest([AlertWithImage(alert, picture)], console="http://localhost")
    assert ("Found late" in told.body, "late: " in listed.body) == (late, late)
