"""The model server as the console sees it: what it is, and what resembles what."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import grpc

from astrolens.platform.errors import ModelUnavailable
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.rpc.v1 import inference_pb2_grpc

DEADLINE_S = 3.0
"""Longest wait for an answer: a page must not hang on a model server that is loading."""

FRESH_S = 5.0
"""How long a description serves again: it changes only with a new bundle, but every status asks for it."""


class UnknownToModel(Exception):
    """The similarity index does not know this image (yet)."""


@dataclass(frozen=True)
class Neighbour:
    """A similar image."""

    image_id: str
    cosine_similarity: float


@dataclass(frozen=True)
class Description:
    """What model and calibration are loaded, as JSON-ready values."""

    summary: dict[str, Any]
    """Name, digests and calibration: what the status shows."""
    whole: dict[str, Any]
    """The summary with figures, card and calibration strips: what the model page shows."""


class ModelClient:
    """gRPC client of the model server; it connects when first used."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None
        self._known: Description | None = None
        self._failure = ""
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        """Hang up."""
        if self._channel is not None:
            await self._channel.close(grace=None)
            self._channel = None

    async def describe(self) -> Description:
        """What is loaded, at most `FRESH_S` old.

        Raises:
            ModelUnavailable: The model server does not answer, or is still loading.
        """
        async with self._asking:
            # Failures are remembered as long as answers: a dead server must not slow every status down.
            if time.monotonic() - self._asked_at >= FRESH_S:
                await self._ask()
        if self._known is None:
            raise ModelUnavailable(self._failure)
        return self._known

    async def _ask(self) -> None:
        try:
            response = await self._stub().Describe(pb.DescribeRequest(), timeout=DEADLINE_S)
            self._known, self._failure = _description(response), ""
        except grpc.aio.AioRpcError as error:
            self._known, self._failure = None, self._why(error)
        self._asked_at = time.monotonic()

    async def summary(self) -> dict[str, Any]:
        """The description's summary with `state` `ready`, or `unreachable` with the reason; never fails."""
        try:
            return {"state": "ready", **(await self.describe()).summary}
        except ModelUnavailable as error:
            return {"state": "unreachable", "detail": str(error)}

    async def similar(self, image_id: str, k: int) -> tuple[str, list[Neighbour]]:
        """The `k` images most like one, and the digest of the model that says so.

        Raises:
            UnknownToModel: The index does not know the image.
            ModelUnavailable: The model server does not answer.
        """
        try:
            response = await self._stub().Similar(pb.SimilarRequest(image_id=image_id, k=k), timeout=DEADLINE_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise UnknownToModel(image_id) from error
            raise ModelUnavailable(self._why(error)) from error
        found = [Neighbour(each.image_id, each.cosine_similarity) for each in response.neighbours]
        return response.model_digest, found

    def _stub(self) -> Any:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(
                self._address,
                options=[("grpc.max_receive_message_length", 16 * 2**20), ("grpc.max_reconnect_backoff_ms", 2000)],
            )
        return inference_pb2_grpc.InferenceStub(self._channel)

    def _why(self, error: grpc.aio.AioRpcError) -> str:
        return f"the model server at {self._address} answered {error.code().name}: {error.details() or 'no details'}"


def _description(response: Any) -> Description:
    model, calibration = response.model, response.calibration
    summary = {
        "name": model.name,
        "version": model.version,
        "digest": model.digest,
        "preprocessing_digest": model.preprocessing_digest,
        "calibration_id": model.calibration_id,
        "execution_provider": model.execution_provider,
        "alpha": calibration.alpha,
        "classes": list(response.classes),
        "detectors": list(response.detectors),
        "surveys": [survey.survey for survey in calibration.surveys],
        "indexed_images": response.indexed_images,
    }
    strips = {
        survey.survey: {
            "images": survey.images,
            "strips": {
                strip.detector: {"probabilities": list(strip.probabilities), "scores": list(strip.scores)}
                for strip in survey.strips
            },
        }
        for survey in calibration.surveys
    }
    whole = {
        **summary,
        "embedding_dim": response.embedding_dim,
        "figures": json.loads(response.figures_json) if response.figures_json else {},
        "model_card": response.model_card,
        "calibration": {"id": calibration.id, "alpha": calibration.alpha, "surveys": strips},
    }
    return Description(summary, whole)
