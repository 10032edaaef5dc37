"""Deliveries to people: bounded attempts, a bounded rate, digests; every state in the alert's record."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from astrolens.contracts.verdicts import Verdict
from astrolens.notifier import delivery_queue
from astrolens.notifier.channel_worker import plan_messages
from astrolens.notifier.message_text import AlertWithImage
from astrolens.platform.errors import StoreUnavailable
from astrolens.platform.runtime import periodic
from astrolens.platform.runtime.periodic import PeriodicTask
from astrolens.platform.stores.collections import Collection

from tests.unit.notifier.delivery_bench import Bench, raised
from tests.unit.notifier.notifier_fakes import JPEG, FakeChannel, World, image


async def test_an_alert_reaches_people_once_with_its_picture(world: World) -> None:
    bench = Bench(world, FakeChannel())
    picture = image(1)
    await raised(world, picture)
    for _ in range(3):
        await bench.deliver()
    ((title, body, attached),) = bench.channel.sent
    assert title == "Strange: spiral in sdss (p = 0.0025)"
    assert "NGC 5194" in body
    assert "RA 202.46960, Dec +47.19520 (ICRS, degrees)" in body
    assert "Verdict anomaly: 1 in 400 ordinary images is at least as strange (p = 0.0025)." in body
    assert f"http://localhost:8080/image/{picture.image_id}" in body
    assert attached == JPEG
    delivery = await bench.delivery(picture)
    assert (delivery.state, delivery.attempts, delivery.error) == ("delivered", 1, None)
    assert world.sample("astrolens_deliveries_total", channel="mailto #1", outcome="delivered") == 1


async def test_waiting_deliveries_are_counted_with_their_age(world: World) -> None:
    bench = Bench(world, FakeChannel(error="refused or unreachable"))
    await raised(world, image(1), image(2))
    await bench.deliver()
    assert world.sample("astrolens_deliveries_waiting", channel="mailto #1") == 2
    age_s = world.sample("astrolens_delivery_oldest_seconds", channel="mailto #1")
    assert age_s is not None
    assert age_s > 3600, "they were raised at the epoch of the tests"
    bench.channel.error = None
    await bench.deliver(after_s=3600.0)
    assert world.sample("astrolens_deliveries_waiting", channel="mailto #1") == 0
    assert world.sample("astrolens_delivery_oldest_seconds", channel="mailto #1") == 0


async def test_a_retraction_is_sent_and_a_test_is_marked(world: World) -> None:
    bench = Bench(world, FakeChannel())
    picture = image(1, simulated=True)
    await raised(world, picture)
    await bench.deliver()
    await world.put(image(1, simulated=True, model="b", verdict=Verdict.ORDINARY))
    await world.service("mailto #1").reconcile([picture.image_id])
    await bench.deliver()
    await world.put(image(1, simulated=True, model="c"))
    await world.service("mailto #1").reconcile([picture.image_id])
    await bench.deliver()
    assert [title for title, _, _ in bench.channel.sent] == [
        "[TEST] Strange: spiral in sdss (p = 0.0025)",
        "[TEST] Retracted: spiral in sdss is no anomaly after all",
        "[TEST] Again an anomaly: spiral in sdss (p = 0.0025)",
    ]


async def test_failures_are_retried_with_growing_waits_and_ended(world: World) -> None:
    bench = Bench(world, FakeChannel(error="refused or unreachable"))
    picture = image(1)
    await raised(world, picture)
    waits: list[float] = []
    waited = 0.0
    while (await bench.delivery(picture)).state == "waiting":
        before = bench.channel.attempts
        await bench.deliver(after_s=1.0)
        waited += 1.0
        if bench.channel.attempts > before:
            waits.append(waited)
            waited = 0.0
        assert bench.now < 1e5
    assert bench.channel.attempts == delivery_queue.MAX_ATTEMPTS
    assert waits[1:] == [5, 15, 45, 135, 405, 900, 900]
    delivery = await bench.delivery(picture)
    assert (delivery.state, delivery.attempts, delivery.error) == (
        "failed",
        delivery_queue.MAX_ATTEMPTS,
        "refused or unreachable",
    )
    assert bench.condition.state == "degraded"
    await bench.deliver(after_s=1e6)
    assert bench.channel.attempts == delivery_queue.MAX_ATTEMPTS


async def test_after_an_outage_everything_comes_in_one_digest(world: World) -> None:
    bench = Bench(world, FakeChannel(error="refused or unreachable"))
    pictures = [image(number) for number in range(4)]
    await raised(world, *pictures)
    await bench.deliver()
    await bench.deliver(after_s=10)
    assert [(await bench.delivery(picture)).attempts for picture in pictures] != [0, 0, 0, 0]
    bench.channel.error = None
    await bench.deliver(after_s=100)
    ((title, body, attached),) = bench.channel.sent
    assert title == "4 alerts"
    assert len(body.splitlines()) == 4
    assert attached is None
    assert {(await bench.delivery(picture)).state for picture in pictures} == {"delivered"}
    assert bench.condition.state == "running"


async def test_a_burst_becomes_a_few_messages_and_a_digest(world: World) -> None:
    bench = Bench(world, FakeChannel(), per_min=3)
    burst = [image(number, p_value=(number + 1) / 10_000) for number in range(40)]
    await raised(world, *burst)
    await bench.deliver()
    titles = [title for title, _, _ in bench.channel.sent]
    assert titles == ["Strange: spiral in sdss (p = 0.0001)", "Strange: spiral in sdss (p = 0.0002)", "38 alerts"]
    lines = bench.channel.sent[-1][1].splitlines()
    assert len(lines) == 21
    assert "p = 0.0003" in lines[0]
    assert lines[-1] == "and 18 more: http://localhost:8080/triage"
    assert {(await bench.delivery(picture)).state for picture in burst} == {"delivered"}


async def test_no_more_messages_a_minute_than_allowed(world: World) -> None:
    bench = Bench(world, FakeChannel(), per_min=2)
    sent_at: list[float] = []
    for number in range(90):
        await raised(world, image(number))
        before = len(bench.channel.sent)
        await bench.deliver(after_s=2.0)
        sent_at += [bench.now] * (len(bench.channel.sent) - before)
    assert len(sent_at) >= 4
    for moment in sent_at:
        assert sum(moment <= other < moment + 60 for other in sent_at) <= 2
    await bench.deliver(after_s=120)
    assert sum(int(title.split()[0]) if "alerts" in title else 1 for title, _, _ in bench.channel.sent) == 90


async def test_a_failing_channel_does_not_delay_another(world: World) -> None:
    failing, working = FakeChannel(error="refused or unreachable"), FakeChannel(name="slack #1")
    picture = image(1)
    await raised(world, picture, channels=("mailto #1", "slack #1"))
    await Bench(world, failing).deliver()
    await Bench(world, working).deliver()
    assert len(working.sent) == 1
    record = await world.alert(picture)
    assert record is not None
    assert {one.channel: one.state for one in record.deliveries} == {"mailto #1": "waiting", "slack #1": "delivered"}
    assert record.undelivered


async def test_the_backlog_of_a_failing_channel_does_not_starve_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_queue, "BATCH_SIZE", 2)
    await raised(world, *(image(number) for number in range(5)), channels=("mailto #1",))
    await raised(world, image(9), channels=("slack #1",))
    bench = Bench(world, FakeChannel(name="slack #1"))
    await bench.deliver()
    assert len(bench.channel.sent) == 1


async def test_an_alert_whose_image_is_missing_is_still_sent(world: World) -> None:
    bench = Bench(world, FakeChannel())
    picture = image(1)
    await raised(world, picture)
    await world.records.delete(Collection.IMAGES, [picture.image_id])
    await bench.deliver()
    broken = image(2)
    await raised(world, broken)
    await world.records.upsert(Collection.IMAGES, [{**broken.model_dump(mode="json"), "original": None}])
    await bench.deliver()
    assert [(title[:15], attached) for title, _, attached in bench.channel.sent] == [("Strange: spiral", None)] * 2


async def test_names_from_outside_are_escaped(world: World) -> None:
    bench = Bench(world, FakeChannel())
    await raised(world, image(1, name="@everyone <!here>\x1b[31m\nsubject: x" + "y" * 150))
    await bench.deliver()
    (_, body, _) = bench.channel.sent[0]
    assert "@" not in body
    assert "<!" not in body
    assert "\x1b" not in body
    assert "\nsubject" not in body
    assert max(len(line) for line in body.splitlines()) < 160


async def test_queued_deliveries_start_a_pass_and_an_unreachable_store_is_survived(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(world, FakeChannel())
    real, reads = bench.queue.waiting_for, 0

    async def waiting_for(channel: str) -> list[AlertWithImage]:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise StoreUnavailable("locked")
        return await real(channel)

    monkeypatch.setattr(bench.queue, "waiting_for", waiting_for)
    monkeypatch.setattr(periodic, "_RETRY_S", 0.01)
    task = PeriodicTask(
        "deliveries", bench.worker.deliver, interval_s=3600.0, condition=bench.condition, wake=bench.worker.wake
    )
    stopping = asyncio.Event()
    running = asyncio.create_task(task.run(stopping))
    async with asyncio.timeout(20):
        while reads < 1:
            await asyncio.sleep(0.01)
        await raised(world, image(1))
        bench.worker.wake.set()
        while not bench.channel.sent:
            await asyncio.sleep(0.01)
        stopping.set()
        await running
    assert reads == 3


async def test_an_unreadable_alert_does_not_stop_the_others(world: World) -> None:
    bench = Bench(world, FakeChannel())
    await raised(world, image(1), image(2))
    damaged = await world.alert(image(1))
    assert damaged is not None
    await world.records.upsert(Collection.ALERTS, [{**damaged.model_dump(mode="json"), "p_value": "strange"}])
    for _ in range(3):
        await bench.deliver()
    assert [title for title, _, _ in bench.channel.sent] == ["Strange: spiral in sdss (p = 0.0025)"]
    (error,) = world.condition.last_errors
    assert damaged.alert_id in error


async def test_a_store_that_reads_but_cannot_write_sends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(world, FakeChannel())
    pictures = [image(number) for number in range(3)]
    await raised(world, *pictures)

    async def refuse(*_: Any, **__: Any) -> set[str]:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(world.records, "apply", refuse)
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                await bench.deliver(after_s=60)
        assert bench.channel.attempts == 0
    await bench.deliver(after_s=60)
    assert len(bench.channel.sent) == 3
    assert {(await bench.delivery(picture)).state for picture in pictures} == {"delivered"}


async def test_an_outcome_that_cannot_be_stored_is_stored_later_and_nothing_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(world, FakeChannel())
    picture = image(1)
    await raised(world, picture)
    real = world.records.apply

    async def apply(collection: Collection, changes: Any) -> set[str]:
        if bench.channel.attempts:
            raise StoreUnavailable("the disk is full")
        return await real(collection, changes)

    with monkeypatch.context() as patch:
        patch.setattr(world.records, "apply", apply)
        for _ in range(20):
            world.clock.now += delivery_queue.CLAIM_TIMEOUT
            with pytest.raises(StoreUnavailable):
                await bench.deliver(after_s=60)
    assert bench.channel.attempts == 1
    await bench.deliver(after_s=60)
    assert bench.channel.attempts == 1
    assert (await bench.delivery(picture)).state == "delivered"


async def test_a_store_that_loses_its_writes_repeats_no_message(world: World) -> None:
    bench = Bench(world, FakeChannel())
    picture = image(1)
    await raised(world, picture)
    before = await world.alert(picture)
    assert before is not None
    for _ in range(5):
        await bench.deliver(after_s=60)
        await world.records.upsert(Collection.ALERTS, [before])
    assert bench.channel.attempts == 1


async def test_an_attempt_that_a_crash_interrupted_is_made_again_after_a_bounded_time(world: World) -> None:
    picture = image(1)
    await raised(world, picture)
    crashed = Bench(world, FakeChannel())
    (waiting,) = await crashed.queue.waiting_for("mailto #1")
    assert await crashed.queue.claim([waiting.alert], "mailto #1") == {waiting.alert.alert_id}
    bench = Bench(world, FakeChannel())
    await bench.deliver()
    assert bench.channel.sent == []
    world.clock.now += delivery_queue.CLAIM_TIMEOUT
    await bench.deliver()
    assert len(bench.channel.sent) == 1
    assert ((await bench.delivery(picture)).state, (await bench.delivery(picture)).attempts) == ("delivered", 2)


async def test_crashes_while_sending_end_in_a_failed_delivery(world: World) -> None:
    picture = image(1)
    await raised(world, picture)
    bench = Bench(world, FakeChannel())
    (waiting,) = await bench.queue.waiting_for("mailto #1")
    for _ in range(delivery_queue.MAX_ATTEMPTS):
        assert await bench.queue.claim([waiting.alert], "mailto #1")
        world.clock.now += delivery_queue.CLAIM_TIMEOUT
    await bench.deliver()
    assert bench.channel.attempts == 0
    delivery = await bench.delivery(picture)
    assert (delivery.state, delivery.attempts) == ("failed", delivery_queue.MAX_ATTEMPTS)


def _alerts(count: int) -> list[Any]:
    return [SimpleNamespace(number=number) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "budget", "one_message", "sizes"),
    [
        (0, 6, False, []),
        (3, 0, False, []),
        (1, 1, False, [1]),
        (1, 6, True, [1]),
        (6, 6, False, [1] * 6),
        (7, 6, False, [1, 1, 1, 1, 1, 2]),
        (9, 1, False, [9]),
        (9, 6, True, [9]),
    ],
)
def test_the_plan_keeps_to_its_budget(count: int, budget: int, one_message: bool, sizes: list[int]) -> None:
    alerts = _alerts(count)
    messages = plan_messages(alerts, budget=budget, one_message=one_message)
    assert [len(message.alerts) for message in messages] == sizes
    assert [alert for message in messages for alert in message.alerts] == (alerts if sizes else [])
    assert [message.kind for message in messages] == ["single" if size == 1 else "digest" for size in sizes]
