"""The analyzer's client of the model server."""

import asyncio
import base64
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from astrolens.contracts.base import utc_now
from astrolens.contracts.records import Reason
from astrolens.contracts.verdicts import Analysis, DetectorResult, Verdict
from astrolens.inference.analyzer import Picture
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.telemetry.tracing import ANALYZE_MANY, OFF, Tracing
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.rpc.v1.inference_pb2_grpc import InferenceStub

_MAX_MESSAGE_BYTES: Final = 64 << 20
_CHUNK_BYTES: Final = 32 << 20
_CHUNK_ITEMS: Final = 128
_CALL_S: Final = 60.0
"""Deadline of one call: 128 images of a large backbone on one core."""
_RETRY: Final = RetryPolicy(initial_wait_s=0.1, max_wait_s=2.0, timeout_s=20.0)
"""Long enough for a restart of the server; what takes longer is retried by the bus, which says so."""
_SERVICE: Final = "astrolens.rpc.v1.Inference"
_BALANCING: Final = json.dumps(
    {
        # Calls take turns among all servers behind the name that say SERVING: one that loads or ends gets none.
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": _SERVICE},
    }
)
_OPTIONS: Final = (
    ("grpc.service_config", _BALANCING),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # A model server that was restarted is found again within a second, not after two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # The name is asked again whenever a connection ends, as all do after a while; half a minute would be the default.
    ("grpc.dns_min_time_between_resolutions_ms", 5000),
    # A server that vanished without a word (a pulled cable) must not hold a batch until its deadline.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_NOT_SERVING: Final = "backend unhealthy"
"""gRPC's words where servers are there and none of them says SERVING."""
_SCHEMES: Final = ("dns:", "ipv4:", "ipv6:", "unix:")
_OUR_FAULT: Final = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN})
"""Codes that a cutout may have provoked: the bus looks for it in ever smaller batches. With any other code the server
is away, busy, loading or not the right one, and no image may be given up for that."""
_VERDICTS: Final = {
    pb.VERDICT_ORDINARY: Verdict.ORDINARY,
    pb.VERDICT_NEAR_MISS: Verdict.NEAR_MISS,
    pb.VERDICT_ANOMALY: Verdict.ANOMALY,
}
_CODES: Final = {
    pb.ItemError.CODE_UNDECODABLE: "cutout-undecodable",
    pb.ItemError.CODE_TOO_LARGE: "cutout-too-large",
    pb.ItemError.CODE_INVALID: "cutout-invalid",
    pb.ItemError.CODE_NOT_FINITE: "answer-not-finite",
}


class GrpcModel:
    """The model server over gRPC; `open` before use.

    Args:
        address: host:port of the model server, or of many: every address that the name leads to gets its share. Or a
            gRPC target, such as `ipv4:10.0.0.1:8081,10.0.0.2:8081`.
        stopping: Ends every waiting between two attempts.
        clock: Gives the present time, UTC.
        patience: How long a call is tried again while the server is away or busy.
        tracing: Carries the traces of the images to the server.
    """

    def __init__(
        self,
        address: str,
        *,
        stopping: asyncio.Event,
        clock: Callable[[], datetime] = utc_now,
        retry_policy: RetryPolicy = _RETRY,
        tracing: Tracing = OFF,
    ) -> None:
        self._address = address
        self._stopping = stopping
        self._clock = clock
        self._retry_policy = retry_policy
        self._tracing = tracing
        self._channel: grpc.aio.Channel | None = None

    async def open(self) -> None:
        """Make the channel; it connects when it is used."""
        target = self._address if self._address.startswith(_SCHEMES) else f"dns:///{self._address}"
        self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)

    async def close(self) -> None:
        """Let go of the channel."""
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None

    async def ping(self) -> None:
        """Raise `ModelUnavailable` unless the server has a model loaded."""
        try:
            answer = await health_pb2_grpc.HealthStub(self._opened()).Check(
                health_pb2.HealthCheckRequest(service=_SERVICE), timeout=2.0
            )
        except grpc.aio.AioRpcError as error:
            raise self._unavailable(error) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise ModelUnavailable(f"the model server at {self._address} has no model loaded yet")

    async def analyze(self, pictures: Sequence[Picture]) -> list[Analysis | Reason]:
        """One answer a picture, in their order.

        Raises:
            ModelUnavailable: The server is away, busy or loading for longer than patience lasts.
        """
        answers: list[Analysis | Reason] = []
        for chunk in _chunks(pictures):
            request = pb.AnalyzeManyRequest(
                items=[pb.Item(image_id=item.image_id, survey=item.survey, cutout=item.jpeg) for item in chunk]
            )
            response = await retry(
                partial(self._call, request), retry_policy=self._retry_policy, stopping=self._stopping
            )
            now = self._clock()
            answers += [_answer(outcome, response.model, now) for outcome in response.outcomes]
        return answers

    async def _call(self, request: pb.AnalyzeManyRequest) -> pb.AnalyzeManyResponse:
        images = [item.image_id for item in request.items]
        try:
            with self._tracing.calling(ANALYZE_MANY, address=self._address, keys=images) as call:
                return await InferenceStub(self._opened()).AnalyzeMany(request, timeout=_CALL_S, metadata=call.metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in _OUR_FAULT:
                raise
            raise self._unavailable(error) from error

    def _opened(self) -> "grpc.aio.Channel":
        if self._channel is None:
            raise ModelUnavailable("the channel to the model server is not open")
        return self._channel

    def _unavailable(self, error: "grpc.aio.AioRpcError") -> ModelUnavailable:
        if _NOT_SERVING in (error.details() or ""):
            return ModelUnavailable(f"no model server at {self._address} has a model loaded yet")
        return ModelUnavailable(
            f"the model server at {self._address} does not answer: {error.code().name} {error.details() or ''}".strip()
        )


def _chunks(pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
    """Pictures in requests that keep within the limits of a message."""
    chunk: list[Picture] = []
    size = 0
    for picture in pictures:
        if chunk and (len(chunk) == _CHUNK_ITEMS or size + len(picture.jpeg) > _CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(picture)
        size += len(picture.jpeg)
    if chunk:
        yield chunk


def _answer(outcome: pb.Outcome, model: pb.ModelRef, now: datetime) -> Analysis | Reason:
    if outcome.WhichOneof("outcome") != "result":
        code = _CODES.get(outcome.error.code, "analysis-failed")
        return Reason(code=code, detail=outcome.error.detail or "the model server gave no reason")
    result = outcome.result
    return Analysis(
        model_name=model.name,
        model_digest=model.digest,
        preprocessing_digest=model.preprocessing_digest,
        calibration_id=model.calibration_id,
        calibration_survey=result.calibration_survey,
        execution_provider=model.execution_provider,
        class_probabilities=dict(result.class_probabilities),
        predicted_class=result.predicted_class,
        detectors={
            detector.name: DetectorResult(score=detector.score, p_value=detector.p_value)
            for detector in result.detectors
        },
        p_value=result.p_value,
        verdict=_VERDICTS[result.verdict],
        embedding=base64.b64encode(result.embedding).decode(),
        analyzed_at=now,
    )
