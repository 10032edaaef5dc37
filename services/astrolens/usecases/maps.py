"""Maps of a list of images: where they lie on the sky, and how they lie to each other in the model's space."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi, radians, sin, sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.records import Document, RecordStore
from astrolens.usecases.image_queries import ImageFilter, Sort, find_images

MAX_POINTS: Final = 1_000
"""Images on a map: the first of the list. More are a cloud, and cost every window memory."""
_PAGE: Final = 200
_NEWTON_STEPS: Final = 12
"""Enough for 1e-9 anywhere but within a millionth of a degree of the poles."""

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """An image on a map."""

    image_id: str
    name: str
    verdict: str
    x: float
    y: float


@dataclass(frozen=True)
class ImageMap:
    """A map of the first images of a list.

    Attributes:
        points: Those that have a place on it.
        left_out: How many of the first have none: no position, or no analysis by the model of the others.
        complete: Whether the list has no more.
    """

    points: list[Point]
    left_out: int
    complete: bool


class Maps:
    """Makes maps."""

    def __init__(self, *, records: RecordStore) -> None:
        self._records = records

    async def sky(self, wanted: ImageFilter, *, sort: Sort) -> ImageMap:
        """The sky in Mollweide's projection; see `mollweide`."""
        documents, complete = await self._first(wanted, sort)
        points = []
        for document in documents:
            position = document["observation"].get("position")
            if position:
                points.append(_point(document, *mollweide(position["ra_deg"], position["dec_deg"])))
        return ImageMap(points, len(documents) - len(points), complete)

    async def embeddings(self, wanted: ImageFilter, *, sort: Sort) -> ImageMap:
        """The two directions in which the embeddings of these images differ most, from principal components.

        Only images that the model of the first one analysed are shown: numbers of another mean something else.
        """
        documents, complete = await self._first(wanted, sort)
        ids = [document["image_id"] for document in documents]
        read = await self._records.get(Collection.IMAGES, ids, fields=("analysis.model_digest", "analysis.embedding"))
        analyses = {image: document.get("analysis") or {} for image, document in read.items()}
        vectors = {image: vector for image, each in analyses.items() if (vector := _vector(each)) is not None}
        analysed = [each for each in documents if each["image_id"] in vectors]
        model = analyses[analysed[0]["image_id"]]["model_digest"] if analysed else None
        shown = [each for each in analysed if analyses[each["image_id"]]["model_digest"] == model]
        rows = [vectors[each["image_id"]] for each in shown]
        places = await asyncio.to_thread(principal_plane, rows)
        points = [_point(each, float(x), float(y)) for each, (x, y) in zip(shown, places, strict=True)]
        return ImageMap(points, len(documents) - len(points), complete)

    async def _first(self, wanted: ImageFilter, sort: Sort) -> tuple[list[Document], bool]:
        found: list[Document] = []
        after = None
        while len(found) < MAX_POINTS:
            page = await find_images(self._records, wanted, sort=sort, limit=_PAGE, after=after)
            found += page.documents
            after = page.next
            if after is None:
                return found, True
        return found, False


def mollweide(ra_deg: float, dec_deg: float) -> tuple[float, float]:
    """Mollweide's equal-area projection with RA 0 in its middle and east to the left, as one sees the sky.

    Snyder, Map Projections (USGS Professional Paper 1395), equations 31-1 to 31-4, on a sphere of radius 1.

    Returns:
        x in [-2 sqrt 2, 2 sqrt 2], y in [-sqrt 2, sqrt 2].
    """
    longitude = radians((ra_deg + 180.0) % 360.0 - 180.0)
    wanted = pi * sin(radians(dec_deg))
    theta = 2.0 * radians(dec_deg) / (1.0 + abs(dec_deg) / 90.0)
    for _ in range(_NEWTON_STEPS):
        slope = 2.0 + 2.0 * cos(2.0 * theta)
        if slope < 1e-9:
            break  # the pole itself
        theta -= (2.0 * theta + sin(2.0 * theta) - wanted) / slope
    theta = max(-pi / 2.0, min(pi / 2.0, theta))
    return -2.0 * sqrt(2.0) / pi * longitude * cos(theta), sqrt(2.0) * sin(theta)


def principal_plane(rows: Sequence[Rows]) -> Rows:
    """The first two principal components of embeddings, [n, 2], each scaled to one standard deviation.

    Args:
        rows: n embeddings, all of one length.
    """
    if not rows:
        return np.zeros((0, 2))
    vectors = np.stack(rows)
    centred = vectors - vectors.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    count = min(2, len(singular))
    plane = np.zeros((len(rows), 2))
    plane[:, :count] = left[:, :count] * sqrt(len(rows))
    # The sign of a component is arbitrary: the same list has the same map.
    for column in range(count):
        if plane[np.argmax(np.abs(plane[:, column])), column] < 0:
            plane[:, column] *= -1.0
    plane[:, :count] *= singular[:count] > 1e-9
    return plane


def _vector(analysis: Document) -> Rows | None:
    """The embedding of an analysis; None where it has none that can be read."""
    try:
        raw = base64.b64decode(analysis.get("embedding") or "", validate=True)
        vector = np.frombuffer(raw, dtype="<f2").astype(np.float64)
    except ValueError:
        return None
    return vector if vector.size and np.isfinite(vector).all() else None


def _point(document: Document, x: float, y: float) -> Point:
    name = document["observation"].get("name") or document["image_id"][:12]
    return Point(document["image_id"], name, document.get("verdict") or "none", x, y)
