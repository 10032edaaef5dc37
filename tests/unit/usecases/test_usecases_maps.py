"""Maps: an equal-area sky with east to the left, and a plane of embeddings that does not flip."""

import base64
from math import pi, sqrt

import numpy as np
import pytest
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import RecordStore, to_document
from astrolens.usecases import maps
from astrolens.usecases.image_queries import ImageFilter, Sort
from astrolens.usecases.maps import Maps, mollweide, principal_plane

from tests.made_records import make_image


@pytest.mark.parametrize(
    ("ra", "dec", "place"),
    [
        (0.0, 0.0, (0.0, 0.0)),
        (90.0, 0.0, (-sqrt(2.0), 0.0)),  # east is left
        (270.0, 0.0, (sqrt(2.0), 0.0)),
        (180.0, 0.0, (2.0 * sqrt(2.0), 0.0)),
        (77.0, 90.0, (0.0, sqrt(2.0))),
        (77.0, -90.0, (0.0, -sqrt(2.0))),
    ],
)
def test_mollweide_at_known_places(ra: float, dec: float, place: tuple[float, float]) -> None:
    assert mollweide(ra, dec) == pytest.approx(place, abs=1e-4)


def test_mollweide_keeps_areas() -> None:
    def area(ra: float, dec: float, step: float) -> float:
        corners = np.array([mollweide(ra + a, dec + b) for a, b in ((0, 0), (step, 0), (step, step), (0, step))])
        x, y = corners[:, 0], corners[:, 1]
        return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2.0

    def on_sphere(dec: float, step: float) -> float:
        return pi / 180 * step * float(np.sin(np.radians(dec + step)) - np.sin(np.radians(dec)))

    for ra, dec in ((10.0, 0.0), (120.0, 40.0), (200.0, -70.0), (300.0, 80.0)):
        assert area(ra, dec, 0.5) == pytest.approx(on_sphere(dec, 0.5), rel=2e-3)


def embedded(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f2").tobytes()).decode()


def test_the_plane_shows_what_differs_most_whatever_the_sign() -> None:
    rng = np.random.default_rng(3)
    along = rng.normal(size=60)
    vectors = np.outer(along, np.eye(8)[2]) * 10 + rng.normal(size=(60, 8)) * 0.1
    plane = principal_plane(list(vectors))
    assert abs(np.corrcoef(plane[:, 0], along)[0, 1]) > 0.999
    turned = principal_plane(list(-vectors))
    assert np.abs(np.abs(turned[:, 0]) - np.abs(plane[:, 0])).max() < 0.01
    assert principal_plane([]).shape == (0, 2)
    assert principal_plane([np.ones(8)]).tolist() == [[0.0, 0.0]]


async def test_a_map_says_what_has_no_place_and_whether_there_are_more(
    records: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [to_document(make_image(f"a-{n}", position=(10.0 * n, 5.0) if n else None)[0]) for n in range(6)]
    for n, document in enumerate(documents):
        model = "old" if n == 3 else "new"
        document["analysis"] = None if n == 2 else {"model_digest": model, "embedding": embedded(np.arange(8) * n)}
        if n == 5:
            document["analysis"]["embedding"] = "AAAA"  # three bytes are no numbers of two
        document["ingested_at"] = f"2026-01-0{9 - n}T00:00:00.000000Z"
    await records.insert(Collection.IMAGES, documents)
    found = await Maps(records=records).sky(ImageFilter(), sort=Sort.NEWEST)
    assert [point.name for point in found.points] == ["a-1", "a-2", "a-3", "a-4", "a-5"]
    assert (found.left_out, found.complete) == (1, True)
    space = await Maps(records=records).embeddings(ImageFilter(), sort=Sort.NEWEST)
    assert [point.name for point in space.points] == ["a-0", "a-1", "a-4"]
    assert space.left_out == 3
    monkeypatch.setattr(maps, "MAX_POINTS", 3)
    monkeypatch.setattr(maps, "_PAGE", 3)
    assert not (await Maps(records=records).sky(ImageFilter(), sort=Sort.NEWEST)).complete
