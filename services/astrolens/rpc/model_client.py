"""The one client of the model server: analyse cutouts, describe the model, find similar images, extract features."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Reason
from astrolens.contracts.verdicts import Analysis
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.telemetry.tracing import ANALYZE_MANY, NO_TRACING, Tracing
from astrolens.platform.time_limits import MODEL_CALL_S, MODEL_RETRY_S
from astrolens.rpc.channel import SERVICE_NAME, balanced_channel
from astrolens.rpc.messages import Description, ExtractedTaps, analysis_or_reason, description, extracted_taps
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.rpc.v1.inference_pb2_grpc import InferenceStub

if TYPE_CHECKING:
    from astrolens.rpc.v1.inference_pb2_grpc import InferenceAsyncStub

_MAX_REQUEST_BYTES: Final = 32 << 20
_MAX_REQUEST_ITEMS: Final = 128
_QUERY_TIMEOUT_S: Final = 3.0
"""Of `describe` and `similar`: a page must not hang on a model server that is loading."""
_PING_TIMEOUT_S: Final = 2.0
_RETRY: Final = RetryPolicy(initial_wait_s=0.1, max_wait_s=2.0, timeout_s=MODEL_RETRY_S)
_NO_HEALTHY_SERVER: Final = "backend unhealthy"
"""gRPC's words where servers are there and none of them is SERVING."""
_INPUT_ERRORS: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""Codes that a cutout may have caused: the bus bisects the batch to find it. With any other code the server is
unreachable, busy, loading or not the right one, and no image may be rejected for that."""
_UNREACHABLE: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


class UnknownToModel(Exception):
    """The similarity index does not know this image (yet)."""


@dataclass(frozen=True, slots=True)
class CutoutRequest:
    """A cutout to analyse: JPEG bytes; `survey` chooses the calibration."""

    image_id: str
    survey: str
    jpeg: bytes


@dataclass(frozen=True)
class Neighbour:
    """A similar image."""

    image_id: str
    cosine_similarity: float


class ModelClient:
    """gRPC client of one or many model servers; it connects when first used.

    Args:
        address: host:port or a gRPC target; see `balanced_channel`.
        stopping: Ends the waits between two attempts.
        clock: Gives the present time, UTC.
        retry_policy: How long `analyze` is tried again while no server can answer.
        tracing: Carries the traces of the images to the server.
    """

    def __init__(
        self,
        address: str,
        *,
        stopping: asyncio.Event | None = None,
        clock: Callable[[], datetime] = utc_now,
        retry_policy: RetryPolicy = _RETRY,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._address = address
        self._stopping = stopping or asyncio.Event()
        self._clock = clock
        self._retry_policy = retry_policy
        self._tracing = tracing
        self._channel: grpc.aio.Channel | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

    async def ping(self) -> None:
        """Raise `ModelUnavailable` unless a server has a model loaded."""
        try:
            answer = await health_pb2_grpc.HealthStub(self._open_channel()).Check(
                health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=_PING_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise ModelUnavailable(f"the model server at {self._address} has no model loaded yet")

    async def analyze(self, cutouts: Sequence[CutoutRequest]) -> list[Analysis | Reason]:
        """One answer a cutout, in their order; a reason where it cannot be analysed.

        Raises:
            ModelUnavailable: No server could answer for as long as the retry policy allows.
            AioRpcError: A cutout of the batch may have caused it.
        """
        answers: list[Analysis | Reason] = []
        for chunk in _chunks(cutouts):
            request = pb.AnalyzeManyRequest(
                items=[pb.Item(image_id=item.image_id, survey=item.survey, cutout=item.jpeg) for item in chunk]
            )
            response = await retry(
                partial(self._analyze_once, request), retry_policy=self._retry_policy, stopping=self._stopping
            )
            now = self._clock()
            answers += [analysis_or_reason(outcome, response.model, now) for outcome in response.outcomes]
        return answers

    async def extract_taps(self, cutouts: Sequence[CutoutRequest], taps: Sequence[str]) -> ExtractedTaps:
        """Pooled feature maps of at most 64 cutouts, without those that cannot be read.

        Raises:
            ModelUnavailable: No server answers, or its bundle has no such feature maps.
        """
        items = [pb.Item(image_id=item.image_id, survey=item.survey, cutout=item.jpeg) for item in cutouts]
        request = pb.ExtractFeaturesRequest(items=items, taps=taps)
        try:
            return extracted_taps(await self._stub().ExtractFeatures(request, timeout=MODEL_CALL_S))
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error

    async def describe(self) -> Description:
        """What model is loaded.

        Raises:
            ModelUnavailable: No server answers, or it is still loading.
        """
        try:
            return description(await self._stub().Describe(pb.DescribeRequest(), timeout=_QUERY_TIMEOUT_S))
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error

    async def similar(self, image_id: str, k: int) -> tuple[str, list[Neighbour]]:
        """The digest of the model that answers, and the `k` images most like one, best first.

        Raises:
            UnknownToModel: The index does not know the image.
            ModelUnavailable: No server answers.
        """
        try:
            response = await self._stub().Similar(pb.SimilarRequest(image_id=image_id, k=k), timeout=_QUERY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise UnknownToModel(image_id) from error
            raise self._unavailable(error) from error
        neighbours = [Neighbour(each.image_id, each.cosine_similarity) for each in response.neighbours]
        return response.model_digest, neighbours

    async def _analyze_once(self, request: pb.AnalyzeManyRequest) -> pb.AnalyzeManyResponse:
        images = [item.image_id for item in request.items]
        try:
            with self._tracing.calling(ANALYZE_MANY, address=self._address, keys=images) as call:
                return await self._stub().AnalyzeMany(request, timeout=MODEL_CALL_S, metadata=call.metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _INPUT_ERRORS:
                raise
            raise self._unavailable(error) from error

    def _stub(self) -> "InferenceAsyncStub":
        return InferenceStub(self._open_channel())

    def _open_channel(self) -> "grpc.aio.Channel":
        if self._channel is None:
            self._channel = balanced_channel(self._address)
        return self._channel

    def _unavailable(self, error: "grpc.aio.AioRpcError") -> ModelUnavailable:
        details = error.details() or "no details"
        if _NO_HEALTHY_SERVER in details:
            return ModelUnavailable(f"no model server at {self._address} has a model loaded yet")
        verb = "does not answer:" if error.code() in _UNREACHABLE else "answered"
        return ModelUnavailable(f"the model server at {self._address} {verb} {error.code().name}: {details}")


def _chunks(cutouts: Sequence[CutoutRequest]) -> Iterator[list[CutoutRequest]]:
    """Cutouts in requests that keep within the limits of a message."""
    chunk: list[CutoutRequest] = []
    size = 0
    for cutout in cutouts:
        if chunk and (len(chunk) == _MAX_REQUEST_ITEMS or size + len(cutout.jpeg) > _MAX_REQUEST_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(cutout)
        size += len(cutout.jpeg)
    if chunk:
        yield chunk
