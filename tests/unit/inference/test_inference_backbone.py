"""What ONNX Runtime is asked for where the CUDA packages are installed."""

from typing import Any

import onnxruntime as ort
import pytest
from astrolens.inference.backbone import Backbone
from astrolens.inference.loaded_model import load_engine
from astrolens.science.bundle import Bundle
from structlog.testing import capture_logs


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """CUDA looks installed and has no card; the providers that each session asks for."""
    providers: list[Any] = []
    session = ort.InferenceSession

    def recording(*arguments: Any, **options: Any) -> ort.InferenceSession:
        providers.append(options.pop("providers"))
        return session(*arguments, **options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", recording)
    return providers


def test_a_card_computes_in_single_precision_by_the_same_algorithms(asked: list[Any], tiny_bundle: Bundle) -> None:
    Backbone(tiny_bundle)
    (name, options), fallback = asked[0]
    assert (name, fallback) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options["use_tf32"] == "0"
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"


def test_a_card_that_cannot_be_used_is_logged(asked: list[Any], tiny_bundle: Bundle) -> None:
    with capture_logs() as logs:
        backbone = load_engine(tiny_bundle.path, budget=10.0)[2]
    assert backbone.cuda_failed
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
        "CUDA is installed, but no card can be used"
    ]


def test_without_the_cuda_packages_no_card_is_missed(tiny_bundle: Bundle) -> None:
    assert not Backbone(tiny_bundle).cuda_failed
