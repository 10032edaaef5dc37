from pathlib import Path

import grpc_tools
import pytest
from astrolens.rpc.v1 import inference_pb2 as pb
from grpc_tools import protoc

REPOSITORY = Path(__file__).resolve().parents[3]
PROTO = REPOSITORY / "proto" / "astrolens" / "rpc" / "v1" / "inference.proto"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"


@pytest.mark.parametrize("name", ["inference_pb2.py", "inference_pb2_grpc.py"])
def test_the_committed_code_is_what_the_contract_generates(tmp_path: Path, name: str) -> None:
    arguments = [f"-I{REPOSITORY / 'proto'}", f"-I{WELL_KNOWN}", f"--python_out={tmp_path}"]
    assert protoc.main(["protoc", *arguments, f"--grpc_python_out={tmp_path}", str(PROTO)]) == 0
    committed = REPOSITORY / "services" / "astrolens" / "rpc" / "v1" / name
    generated = tmp_path / "astrolens" / "rpc" / "v1" / name
    assert committed.read_text() == generated.read_text(), "run `make proto`"


def test_field_numbers_of_version_1_never_change() -> None:
    """A client that was built yesterday reads what a server sends tomorrow."""
    numbers = {
        message: {field.name: field.number for field in descriptor.fields}
        for message, descriptor in pb.DESCRIPTOR.message_types_by_name.items()
    }
    assert numbers["Item"] == {"image_id": 1, "survey": 2, "cutout": 3}
    assert numbers["Outcome"] == {"image_id": 1, "result": 2, "error": 3}
    assert numbers["Result"] == {
        "class_probabilities": 1,
        "predicted_class": 2,
        "detectors": 3,
        "p_value": 4,
        "verdict": 5,
        "calibration_survey": 6,
        "embedding": 7,
        "p_value_at_most": 8,
        "calibration_images": 9,
        "calibration_fit": 10,
        "rank_score": 11,
        "kinds": 12,
        "calibration_id": 13,
        "adjusted_p_value": 14,
        "false_alarms_per_1000": 15,
    }
    assert numbers["Detector"] == {"name": 1, "score": 2, "p_value": 3, "at_most": 4}
    assert numbers["Calibration"] == {"id": 1, "alpha": 2, "surveys": 3, "limits": 4}
    assert numbers["ModelRef"] == {
        "name": 1,
        "version": 2,
        "digest": 3,
        "preprocessing_digest": 4,
        "calibration_id": 5,
        "execution_provider": 6,
    }
    assert numbers["SimilarRequest"] == {"image_id": 1, "embedding": 2, "k": 3}
    assert dict(pb.Verdict.items())["VERDICT_ANOMALY"] == 3
    assert dict(pb.CalibrationFit.items())["CALIBRATION_FIT_DOES_NOT_FIT"] == 4
