"""What the client makes of the model server's answers, without a socket."""

import grpc
import pytest
from astrolens.platform.errors import ModelUnavailable
from astrolens.rpc.model_client import ModelClient, UnknownToModel
from astrolens.rpc.v1 import inference_pb2 as pb


class Stub:
    """Answers, or fails with a status code."""

    def __init__(self) -> None:
        self.calls = 0
        self.code: grpc.StatusCode | None = None

    async def Describe(self, _: pb.DescribeRequest, *, timeout: float) -> pb.DescribeResponse:  # noqa: N802 - gRPC's name
        self._count(timeout)
        strip = pb.QuantileStrip(detector="energy", probabilities=[0.0, 1.0], scores=[-2.0, 3.0])
        survey = pb.SurveyCalibration(survey="sdss", images=500, strips=[strip])
        return pb.DescribeResponse(
            model=pb.ModelRef(name="first-light", version="1", digest="d" * 64, calibration_id="c" * 16),
            classes=["smooth", "spiral"],
            detectors=["energy"],
            calibration=pb.Calibration(id="c" * 16, alpha=0.01, surveys=[survey]),
            figures_json='{"accuracy": 0.9}',
            model_card="# First light",
        )

    async def Similar(self, request: pb.SimilarRequest, *, timeout: float) -> pb.SimilarResponse:  # noqa: N802
        self._count(timeout)
        found = [pb.Neighbour(image_id="a", cosine_similarity=0.9), pb.Neighbour(image_id="b", cosine_similarity=0.8)]
        return pb.SimilarResponse(neighbours=found[: request.k], model_digest="d" * 64)

    def _count(self, timeout: float) -> None:
        assert 0 < timeout <= 5, "a page must not hang"
        self.calls += 1
        if self.code is not None:
            raise grpc.aio.AioRpcError(self.code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="why not")


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    stub = Stub()
    monkeypatch.setattr(ModelClient, "_stub", lambda _: stub)
    return stub


async def test_a_description_is_json_ready(stub: Stub) -> None:
    described = await ModelClient("127.0.0.1:8081").describe()
    assert described.summary["alpha"] == 0.01
    assert described.summary["surveys"] == ["sdss"]
    assert "model_card" not in described.summary
    assert described.whole["figures"] == {"accuracy": 0.9}
    strip = described.whole["calibration"]["surveys"]["sdss"]["strips"]["energy"]
    assert strip == {"probabilities": [0.0, 1.0], "scores": [-2.0, 3.0]}


async def test_a_server_that_does_not_answer_is_named_with_its_reason(stub: Stub) -> None:
    stub.code = grpc.StatusCode.UNAVAILABLE
    with pytest.raises(ModelUnavailable, match=r"127\.0\.0\.1:8081 does not answer: UNAVAILABLE: why not"):
        await ModelClient("127.0.0.1:8081").describe()


async def test_neighbours_or_why_there_are_none(stub: Stub) -> None:
    model = ModelClient("127.0.0.1:8081")
    digest, found = await model.similar("e" * 32, 1)
    assert (digest, [each.image_id for each in found]) == ("d" * 64, ["a"])
    stub.code = grpc.StatusCode.NOT_FOUND
    with pytest.raises(UnknownToModel):
        await model.similar("e" * 32, 1)
    stub.code = grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(ModelUnavailable, match="DEADLINE_EXCEEDED"):
        await model.similar("e" * 32, 1)
    await model.close()
