"""What the client makes of the model server's answers, without a socket."""

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from astrolens.contracts.verdicts import Analysis
from astrolens.platform.errors import ModelUnavailable
from astrolens.rpc.messages import analysis_or_reason
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


def _analysis(**fields: Any) -> Analysis:
    result = pb.Result(predicted_class="spiral", p_value=0.001, verdict=pb.VERDICT_ANOMALY, **fields)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    made = analysis_or_reason(pb.Outcome(image_id="a", result=result), pb.ModelRef(name="first-light"), at)
    assert isinstance(made, Analysis)
    return made


def test_what_a_p_value_ends_at_is_told() -> None:
    made = _analysis(
        calibration_survey="euclid",
        p_value_at_most=True,
        calibration_images=999,
        calibration_fit=pb.CALIBRATION_FIT_SURVEY_MODEL,
        rank_score=7.5,
        kinds={"blend": 0.8},
        detectors=[pb.Detector(name="energy", score=2.0, p_value=0.001, at_most=True)],
    )
    assert (made.p_value_at_most, made.calibration_images, made.rank_score) == (True, 999, 7.5)
    assert (made.calibration_fit, made.kinds) == ("survey-model", {"blend": 0.8})
    assert made.detectors["energy"].at_most


def test_a_server_of_an_older_version_is_understood() -> None:
    made = _analysis(calibration_survey="pooled")
    assert (made.p_value_at_most, made.calibration_images, made.calibration_fit) == (False, None, "pooled")
    assert made.rank_score == pytest.approx(3.0)
    assert _analysis(calibration_survey="sdss").calibration_fit == "own"


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
