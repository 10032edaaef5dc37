"""What calibrates each survey, over REST."""

from datetime import UTC, datetime
from typing import Any

import httpx
from astrolens.contracts import examples, topics
from astrolens.contracts.events import CalibrationRevised
from astrolens.contracts.survey_models import FitCheck, SurveyState
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Change


async def add(world: Any, **changes: Any) -> None:
    await world.records.insert(Collection.SURVEY_MODELS, [examples.survey_model().model_copy(update=changes)])


async def test_every_survey_tells_its_state_and_what_a_person_is_asked(world: Any, client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/surveys")).json() == {"items": []}
    one, two = [await world.add_image(name, survey="decals") for name in ("one", "two")]
    await add(world, strangest=(two, one, "0" * 32))
    await client.post("/api/labels", json={"image_id": one, "answer": "artefact"})
    (item,) = (await client.get("/api/surveys")).raise_for_status().json()["items"]
    assert (item["survey"], item["state"], item["revision"]["images"]) == ("decals", "ready", 300)
    assert item["review"] == {"images": 3, "answered": 1}
    assert (item["known"], item["can_clear"]) == (False, False)
    page = (await client.get("/api/surveys/decals/strangest")).raise_for_status().json()
    assert [card["image_id"] for card in page["items"]] == [two, one]
    assert page["next"] is None


async def test_a_known_survey_is_returned_to_the_bundle(world: Any, client: httpx.AsyncClient) -> None:
    await add(world, survey="sdss", known=True, state=SurveyState.DOES_NOT_FIT, revision=None)
    answer = (await client.post("/api/surveys/sdss/clear")).raise_for_status().json()
    assert (answer["state"], answer["rejudging"], answer["can_clear"]) == ("own", True, False)
    [(collection, survey, events)] = world.bus.released
    assert (collection, survey) == (Collection.SURVEY_MODELS, "sdss")
    assert [event.topic for event in events] == [topics.CALIBRATIONS_REVISED]


async def test_alerts_of_images_that_did_not_fit_are_not_sent_unasked(world: Any, client: httpx.AsyncClient) -> None:
    when = datetime(2026, 3, 1, tzinfo=UTC)
    check = FitCheck(images=150, at_1_percent=81, fits=False, detail="of 150 recent images 74 %", checked_at=when)
    states = {"known": True, "state": SurveyState.DOES_NOT_FIT, "revision": None, "learn_from": when}
    await add(world, survey="sdss", check=check, **states)
    await add(world, survey="efigi", check=check.model_copy(update={"at_1_percent": None}), **states)
    for name in ("one", "two", "three"):
        await world.add_image(name, survey="sdss")
    older, told = [item["releases"] for item in (await client.get("/api/surveys")).json()["items"]]
    assert "81 of the 150 images" in told
    assert "Of the 3 images that came since about 2 would be anomalies" in told
    assert "did not fit its calibration: of 150" in older
    refused = await client.post("/api/surveys/sdss/clear")
    assert (refused.status_code, told in refused.json()["detail"]) == (409, True)
    assert "--release" in refused.json()["detail"]
    assert world.bus.released == []
    cleared = (await client.post("/api/surveys/sdss/clear", params={"release": True})).raise_for_status().json()
    assert (cleared["state"], cleared["releases"]) == ("own", None)


async def test_what_cannot_be_cleared_says_why(world: Any, client: httpx.AsyncClient) -> None:
    await add(world)
    refused = await client.post("/api/surveys/decals/clear")
    assert (refused.status_code, "does not know the survey" in refused.json()["detail"]) == (409, True)
    assert (await client.post("/api/surveys/sdss/clear")).status_code == 404
    assert (await client.get("/api/surveys/sdss/strangest")).status_code == 404
    assert (await client.get("/api/surveys/No%20Survey/strangest")).status_code == 422


async def test_an_anomaly_of_an_unknown_sky_says_why_it_raises_no_alert(world: Any, client: httpx.AsyncClient) -> None:
    image = await world.add_image("one", p_value=0.001, survey="decals")
    pooled = {"analysis.calibration_fit": "pooled", "analysis.calibration_survey": "pooled"}
    assert (await client.get(f"/api/images/{image}")).json()["alert_hold"] is None
    await world.records.apply(Collection.IMAGES, [Change(id=image, set=pooled)])
    detail = (await client.get(f"/api/images/{image}")).json()
    assert "until the survey has a survey model" in detail["alert_hold"]
    (step,) = [step for step in detail["provenance"] if step["step"] == "calibration"]
    assert step["detail"].endswith("of other surveys: the bundle does not know the survey")


async def test_a_survey_gets_a_budget_of_its_own_with_its_event(world: Any, client: httpx.AsyncClient) -> None:
    await add(world, survey="sdss", known=True, state=SurveyState.OWN, revision=None, rejudging=None)
    answer = await client.put("/api/surveys/sdss/budget", json={"false_alarms_per_1000": 20})
    assert answer.raise_for_status().json()["false_alarms_per_1000"] == 20.0
    assert (answer.json()["rejudging"], answer.json()["rejudged"]) == (True, 0)
    [(_, _, (event,))] = world.bus.released
    assert CalibrationRevised.model_validate_json(event.payload).false_alarms_per_1000 == 20.0
    await client.put("/api/surveys/sdss/budget", json={"false_alarms_per_1000": 20})
    assert len(world.bus.released) == 1, "nothing changed"
    for body in ({"false_alarms_per_1000": 0}, {"false_alarms_per_1000": 900}, {}):
        assert (await client.put("/api/surveys/sdss/budget", json=body)).status_code == 422
    shouted = await client.put("/api/surveys/SDSS/budget", json={"false_alarms_per_1000": 5})
    assert "a name has at most 63 small letters" in shouted.json()["detail"]
    assert "openapi" not in shouted.json()["detail"]
    assert (await client.put("/api/surveys/else/budget", json={"false_alarms_per_1000": 5})).status_code == 404


async def test_a_calibration_on_the_newest_images_is_asked_for(world: Any, client: httpx.AsyncClient) -> None:
    await add(world, survey="sdss", known=True, state=SurveyState.OWN, revision=None, images_needed=2, rejudging=None)
    refused = await client.post("/api/surveys/sdss/calibrate")
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "A survey model of 'sdss' needs 2 analysed images, and there are 0: feed 2 more, then ask again.",
    )
    for n in range(3):
        await world.add_image(f"image {n}", survey="sdss", minutes=n)
    answer = (await client.post("/api/surveys/sdss/calibrate")).raise_for_status().json()
    assert (answer["state"], answer["rejudging"]) == ("does-not-fit", True)
    record = (await world.records.get(Collection.SURVEY_MODELS, ["sdss"]))["sdss"]
    assert record["fit_requested"]
    assert record["learn_from"].startswith("2026-03-01T20:01")
