"""The model server over a real loopback port."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import numpy as np
import pytest
from astrolens.contracts.records import Reason
from astrolens.contracts.verdicts import Analysis
from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine, Item, Outcome
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.model_server import create_app
from astrolens.inference.model_service import ModelService, describe
from astrolens.inference.rpc_server import RpcServer
from astrolens.inference.similarity.index import SimilarityIndex
from astrolens.inference.similarity.vector_index import VectorIndex
from astrolens.platform.errors import ConfigurationError, ModelUnavailable
from astrolens.platform.retry import RetryPolicy
from astrolens.platform.settings import Settings, load_settings
from astrolens.platform.telemetry.metrics import Metrics
from astrolens.rpc.model_client import CutoutRequest, ModelClient
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.rpc.v1.inference_pb2_grpc import InferenceStub
from astrolens.science.bundle import Bundle
from astrolens.science.scoring import Scorer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.unit.inference.tiny_bundle import CLASSES, DIMENSIONS, image_id, picture, write_tiny_bundle

SERVICE = "astrolens.rpc.v1.Inference"
IMPATIENT = RetryPolicy(initial_wait_s=0.02, max_wait_s=0.05, timeout_s=0.3)


class GatedEngine(Engine):
    """Waits at a gate when it is shut."""

    gate = threading.Event()

    def analyze(self, items: Sequence[Item]) -> list[Outcome]:
        self.gate.wait(20)
        return super().analyze(items)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture
def service(bundle: Bundle) -> ModelService:
    GatedEngine.gate.set()
    scorer, backbone = Scorer(bundle), Backbone(bundle)
    return ModelService(
        engine=GatedEngine(bundle=bundle, scorer=scorer, backbone=backbone),
        index=SimilarityIndex(VectorIndex(bundle.centroids)),
        description=describe(bundle, scorer, backbone.provider),
        workers=2,
        metrics=ModelMetrics(Metrics("model-server")),
        on_done=lambda _: None,
    )


@pytest.fixture
async def server() -> AsyncIterator[RpcServer]:
    server = RpcServer("127.0.0.1:0")
    await server.start()
    yield server
    await server.close(1.0)


@pytest.fixture
async def channel(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


@pytest.fixture
async def stub(server: RpcServer, service: ModelService, channel: grpc.aio.Channel) -> AsyncIterator[InferenceStub]:
    service.start()
    await server.serve(service)
    yield InferenceStub(channel)
    GatedEngine.gate.set()
    await service.close()


def many(*seeds: int) -> pb.AnalyzeManyRequest:
    return pb.AnalyzeManyRequest(
        items=[pb.Item(image_id=image_id(seed), survey="sdss", cutout=picture(seed)) for seed in seeds]
    )


async def code_of(call: grpc.aio.UnaryUnaryCall) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


async def test_one_image_and_many_get_the_same_answer(stub: InferenceStub) -> None:
    response = await stub.AnalyzeMany(many(*range(40)))
    assert [outcome.image_id for outcome in response.outcomes] == [image_id(seed) for seed in range(40)]
    single = await stub.Analyze(pb.AnalyzeRequest(item=many(7).items[0]))
    assert single.result == response.outcomes[7].result
    assert single.model == response.model
    result = single.result
    assert set(result.class_probabilities) == set(CLASSES)
    assert sum(result.class_probabilities.values()) == pytest.approx(1.0)
    assert [detector.name for detector in result.detectors] == ["msp", "energy", "mahalanobis"]
    assert 0.0 < result.p_value <= 1.0
    assert result.verdict != pb.VERDICT_UNSPECIFIED
    assert result.calibration_survey == "sdss"
    assert len(np.frombuffer(result.embedding, dtype="<f2")) == DIMENSIONS


async def test_bad_items_have_typed_errors_of_their_own(stub: InferenceStub) -> None:
    request = many(1, 2)
    request.items.add(image_id=image_id(3), survey="sdss", cutout=b"no picture")
    request.items.add(image_id=image_id(4), survey="sdss", cutout=bytes((1 << 20) + 1))
    request.items.add(image_id=image_id(5), survey="sdss")
    response = await stub.AnalyzeMany(request)
    kinds = [outcome.WhichOneof("outcome") for outcome in response.outcomes]
    assert kinds == ["result", "result", "error", "error", "error"]
    assert [outcome.error.code for outcome in response.outcomes[2:]] == [
        pb.ItemError.CODE_UNDECODABLE,
        pb.ItemError.CODE_TOO_LARGE,
        pb.ItemError.CODE_INVALID,
    ]
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await stub.Analyze(pb.AnalyzeRequest(item=request.items[2]))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert ("astrolens-error-code", "CODE_UNDECODABLE") in tuple(raised.value.trailing_metadata())


async def test_requests_that_can_never_succeed(stub: InferenceStub) -> None:
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert await code_of(stub.AnalyzeMany(pb.AnalyzeManyRequest(items=[pb.Item()] * 257))) is invalid
    assert await code_of(stub.Analyze(pb.AnalyzeRequest(item=pb.Item(image_id="../x", cutout=b"x")))) is invalid
    assert await code_of(stub.Similar(pb.SimilarRequest(k=3))) is invalid
    assert await code_of(stub.Similar(pb.SimilarRequest(image_id=image_id(1), k=101))) is invalid
    assert await code_of(stub.Similar(pb.SimilarRequest(image_id=image_id(1), k=-1))) is invalid
    assert await code_of(stub.Similar(pb.SimilarRequest(embedding=b"odd"))) is invalid
    assert await code_of(stub.Similar(pb.SimilarRequest(image_id=image_id(1)))) is grpc.StatusCode.NOT_FOUND


async def test_similar_images_by_id_and_by_embedding(stub: InferenceStub) -> None:
    response = await stub.AnalyzeMany(many(*range(30)))
    embedding = response.outcomes[4].result.embedding
    by_id = await stub.Similar(pb.SimilarRequest(image_id=image_id(4), k=5))
    by_embedding = await stub.Similar(pb.SimilarRequest(embedding=embedding, k=6))
    assert by_embedding.neighbours[0].image_id == image_id(4)
    assert by_embedding.neighbours[0].cosine_similarity == pytest.approx(1.0, abs=1e-5)
    assert [neighbour.image_id for neighbour in by_id.neighbours] == [
        neighbour.image_id for neighbour in by_embedding.neighbours[1:]
    ]
    cosines = [neighbour.cosine_similarity for neighbour in by_id.neighbours]
    assert cosines == sorted(cosines, reverse=True)
    assert by_id.model_digest == response.model.digest
    await stub.Analyze(pb.AnalyzeRequest(item=pb.Item(survey="sdss", cutout=picture(99))))
    assert (await stub.Describe(pb.DescribeRequest())).indexed_images == 30


async def test_describe_tells_model_calibration_and_figures(stub: InferenceStub, bundle: Bundle) -> None:
    described = await stub.Describe(pb.DescribeRequest())
    assert described.model.digest == bundle.digest
    assert described.model.execution_provider == "CPUExecutionProvider"
    assert (described.embedding_dim, tuple(described.classes)) == (DIMENSIONS, CLASSES)
    assert described.calibration.id == described.model.calibration_id
    assert described.calibration.alpha == pytest.approx(0.01)
    assert {survey.survey: survey.images for survey in described.calibration.surveys} == {
        "sdss": 200,
        "simulated-lsst": 200,
        "pooled": 200,
    }
    strips = {strip.detector: strip for strip in described.calibration.surveys[0].strips}
    assert set(strips) == {"msp", "energy", "mahalanobis", "combined"}
    assert list(strips["msp"].scores) == sorted(strips["msp"].scores)
    assert (strips["msp"].probabilities[0], strips["msp"].probabilities[-1]) == (0.0, 1.0)
    assert described.figures_json == '{"accuracy": 0.5}'
    assert described.model_card == "# Tiny\n"


async def test_a_full_queue_says_so_and_a_deadline_is_kept(stub: InferenceStub, service: ModelService) -> None:
    GatedEngine.gate.clear()
    waiting = [asyncio.ensure_future(stub.AnalyzeMany(many(*range(256)))) for _ in range(4)]
    async with asyncio.timeout(30):
        # Two workers have a batch of 32 each in hand.
        while service.queued < 4 * 256 - 2 * 32:
            await asyncio.sleep(0.01)
    assert await code_of(stub.AnalyzeMany(many(*range(256)))) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await code_of(stub.AnalyzeMany(many(1), timeout=0.2)) is grpc.StatusCode.DEADLINE_EXCEEDED
    GatedEngine.gate.set()
    assert [len(response.outcomes) for response in await asyncio.gather(*waiting)] == [256] * 4
    assert service.queued == 0


async def test_unavailable_and_not_serving_until_a_model_is_loaded(
    server: RpcServer, service: ModelService, channel: grpc.aio.Channel
) -> None:
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
    stub = InferenceStub(channel)
    assert await code_of(stub.AnalyzeMany(many(1))) is grpc.StatusCode.UNAVAILABLE
    assert await code_of(stub.Describe(pb.DescribeRequest())) is grpc.StatusCode.UNAVAILABLE
    service.start()
    await server.serve(service)
    for name in ("", SERVICE):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert len((await stub.AnalyzeMany(many(1))).outcomes) == 1
    await service.close()
    assert await code_of(stub.AnalyzeMany(many(1))) is grpc.StatusCode.UNAVAILABLE


async def test_reflection_lists_the_services(server: RpcServer, channel: grpc.aio.Channel) -> None:
    async def ask() -> AsyncIterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    replies = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(ask())
    names = {item.name async for reply in replies for item in reply.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_the_analyzers_client_gives_analyses_and_reasons(server: RpcServer, stub: InferenceStub) -> None:
    model = ModelClient(f"127.0.0.1:{server.port}", stopping=asyncio.Event())
    await model.ping()
    pictures = [CutoutRequest(image_id(seed), "sdss", picture(seed)) for seed in range(130)]
    answers = await model.analyze([*pictures, CutoutRequest(image_id(999), "sdss", b"broken")])
    await model.close()
    assert len(answers) == 131
    assert all(isinstance(answer, Analysis) for answer in answers[:-1])
    assert isinstance(answers[-1], Reason)
    assert answers[-1].code == "cutout-undecodable"
    assert answers[0].model_name == "tiny"


async def test_the_analyzers_client_is_patient_but_not_for_ever(bundle: Bundle, service: ModelService) -> None:
    address = f"127.0.0.1:{free_port()}"
    model = ModelClient(address, stopping=asyncio.Event(), retry_policy=IMPATIENT)
    asked = [CutoutRequest(image_id(1), "sdss", picture(1))]
    with pytest.raises(ModelUnavailable, match="does not answer: UNAVAILABLE"):
        await model.analyze(asked)
    with pytest.raises(ModelUnavailable):
        await model.ping()
    server = RpcServer(address)
    await server.start()
    with pytest.raises(ModelUnavailable, match="no model"):
        await model.analyze(asked)
    service.start()
    loading = asyncio.create_task(_serve_soon(server, service))
    patient = ModelClient(address, stopping=asyncio.Event())
    assert isinstance((await patient.analyze(asked))[0], Analysis)
    await loading
    await patient.close()
    await model.close()
    await server.close(1.0)
    await service.close()


async def test_a_wrong_server_costs_no_image() -> None:
    other = grpc.aio.server()
    port = other.add_insecure_port("127.0.0.1:0")
    await other.start()
    model = ModelClient(f"127.0.0.1:{port}", stopping=asyncio.Event(), retry_policy=IMPATIENT)
    with pytest.raises(ModelUnavailable, match="UNIMPLEMENTED"):
        await model.analyze([CutoutRequest(image_id(1), "sdss", picture(1))])
    await model.close()
    await other.stop(None)


async def test_what_a_cutout_may_have_provoked_is_not_called_away(server: RpcServer, stub: InferenceStub) -> None:
    model = ModelClient(f"127.0.0.1:{server.port}", stopping=asyncio.Event(), retry_policy=IMPATIENT)
    with pytest.raises(grpc.aio.AioRpcError, match="is not 32 lower-case"):
        await model.analyze([CutoutRequest("no id", "sdss", picture(1))])
    await model.close()


async def _serve_soon(server: RpcServer, service: ModelService) -> None:
    await asyncio.sleep(0.3)
    await server.serve(service)


def settings(tmp_path: Path, bundle: Path) -> Settings:
    return load_settings(
        home=tmp_path / "home",
        bundle=bundle,
        inference_address=f"127.0.0.1:{free_port()}",
        model_server_port=free_port(),
        log_level="ERROR",
    )


async def test_a_restarted_model_server_remembers(bundle: Bundle, tmp_path: Path) -> None:
    chosen = settings(tmp_path, bundle.path)
    for expected in (0, 3):
        async with create_app(chosen).running() as app:
            assert app.info["model_digest"] == bundle.digest
            async with grpc.aio.insecure_channel(chosen.inference_address) as channel:
                stub = InferenceStub(channel)
                assert (await stub.Describe(pb.DescribeRequest())).indexed_images == expected
                await stub.AnalyzeMany(many(1, 2, 3))
                assert len((await stub.Similar(pb.SimilarRequest(image_id=image_id(1)))).neighbours) == 2
            assert app.processed == 3


async def test_a_damaged_bundle_a_taken_port_and_a_blocked_home_stop_with_a_sentence(
    bundle: Bundle, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    write_tiny_bundle(damaged)
    (damaged / "model.onnx").write_bytes(b"x" * (damaged / "model.onnx").stat().st_size)
    with pytest.raises(ConfigurationError, match=r"ASTROLENS_BUNDLE: .*model\.onnx: its SHA-256"):
        async with create_app(settings(tmp_path, damaged)).running():
            pytest.fail("it runs")
    with pytest.raises(ConfigurationError, match="there is no such folder"):
        async with create_app(settings(tmp_path, tmp_path / "nowhere")).running():
            pytest.fail("it runs")
    chosen = settings(tmp_path, bundle.path)
    async with create_app(chosen).running():
        same_address = chosen.model_copy(update={"home": tmp_path / "other", "model_server_port": free_port()})
        with pytest.raises(ConfigurationError, match="ASTROLENS_INFERENCE_ADDRESS: cannot listen"):
            async with create_app(same_address).running():
                pytest.fail("it runs")
        blocked = settings(tmp_path, bundle.path).model_copy(update={"home": tmp_path / "blocked"})
        blocked.home.mkdir()
        (blocked.home / "similarity").write_text("a file where a folder should be")
        with pytest.raises(ConfigurationError, match="ASTROLENS_HOME: cannot write"):
            async with create_app(blocked).running():
                pytest.fail("it runs")


async def test_two_model_servers_may_share_a_home(bundle: Bundle, tmp_path: Path) -> None:
    async with (
        create_app(settings(tmp_path, bundle.path)).running(),
        create_app(settings(tmp_path, bundle.path)).running(),
    ):
        pass


async def test_feature_maps_are_those_of_the_graph_without_what_cannot_be_read(
    stub: InferenceStub, server: RpcServer, bundle: Bundle
) -> None:
    client = ModelClient(f"127.0.0.1:{server.port}")
    cutouts = [CutoutRequest(image_id(seed), "decals", picture(seed)) for seed in range(3)]
    described = await client.describe()
    found = await client.extract_taps([*cutouts, CutoutRequest(image_id(9), "decals", b"no")], described.taps)
    assert (found.image_ids, found.model_digest) == (tuple(map(image_id, range(3))), bundle.digest)
    engine = GatedEngine(bundle=bundle, scorer=Scorer(bundle), backbone=Backbone(bundle))
    _, expected = engine.extract_taps([Item(cutout.image_id, "", cutout.jpeg) for cutout in cutouts], described.taps)
    for tap in described.taps:
        values = np.frombuffer(found.values[tap], dtype="<f4").reshape(3, found.columns[tap])
        assert (values == expected[tap].astype("<f4")).all()
    with pytest.raises(ModelUnavailable, match="no feature map 'other'"):
        await client.extract_taps(cutouts, ["other"])
    await client.close()
    too_many = pb.ExtractFeaturesRequest(items=many(*range(65)).items)
    assert await code_of(stub.ExtractFeatures(too_many)) is grpc.StatusCode.INVALID_ARGUMENT
