"""Status, services, sources, model, alerts and dead letters over REST."""

import base64
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from astrolens.contracts.base import utc_now
from astrolens.contracts.records import (
    AlertRecord,
    Answer,
    DeadLetter,
    ImageState,
    Outcome,
)
from astrolens.contracts.status import ServiceStatus, SourceStatus
from astrolens.contracts.topics import IMAGES_INGESTED, IMAGES_SUBMITTED
from astrolens.contracts.verdicts import Verdict
from astrolens.platform.stores.collections import Collection

from tests.made_records import make_receipt

NOW = utc_now()


def service(name: str, *, age_s: float = 0.0, state: str = "running") -> ServiceStatus:
    seen = NOW - timedelta(seconds=age_s)
    return ServiceStatus(
        service=name,
        instance=f"{name}@host",
        pid=1,
        version="1",
        started_at=seen,
        seen_at=seen,
        ready=True,
        state=state,
    )


def letter(identity: str, topic: str, payload: dict[str, Any]) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=identity,
        topic=topic,
        partition=0,
        offset=7,
        key=base64.b64encode(b"key").decode(),
        body=base64.b64encode(json.dumps(payload).encode()).decode(),
        service="analyzer",
        error_type="wrong-schema",
        error="it cannot be read",
        dead_lettered_at=utc_now(),
    )


async def test_the_books_balance_and_every_number_has_its_list(world: Any, client: httpx.AsyncClient) -> None:
    await world.add_image("analysed", p_value=0.001)
    await world.add_image("waiting", p_value=None)
    await world.add_image("lost", p_value=None, state=ImageState.DEAD_LETTERED)
    await world.records.insert(
        Collection.RECEIPTS,
        [
            make_receipt("received", Outcome.RECEIVED),
            make_receipt("duplicate", Outcome.DUPLICATE),
            make_receipt("rejected", Outcome.REJECTED, reason="not-an-image"),
            make_receipt("dead", Outcome.DEAD_LETTERED, reason="object-missing"),
        ],
    )
    status = (await client.get("/api/status", params={"batch": "night"})).json()
    books = {
        key: status[key] for key in ("received", "analyzed", "duplicates", "rejected", "dead_lettered", "in_flight")
    }
    assert books == {"received": 7, "analyzed": 1, "duplicates": 1, "rejected": 1, "dead_lettered": 2, "in_flight": 2}
    assert {key: status["batch"][key] for key in books} == books
    assert status["imbalance"] is None
    checked = (await client.get("/api/books", params={"recount": "true"})).json()
    assert checked["receipts"] == {"accepted": 3, "dead_lettered": 1, "duplicate": 1, "received": 1, "rejected": 1}
    assert checked["images"] == {"analyzed": 1, "dead_lettered": 1, "ingested": 1}
    assert (checked["books"], checked["imbalance"], checked["miscounted"]) == (books, None, [])
    assert status["verdicts"] == {"ordinary": 0, "near_miss": 0, "anomaly": 1}
    assert status["reasons"] == {"not-an-image": 1, "object-missing": 1}
    assert status["surveys"] == {"sdss": {"anomaly": 1}}
    assert status["sources"]["upload"]["delivered"] == 7
    for outcome, count in (("duplicate", 1), ("rejected", 1), ("accepted", 3), ("received", 1)):
        page = (await client.get("/api/receipts", params={"outcome": outcome})).json()
        assert (len(page["items"]), page["total"]) == (count, count)
    (rejected,) = (await client.get("/api/rejected", params={"reason": "not-an-image"})).json()["items"]
    assert rejected["reason"]["detail"] == "It is text."
    assert (await client.get("/api/rejected", params={"reason": "bomb"})).json()["items"] == []


async def test_a_service_without_heartbeat_is_silent(world: Any, client: httpx.AsyncClient) -> None:
    await world.records.upsert(
        Collection.SERVICES,
        [
            service("analyzer"),
            service("notifier", age_s=60),
            service("ingestor", age_s=60, state="stopped"),
            service("trainer", age_s=2 * 24 * 3600),
        ],
    )
    world.context.status._clock = lambda: NOW
    services = (await client.get("/api/services")).json()
    assert {name: view["state"] for name, view in services.items()} == {
        "analyzer": "running",
        "notifier": "silent",
        "ingestor": "stopped",
    }
    assert services["notifier"]["ready"] is False
    assert "60 s" in services["notifier"]["detail"]


async def test_a_source_that_is_down_is_shown_with_its_reason(world: Any, client: httpx.AsyncClient) -> None:
    down = SourceStatus(source="sdss", state="unreachable", detail="SkyServer does not answer", updated_at=utc_now())
    await world.records.upsert(Collection.SOURCES, [down])
    sources = (await client.get("/api/sources")).json()
    assert (sources["sdss"]["state"], sources["sdss"]["detail"]) == ("unreachable", "SkyServer does not answer")


async def test_the_model_or_why_there_is_none(world: Any, client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/model")).json()["figures"] == {"accuracy": 0.9}
    world.model.unreachable = True
    answer = await client.get("/api/model")
    assert answer.status_code == 503
    assert "loading" in answer.json()["detail"]
    assert (await client.get("/api/status")).json()["model"] == {"state": "unreachable", "detail": "loading"}


async def test_health_and_unknown_addresses(client: httpx.AsyncClient) -> None:
    health = (await client.get("/api/health")).json()
    assert health["status"] == "ok"
    # Pages compare it after a failure: it must not change while the console runs.
    assert health == (await client.get("/api/health")).json()
    assert health["instance"]
    answer = await client.get("/api/no/such")
    assert (answer.status_code, answer.json()["title"]) == (404, "No such address")
    assert (await client.delete("/api/status")).status_code in {404, 405}


async def test_the_description_names_every_route_with_a_sentence(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/openapi.json")).json()
    operations = [(path, verb, each) for path, verbs in document["paths"].items() for verb, each in verbs.items()]
    assert len(operations) >= 25
    for path, verb, operation in operations:
        assert operation.get("description"), f"{verb} {path} says nothing"
    assert "application/problem+json" in document["paths"]["/api/images"]["get"]["responses"]["422"]["content"]


async def test_alerts_are_listed_and_followed(world: Any, client: httpx.AsyncClient) -> None:
    start = utc_now()
    alerts = [
        AlertRecord(
            alert_id=f"{n:032x}",
            image_id="e" * 32,
            survey="sdss" if n % 2 else "efigi",
            predicted_class="spiral",
            verdict=Verdict.ANOMALY,
            p_value=0.001,
            topic="astrolens.alerts.sdss.spiral.v1",
            raised_at=start + timedelta(seconds=n),
        )
        for n in range(4)
    ]
    await world.records.insert(Collection.ALERTS, alerts)
    page = (await client.get("/api/alerts", params={"limit": 3})).json()
    assert [each["alert_id"] for each in page["items"]] == [alert.alert_id for alert in reversed(alerts)][:3]
    assert page["total"] == 4
    since = alerts[1].raised_at.isoformat()
    followed = (await client.get("/api/alerts", params={"since": since, "order": "oldest", "survey": "sdss"})).json()
    assert [each["alert_id"] for each in followed["items"]] == [alerts[1].alert_id, alerts[3].alert_id]
    assert (await client.get(f"/api/alerts/{alerts[0].alert_id}")).json()["class"] == "spiral"
    assert (await client.get("/api/alerts/none")).status_code == 404


async def test_updates_and_retractions_are_listed_by_their_own_time_with_who_and_why(
    world: Any, client: httpx.AsyncClient
) -> None:
    raised = utc_now()
    common = {
        "image_id": "e" * 32,
        "survey": "sdss",
        "predicted_class": "spiral",
        "p_value": 0.001,
        "topic": None,
        "raised_at": raised,
    }
    person = {"label": Answer.ARTEFACT, "labeled_by": "ann", "tags": ("satellite",)}
    changes: list[tuple[str, dict[str, Any], str | None]] = [
        ("initial", {}, None),
        ("retraction", {"verdict": Verdict.NEAR_MISS}, "analysed again, it is near miss"),
        ("retraction", person, "ann called it an artefact (satellite)"),
        ("retraction", {}, "its calibration promises no rate of false alarms any more"),
        ("update", {**person, "label": Answer.INTERESTING}, "ann called it interesting (satellite)"),
        ("update", {"occasion": "possible-discovery"}, "the catalogues know nothing at its place"),
        ("update", {}, "its figures are new"),
    ]
    alerts = [
        AlertRecord(
            alert_id=f"{n:032x}",
            alert_type=kind,  # type: ignore[arg-type]
            updated_at=None if kind == "initial" else raised + timedelta(seconds=n),
            **{"verdict": Verdict.ANOMALY, **common, **told},
        )
        for n, (kind, told, _) in enumerate(changes)
    ]
    await world.records.insert(Collection.ALERTS, alerts)
    wanted = {"updated_since": (raised + timedelta(seconds=2)).isoformat(), "order": "oldest"}
    followed = (await client.get("/api/alerts", params=wanted)).json()
    assert [each["alert_id"] for each in followed["items"]] == [alert.alert_id for alert in alerts[2:]]
    for alert, (_, _, reason) in zip(alerts, changes, strict=True):
        shown = (await client.get(f"/api/alerts/{alert.alert_id}")).json()
        assert shown["update_reason"] == reason
    shown = (await client.get(f"/api/alerts/{alerts[2].alert_id}")).json()
    assert (shown["label"], shown["labeled_by"], shown["tags"]) == ("artefact", "ann", ["satellite"])
    assert shown["updated_at"] > shown["raised_at"]


async def test_an_alert_lists_all_of_its_messages_and_counts_those_that_were_not_kept(
    world: Any, client: httpx.AsyncClient
) -> None:
    raised = utc_now()
    first = AlertRecord(
        alert_id="a" * 32,
        image_id="e" * 32,
        survey="sdss",
        predicted_class="spiral",
        verdict=Verdict.ANOMALY,
        p_value=0.001,
        topic=None,
        raised_at=raised,
    )
    refuted = {"alert_type": "retraction", "label": Answer.ARTEFACT, "labeled_by": "ann", "revision": 1}
    second = first.model_copy(
        update={**refuted, "updated_at": raised + timedelta(seconds=1), "earlier": (first.last_message,)}
    )
    older = second.model_copy(update={"alert_id": "b" * 32, "earlier": (), "revision": 3})
    await world.records.insert(Collection.ALERTS, [second, older])
    shown = (await client.get(f"/api/alerts/{second.alert_id}")).json()
    assert [(each["alert_type"], each["update_reason"]) for each in shown["messages"]] == [
        ("initial", None),
        ("retraction", "ann called it an artefact"),
    ]
    assert [each["class"] for each in shown["messages"]] == ["spiral"] * 2
    assert shown["missing_messages"] == 0
    shown = (await client.get(f"/api/alerts/{older.alert_id}")).json()
    assert (len(shown["messages"]), shown["missing_messages"]) == (1, 3)


async def test_a_dead_letter_is_sent_again_and_its_image_is_in_flight_again(
    world: Any, client: httpx.AsyncClient
) -> None:
    image = await world.add_image("lost", p_value=None, state=ImageState.DEAD_LETTERED)
    await world.records.insert(Collection.DEAD_LETTERS, [letter("one", IMAGES_INGESTED, {"image_id": image})])
    assert (await client.get("/api/status")).json()["dead_letters_open"] == 1
    answer = await client.post("/api/dead-letters/one/resend")
    assert answer.json()["state"] == "resent"
    (event,) = world.bus.published
    assert (event.topic, event.key, event.binary) == (IMAGES_INGESTED, "key", True)
    assert json.loads(base64.b64decode(event.payload)) == {"image_id": image}
    status = (await client.get("/api/status")).json()
    assert (status["dead_lettered"], status["in_flight"], status["dead_letters_open"]) == (0, 1, 0)
    again = await client.post("/api/dead-letters/one/resend")
    assert (again.status_code, len(world.bus.published)) == (409, 1)


async def test_a_dead_letter_sent_again_goes_on_in_the_same_trace(world: Any, client: httpx.AsyncClient) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    carried = {"headers": (("traceparent", base64.b64encode(traceparent.encode()).decode()),)}
    dead = letter("traced", IMAGES_INGESTED, {"image_id": "x"}).model_copy(update=carried)
    await world.records.insert(Collection.DEAD_LETTERS, [dead])
    assert (await client.post("/api/dead-letters/traced/resend")).status_code == 200
    assert [event.traceparent for event in world.bus.published] == [traceparent]


async def test_a_dead_receipt_is_received_again(world: Any, client: httpx.AsyncClient) -> None:
    await world.records.insert(Collection.RECEIPTS, [make_receipt("r1", Outcome.DEAD_LETTERED, reason="gone")])
    await world.records.insert(Collection.DEAD_LETTERS, [letter("two", IMAGES_SUBMITTED, {"receipt_id": "r1"})])
    assert (await client.post("/api/dead-letters/two/resend")).status_code == 200
    assert (await client.get("/api/receipts", params={"outcome": "received"})).json()["items"][0]["receipt_id"] == "r1"


async def test_a_dead_letter_is_dropped_only_with_a_reason(world: Any, client: httpx.AsyncClient) -> None:
    await world.records.insert(Collection.DEAD_LETTERS, [letter("one", "x", {})])
    assert (await client.post("/api/dead-letters/one/drop", json={"reason": ""})).status_code == 422
    dropped = await client.post("/api/dead-letters/one/drop", json={"reason": "a broken test of ours"})
    assert (dropped.json()["state"], dropped.json()["note"]) == ("dropped", "a broken test of ours")
    page = (await client.get("/api/dead-letters", params={"state": "dropped"})).json()
    assert (len(page["items"]), page["total"]) == (1, 1)
    assert (await client.post("/api/dead-letters/none/drop", json={"reason": "nothing"})).status_code == 404


@pytest.mark.parametrize("name", ["status", "model", "images"])
async def test_an_unreachable_store_is_answered_with_503(world: Any, client: httpx.AsyncClient, name: str) -> None:
    world.model.unreachable = True
    await world.records.close()
    answer = await client.get(f"/api/{name}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
