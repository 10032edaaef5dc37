"""Lists, one image, its pictures and its neighbours, over REST."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from astrolens.contracts.records import ImageState
from astrolens.platform.settings import S3Options
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import image_store
from astrolens.platform.stores.records import Change
from astrolens.rpc.model_client import Neighbour


async def names(client: httpx.AsyncClient, address: str = "/api/images", **query: Any) -> list[str]:
    answer = await client.get(address, params=query)
    assert answer.status_code == 200, answer.text
    return [item["name"] for item in answer.json()["items"]]


@pytest.fixture
async def sky(world: Any) -> dict[str, str]:
    return {
        "quiet": await world.add_image("quiet", p_value=0.6, position=(10.68, 41.27), minutes=1),
        "odd": await world.add_image(
            "odd", p_value=0.004, position=(359.9999, 0.0), minutes=2, predicted_class="smooth"
        ),
        "near": await world.add_image("near", p_value=0.02, position=(0.0001, 0.0), minutes=3, survey="efigi"),
        "fresh": await world.add_image("fresh", p_value=None, position=(120.0, 89.9999), minutes=4),
        "nowhere": await world.add_image("nowhere", p_value=0.9, minutes=5, batch="other"),
    }


async def test_newest_come_first_and_the_unanalysed_have_no_strangeness(client: httpx.AsyncClient, sky: Any) -> None:
    assert await names(client) == ["nowhere", "fresh", "near", "odd", "quiet"]
    assert await names(client, sort="strangeness") == ["odd", "near", "quiet", "nowhere"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"survey": "efigi"}, {"near"}),
        ({"survey": ["efigi", "sdss"], "verdict": "anomaly"}, {"odd"}),
        ({"verdict": ["anomaly", "near_miss"]}, {"odd", "near"}),
        ({"class": "smooth"}, {"odd"}),
        ({"state": "ingested"}, {"fresh"}),
        ({"batch": "other"}, {"nowhere"}),
        ({"label": "any"}, set()),
        ({"label": "none", "batch": "other"}, {"nowhere"}),
        ({"since": "2026-03-01T20:04:00Z"}, {"fresh", "nowhere"}),
        ({"until": "2026-03-01T21:02:00+01:00"}, {"quiet"}),
        ({"name": "EAR"}, {"near"}),
        ({"q": "owher"}, {"nowhere"}),
        ({"q": "10.68 +41.27"}, {"quiet"}),
        ({"q": "00:42:43.2 +41:16:12"}, {"quiet"}),
        ({"ra_deg": 0, "dec_deg": 0, "radius_arcsec": 2}, {"odd", "near"}),
        ({"ra_deg": 300, "dec_deg": 90, "radius_arcsec": 1}, {"fresh"}),
    ],
)
async def test_filters(client: httpx.AsyncClient, sky: Any, query: dict[str, Any], expected: set[str]) -> None:
    assert set(await names(client, **query)) == expected


async def test_a_cone_gives_distances_and_leaves_the_corners_of_its_box_out(
    world: Any, client: httpx.AsyncClient
) -> None:
    await world.add_image("inside", position=(50.0, 0.5 / 3600))
    await world.add_image("corner", position=(50.0 + 0.9 / 3600, 0.9 / 3600))
    answer = await client.get("/api/images", params={"ra_deg": 50, "dec_deg": 0, "radius_arcsec": 1})
    (item,) = answer.json()["items"]
    assert item["name"] == "inside"
    assert item["distance_arcsec"] == pytest.approx(0.5, rel=1e-6)


async def test_an_id_is_found_whole_and_by_its_beginning(client: httpx.AsyncClient, sky: dict[str, str]) -> None:
    assert await names(client, q=sky["odd"]) == ["odd"]
    beginning = next(sky["odd"][:n] for n in range(8, 32) if any(c in "abcdef" for c in sky["odd"][:n]))
    assert await names(client, q=beginning) == ["odd"]
    assert await names(client, q="f" * 32) == []


async def test_pages_follow_each_other_without_gap_or_repeat(world: Any, client: httpx.AsyncClient) -> None:
    for n in range(7):
        await world.add_image(f"twin {n}", p_value=0.5)
    seen: list[str] = []
    after = None
    while True:
        query = {"limit": 3, "sort": "strangeness", **({"after": after} if after else {})}
        body = (await client.get("/api/images", params=query)).json()
        seen += [item["name"] for item in body["items"]]
        after = body["next"]
        if after is None:
            break
    assert sorted(seen) == [f"twin {n}" for n in range(7)]


@pytest.fixture
async def measured(world: Any, sky: dict[str, str]) -> dict[str, Any]:
    """Two candidates with their morphology, the third of statmorph's numbers missing."""
    values: dict[str, Any] = {
        "method": "statmorph",
        "version": 1,
        "quality": "good",
        "measured_at": "2026-03-01T21:00:00Z",
    }
    odd = {**values, "asymmetry": 0.3, "concentration": 2.1, "gini": 0.5, "ring_score": None}
    near = {**values, "asymmetry": -0.1, "concentration": 3.4, "gini": 0.6, "ring_score": 1.5}
    changes = [Change(id=sky[name], set={"morphology": found}) for name, found in (("odd", odd), ("near", near))]
    await world.records.apply(Collection.IMAGES, changes)
    return odd


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("asymmetry", ["odd", "near"]),
        ("concentration", ["near", "odd"]),
        ("gini", ["near", "odd"]),
        ("ring", ["near"]),
    ],
)
async def test_images_are_sorted_by_what_was_measured(
    client: httpx.AsyncClient, sky: Any, measured: Any, sort: str, expected: list[str]
) -> None:
    assert await names(client, sort=sort) == expected
    assert await names(client, sort=sort, survey="efigi") == ["near"]


async def test_one_image_has_its_morphology_with_its_quality(
    client: httpx.AsyncClient, sky: dict[str, str], measured: dict[str, Any]
) -> None:
    body = (await client.get(f"/api/images/{sky['odd']}")).json()["morphology"]
    assert {name: body[name] for name in ("quality", "asymmetry", "ring_score", "m20")} == {
        "quality": "good",
        "asymmetry": 0.3,
        "ring_score": None,
        "m20": None,
    }
    assert (await client.get(f"/api/images/{sky['quiet']}")).json()["morphology"] is None


async def test_a_cursor_of_another_sort_is_a_problem(client: httpx.AsyncClient, sky: Any) -> None:
    newest = (await client.get("/api/images", params={"limit": 1, "sort": "newest"})).json()["next"]
    answer = await client.get("/api/images", params={"limit": 1, "sort": "strangeness", "after": newest})
    assert answer.status_code == 422
    assert "begin again with the first page" in answer.json()["detail"]


async def test_images_beyond_their_calibration_are_sorted_and_told(world: Any, client: httpx.AsyncClient) -> None:
    for name, rank in (("strange", 3.1), ("strangest", 9.9)):
        await world.add_image(name, p_value=1 / 606, rank_score=rank, kinds={"blend": 0.9, "trail": 0.05})
    await world.add_image("rare", p_value=1 / 120, survey="pooled")
    body = (await client.get("/api/candidates")).json()
    assert [item["name"] for item in body["items"]] == ["strangest", "strange", "rare"]
    first, _, last = body["items"]
    assert (first["p_value_at_most"], first["rank_score"], first["calibration_fit"]) == (True, 9.9, "own")
    assert first["p_value_words"] == {
        "figure": "p ≤ 1/606",
        "meaning": "stranger than all 605 ordinary images",
        "calibration": "",
    }
    assert last["p_value_words"] == {
        "figure": "pooled p = 0.0083",
        "meaning": "a ranking only: above 99.1 % of the ordinary images of other surveys",
        "calibration": "calibration: pooled",
    }
    ranked = (await client.get(f"/api/images/{last['image_id']}")).json()
    assert (ranked["budget"]["one_in"], ranked["detector_budgets"]["energy"]["one_in"]) == (None, None)
    assert ranked["detector_budgets"]["energy"]["words"]["figure"].startswith("pooled p ")
    (verdict,) = [step["detail"] for step in ranked["provenance"] if step["step"] == "verdict"]
    assert verdict.startswith("pooled p = 0.0083, ")
    detail = (await client.get(f"/api/images/{first['image_id']}")).json()
    assert detail["kinds"] == [
        {"kind": "blend", "probability": 0.9},
        {"kind": "trail-or-bad-column", "probability": 0.05},
    ]
    assert (detail["budget"]["at_most"], detail["budget"]["words"]["figure"]) == (True, "p ≤ 1/606")
    assert detail["detector_budgets"]["energy"]["words"]["figure"] == "p = 0.0017"
    steps = {step["step"]: step["detail"] for step in detail["provenance"]}
    assert steps["calibration"] == "605 ordinary images of sdss"
    assert steps["verdict"].startswith("p ≤ 1/606, ")


async def test_candidates_are_what_is_not_ordinary(client: httpx.AsyncClient, sky: Any) -> None:
    assert await names(client, "/api/candidates") == ["odd", "near"]
    body = (await client.get("/api/candidates", params={"survey": "efigi"})).json()
    assert [item["name"] for item in body["items"]] == ["near"]
    assert (body["total"], body["total_is_exact"]) == (1, True)
    assert (await client.get("/api/candidates", params={"per": "image"})).json()["total"] == 2
    assert (await client.get("/api/candidates")).json()["total"] == 2


async def test_one_image_with_its_provenance_and_without_its_embedding(
    client: httpx.AsyncClient, sky: dict[str, str]
) -> None:
    body = (await client.get(f"/api/images/{sky['odd']}")).json()
    assert body["verdict"] == "anomaly"
    assert body["analysis"]["detectors"]["energy"]["p_value"] == 0.004
    assert "embedding" not in body["analysis"]
    assert "pending" not in body
    assert body["budget"]["one_in"] == pytest.approx(250)
    assert body["card"]["scale_arcsec"] == pytest.approx(0.8), "0.4 arcsec a pixel, shrunk by half"
    steps = {step["step"]: step["id"] for step in body["provenance"]}
    assert list(steps) == ["arrival", "original", "cutout", "preprocessing", "model", "calibration", "verdict"]
    assert steps["model"] == "d" * 64


async def test_an_unknown_image_is_a_problem_that_says_what_to_do(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/images/{'0' * 32}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "0" * 32 in answer.json()["detail"]
    assert "GET /api/images" in answer.json()["detail"]


async def test_a_cutout_is_cached_for_ever(client: httpx.AsyncClient, sky: dict[str, str]) -> None:
    answer = await client.get(f"/api/images/{sky['odd']}/cutout")
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    again = await client.get(f"/api/images/{sky['odd']}/cutout", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert (await client.get(f"/api/images/{'0' * 32}/cutout")).status_code == 404


async def test_an_original_is_a_download_whatever_it_calls_itself(world: Any, client: httpx.AsyncClient) -> None:
    page = await world.add_image("page", media_type="text/html")
    photo = await world.add_image("photo", media_type="image/png")
    answer = await client.get(f"/api/images/{page}/original")
    assert answer.content == b"pixels of page"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{page}.bin"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await client.get(f"/api/images/{photo}/original")).headers["content-type"] == "image/png"


@pytest.fixture
async def linking(world: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The world's store gives links, signed as S3 ones are."""
    options = S3Options("key", "secret", public_url="https://pictures.example")
    signing = image_store("s3+http://minio:9000/astrolens?region=eu", options)
    monkeypatch.setattr(world.images, "link", signing.link)
    yield
    await signing.close()


@pytest.mark.usefixtures("linking")
async def test_a_cutout_comes_from_the_object_store_where_that_is_public(
    client: httpx.AsyncClient, sky: dict[str, str]
) -> None:
    answer = await client.get(f"/api/images/{sky['odd']}/cutout")
    assert (answer.status_code, answer.content) == (307, b"")
    link = httpx.URL(answer.headers["location"])
    assert link.host == "pictures.example"
    assert link.path == f"/astrolens/cutouts/{sky['odd'][:2]}/{sky['odd']}.jpg"
    assert link.params["response-content-type"] == "image/jpeg"
    remembered = re.fullmatch(r"private, max-age=(\d+)", answer.headers["cache-control"])
    assert remembered is not None
    assert int(remembered[1]) < int(link.params["X-Amz-Expires"])
    streamed = await client.get(f"/api/images/{sky['odd']}/cutout", params={"stream": True})
    assert (streamed.status_code, streamed.headers["content-type"]) == (200, "image/jpeg")
    known = {"if-none-match": streamed.headers["etag"]}
    assert (await client.get(f"/api/images/{sky['odd']}/cutout", headers=known)).status_code == 304


@pytest.mark.usefixtures("linking")
async def test_an_original_from_the_object_store_is_a_download_too(world: Any, client: httpx.AsyncClient) -> None:
    page = await world.add_image("page", media_type="text/html")
    answer = await client.get(f"/api/images/{page}/original")
    assert answer.status_code == 307
    served_as = httpx.URL(answer.headers["location"]).params
    assert served_as["response-content-type"] == "application/octet-stream"
    assert served_as["response-content-disposition"] == f'attachment; filename="{page}.bin"'
    record = (await world.records.get(Collection.IMAGES, [page]))[page]
    await world.images.delete([record["original"]["key"]])
    gone = await client.get(f"/api/images/{page}/original")
    assert (gone.status_code, gone.json()["title"]) == (404, "No such picture")


async def test_similar_images_come_with_their_records(
    world: Any, client: httpx.AsyncClient, sky: dict[str, str]
) -> None:
    world.model.neighbours[sky["odd"]] = [
        Neighbour(sky["near"], 0.9),
        Neighbour("gone", 0.8),
        Neighbour(sky["quiet"], 0.7),
    ]
    body = (await client.get(f"/api/images/{sky['odd']}/similar", params={"k": 3})).json()
    assert [(each["image"]["name"], each["cosine_similarity"]) for each in body["items"]] == [
        ("near", 0.9),
        ("quiet", 0.7),
    ]
    made = await world.add_image("made", p_value=0.5, simulated=True)
    world.model.neighbours[sky["odd"]] = [Neighbour(made, 0.95), Neighbour(sky["near"], 0.9)]
    world.model.neighbours[made] = [Neighbour(made, 1.0)]

    async def like(image: str, *, simulated: bool) -> list[str | None]:
        return [each.image.name for each in (await world.context.archive.similar(image, 1, simulated=simulated)).items]

    assert await like(sky["odd"], simulated=True) == ["made"]
    assert await like(sky["odd"], simulated=False) == ["near"]
    assert await like(made, simulated=False) == ["made"]
    unknown = await client.get(f"/api/images/{sky['quiet']}/similar")
    assert (unknown.status_code, unknown.json()["title"]) == (404, "Not indexed")
    world.model.unreachable = True
    unreachable = await client.get(f"/api/images/{sky['odd']}/similar")
    assert unreachable.status_code == 503
    assert "loading" in unreachable.json()["detail"]


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"after": "nonsense"}, "cursor"),
        ({"verdict": "weird"}, "verdict"),
        ({"ra_deg": 12}, "dec_deg"),
        ({"ra_deg": 360, "dec_deg": 0}, "ra_deg"),
        ({"label": "great"}, "great"),
    ],
)
async def test_what_cannot_be_asked_is_refused_in_a_sentence(
    client: httpx.AsyncClient, query: dict[str, Any], word: str
) -> None:
    answer = await client.get("/api/images", params=query)
    assert answer.status_code == 422
    assert word in answer.json()["detail"]


async def test_analysing_again_puts_an_image_back_in_flight_once(
    world: Any, client: httpx.AsyncClient, sky: Any
) -> None:
    for _ in range(2):
        assert (await client.post(f"/api/analyze/{sky['odd']}")).status_code == 202
    record = (await client.get(f"/api/images/{sky['odd']}")).json()
    assert record["state"] == ImageState.INGESTED
    ((collection, key, events),) = world.bus.released
    assert (collection, key, events[0].topic) == ("images", sky["odd"], "astrolens.images.ingested.v1")
    status = (await client.get("/api/status")).json()
    assert status["in_flight"] == 2
    assert (await client.post(f"/api/analyze/{'0' * 32}")).status_code == 404


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
@pytest.mark.parametrize("bound", ["since", "until"])
async def test_times_at_the_ends_of_the_calendar_are_refused(client: httpx.AsyncClient, bound: str, time: str) -> None:
    answer = await client.get("/api/images", params={bound: time})
    assert answer.status_code == 422
    assert "years 1 to 9999" in answer.json()["detail"]


async def test_artefact_scores_filter_only_lists_that_the_ranking_sorts(client: httpx.AsyncClient) -> None:
    for path in ("/api/images?sort=strangeness&max_artefact=0.1", "/api/images?max_artefact=0.1"):
        refused = await client.get(path)
        assert refused.status_code == 422, path
        assert "sort=interest or sort=useful" in refused.json()["detail"]
    assert (await client.get("/api/candidates?max_artefact=0.1")).status_code == 422
    body = {"request_id": "r" * 20, "answer": "artefact"}
    assert (await client.post("/api/labels/matching?sort=newest&max_artefact=0.1", json=body)).status_code == 422
    assert (await client.get("/api/images?sort=interest&max_artefact=0.1")).status_code == 200
