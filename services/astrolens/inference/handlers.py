"""The gRPC handlers of the model server: validate, call one method, answer."""

from collections.abc import Iterable
from typing import Any, Final, NoReturn, TypeAlias

import grpc
import structlog

from astrolens.inference.batcher import BatcherClosed, QueueFull
from astrolens.inference.engine import MAX_CUTOUT_BYTES, Item, ItemError, Outcome
from astrolens.inference.messages import (
    ERROR_CODES,
    description_message,
    features_message,
    item_of,
    model_message,
    outcome_message,
    result_message,
)
from astrolens.inference.model_service import MAX_SIMILAR, ModelService
from astrolens.inference.similarity.index import NoEmbedding, UnknownImage, is_image_id
from astrolens.platform.telemetry.tracing import ANALYZE_MANY, NO_TRACING, Tracing, annotate_span
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.rpc.v1.inference_pb2_grpc import InferenceServicer

MAX_ITEMS: Final = 256
"""Cutouts of one AnalyzeMany: some seconds of work, so that a deadline can be kept."""
MAX_FEATURE_ITEMS: Final = 64
"""Cutouts of one ExtractFeatures: their feature maps stay far below the largest message."""
_SIMILAR_DEFAULT: Final = 20
ERROR_CODE_KEY: Final = "astrolens-error-code"

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
logger = structlog.get_logger(__name__)


class InferenceHandlers(InferenceServicer):
    """Answers UNAVAILABLE until `serve` has given it a model."""

    def __init__(self, tracing: Tracing = NO_TRACING) -> None:
        self._tracing = tracing
        self._service: ModelService | None = None

    def serve(self, service: ModelService | None) -> None:
        """Answer with this model from now on; None: answer UNAVAILABLE."""
        self._service = service

    async def Analyze(self, request: pb.AnalyzeRequest, context: Context) -> pb.AnalyzeResponse:  # noqa: N802
        """One cutout."""
        service = await self._loaded(context)
        items = await _valid([request.item], context)
        [outcome] = await _analyzed(service, items, context)
        if isinstance(outcome, ItemError):
            code = pb.ItemError.Code.Name(ERROR_CODES[outcome.code])
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, outcome.detail, ((ERROR_CODE_KEY, code),))
        return pb.AnalyzeResponse(result=result_message(outcome), model=model_message(service.description.identity))

    async def AnalyzeMany(  # noqa: N802
        self, request: pb.AnalyzeManyRequest, context: Context
    ) -> pb.AnalyzeManyResponse:
        """Many cutouts, each with an outcome of its own."""
        with self._tracing.serving(ANALYZE_MANY, context):
            service = await self._loaded(context)
            items = await _valid(request.items, context)
            annotate_span(ANALYZE_MANY, batch_size=len(items), model_digest=service.description.identity.digest)
            outcomes = await _analyzed(service, items, context)
        return pb.AnalyzeManyResponse(
            outcomes=[outcome_message(item.image_id, outcome) for item, outcome in zip(items, outcomes, strict=True)],
            model=model_message(service.description.identity),
        )

    async def Describe(self, _request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:  # noqa: N802
        """Which model and calibration are loaded."""
        service = await self._loaded(context)
        message = description_message(service.description)
        message.indexed_images = len(service.index)
        message.max_items = MAX_ITEMS
        message.max_cutout_bytes = MAX_CUTOUT_BYTES
        message.survey_models.extend(
            pb.SurveyModel(
                survey=each.survey,
                calibration_id=each.calibration_id,
                revision=each.revision or "",
                images=each.images,
            )
            for each in service.served
        )
        return message

    async def ExtractFeatures(  # noqa: N802
        self, request: pb.ExtractFeaturesRequest, context: Context
    ) -> pb.ExtractFeaturesResponse:
        """Feature maps of cutouts."""
        service = await self._loaded(context)
        items = await _valid(request.items, context, at_most=MAX_FEATURE_ITEMS)
        missing = set(request.taps).difference(service.description.taps)
        if missing:
            detail = f"the bundle has no feature map {min(missing)!r}: it has {sorted(service.description.taps)}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, detail)
        image_ids, taps = await service.extract_taps(items, request.taps)
        wanted = {name: taps[name] for name in request.taps if name in taps}
        return features_message(image_ids, wanted, service.description.identity)

    async def Similar(self, request: pb.SimilarRequest, context: Context) -> pb.SimilarResponse:  # noqa: N802
        """The images most like an image, or like an embedding."""
        service = await self._loaded(context)
        k = request.k or _SIMILAR_DEFAULT
        if not 1 <= k <= MAX_SIMILAR:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"k is {k}; ask for 1 to {MAX_SIMILAR} neighbours")
        match request.WhichOneof("query"):
            case "image_id":
                try:
                    found = await service.like_image(request.image_id, k)
                except UnknownImage:
                    detail = "the similarity index does not know this image (yet): is it analysed with this model?"
                    await context.abort(grpc.StatusCode.NOT_FOUND, detail)
            case "embedding":
                try:
                    found = await service.like_embedding(request.embedding, k)
                except NoEmbedding as error:
                    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            case _:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "give image_id or embedding")
        return pb.SimilarResponse(
            neighbours=[pb.Neighbour(image_id=image, cosine_similarity=similarity) for image, similarity in found],
            model_digest=service.description.identity.digest,
        )

    async def _loaded(self, context: Context) -> ModelService:
        if self._service is None:
            await _unavailable(context)
        return self._service


async def _valid(messages: Iterable[pb.Item], context: Context, *, at_most: int = MAX_ITEMS) -> list[Item]:
    items = [item_of(message) for message in messages]
    if len(items) > at_most:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{len(items)} items, more than {at_most}")
    for item in items:
        if item.image_id and not is_image_id(item.image_id):
            detail = f"image_id {item.image_id[:64]!r} is not 32 lower-case hexadecimal digits"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, detail)
    return items


async def _analyzed(service: ModelService, items: list[Item], context: Context) -> list[Outcome]:
    try:
        return await service.analyze(items)
    except QueueFull:
        await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full; try again later")
    except BatcherClosed:
        await _unavailable(context)


async def _unavailable(context: Context) -> NoReturn:
    await context.abort(grpc.StatusCode.UNAVAILABLE, "no model is loaded; try again later")
    raise AssertionError("abort returned")
