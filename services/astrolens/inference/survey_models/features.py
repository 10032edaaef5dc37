"""Feature maps of images, from the model server, a page at a time."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from astrolens.contracts.ids import content_digest
from astrolens.platform.stores.images import ImageStore
from astrolens.rpc.messages import ExtractedTaps
from astrolens.rpc.model_client import CutoutRequest

PAGE: Final = 32
"""Images of one request: a batch of the model server, and some megabytes of feature maps."""

Taps = dict[str, NDArray[np.float32]]

_log = structlog.get_logger(__name__)


class StoredCutout(Protocol):
    """Where the cutout of an image lies, and its digest."""

    @property
    def image_id(self) -> str:
        """Of the image."""

    @property
    def cutout_key(self) -> str:
        """Key in the image store."""

    @property
    def cutout_sha256(self) -> str:
        """Of the cutout that was ingested."""


class TapSource(Protocol):
    """The model server, as fits need it."""

    async def extract_taps(self, cutouts: Sequence[CutoutRequest], taps: Sequence[str]) -> ExtractedTaps:
        """Feature maps of cutouts, without those that cannot be read.

        Raises:
            ModelUnavailable: It does not answer, or its bundle has no such taps.
        """


class ModelChanged(Exception):
    """The model server answers with another bundle than was asked for; the next pass begins again."""


class FeatureReader:
    """Reads cutouts and asks for their feature maps.

    Args:
        images: The image store.
        model: The model server.
    """

    def __init__(self, *, images: ImageStore, model: TapSource) -> None:
        self._images = images
        self._model = model

    async def read(
        self, wanted: Sequence[StoredCutout], *, taps: Sequence[str], model_digest: str
    ) -> tuple[list[str], Taps]:
        """Ids [n] and feature maps, each [n, d], of the images whose cutouts can be read.

        Args:
            wanted: The images.
            taps: Names of the feature maps.
            model_digest: The bundle that must answer.

        Raises:
            StoreUnavailable: The image store is unreachable.
            ModelUnavailable: The model server does not answer.
            ModelChanged: It has another bundle by now.
        """
        ids: list[str] = []
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in taps}
        for start in range(0, len(wanted), PAGE):
            cutouts = await self._cutouts(wanted[start : start + PAGE])
            if not cutouts:
                continue
            answer = await self._model.extract_taps(cutouts, taps)
            if answer.model_digest != model_digest:
                raise ModelChanged(f"the model server has the bundle {answer.model_digest[:16]} by now")
            ids += answer.image_ids
            for name in taps:
                values = np.frombuffer(answer.values[name], dtype="<f4")
                parts[name].append(values.reshape(len(answer.image_ids), answer.columns[name]))
        if not ids:
            return [], {}
        return ids, {name: np.concatenate(pages) for name, pages in parts.items()}

    async def _cutouts(self, wanted: Sequence[StoredCutout]) -> list[CutoutRequest]:
        found = await self._images.get_many([image.cutout_key for image in wanted])
        cutouts = []
        for image in wanted:
            jpeg = found.get(image.cutout_key)
            if jpeg is None or content_digest(jpeg) != image.cutout_sha256:
                _log.warning("an image whose cutout is missing is left out", image_id=image.image_id)
                continue
            cutouts.append(CutoutRequest(image_id=image.image_id, survey="", jpeg=jpeg))
        return cutouts
