"""A bundle of a few kilobytes whose graph is three lines of algebra, and pictures to feed it."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from astrolens.science.bundle import (
    CALIBRATION,
    CARD,
    DETECTORS,
    INDEX,
    MODEL,
    Bundle,
    Combination,
    DetectorEntry,
    Manifest,
    ModelEntry,
    SurveyEntry,
    Training,
    arrays_to_bytes,
    write_bundle,
)
from astrolens.science.cutouts import encode_jpeg
from astrolens.science.preprocessing import PreprocessingSpec
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("smooth", "spiral")
KINDS = ("ordinary", "blend", "trail")
DIMENSIONS = 6
SPEC = PreprocessingSpec(size=16, views=(1.0, 0.5))
SURVEYS = ("sdss", "simulated-lsst")


def tiny_graph() -> bytes:
    """pixels -> embedding: means of the channels, mixed; logits and kinds: products with it; one tap, `scaled`."""
    rng = np.random.default_rng(5)
    mix = rng.normal(size=(SPEC.channels, DIMENSIONS)).astype(np.float32)
    head = rng.normal(size=(DIMENSIONS, len(CLASSES))).astype(np.float32)
    kind_head = rng.normal(size=(DIMENSIONS, len(KINDS))).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats", "axes"], ["means"], keepdims=0),
            helper.make_node("Div", ["means", "scale"], ["scaled"]),
            helper.make_node("MatMul", ["scaled", "mix"], ["embedding"]),
            helper.make_node("MatMul", ["embedding", "head"], ["logits"]),
            helper.make_node("MatMul", ["embedding", "kind_head"], ["kinds"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SPEC.channels, SPEC.size, SPEC.size])],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", len(CLASSES)]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", DIMENSIONS]),
            helper.make_tensor_value_info("kinds", TensorProto.FLOAT, ["n", len(KINDS)]),
            helper.make_tensor_value_info("scaled", TensorProto.FLOAT, ["n", SPEC.channels]),
        ],
        [
            numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "axes"),
            numpy_helper.from_array(np.array(64.0, dtype=np.float32), "scale"),
            numpy_helper.from_array(mix, "mix"),
            numpy_helper.from_array(head, "head"),
            numpy_helper.from_array(kind_head, "kind_head"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def write_tiny_bundle(folder: Path) -> Bundle:
    """Written to `folder` and loaded from there, as any bundle is."""
    rng = np.random.default_rng(6)
    centroids = rng.normal(size=(4, DIMENSIONS)).astype(np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    names = ("msp", "energy", "mahalanobis")
    write_bundle(
        folder,
        Manifest(
            name="tiny",
            version="0",
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            classes=CLASSES,
            surveys={survey: SurveyEntry(detector_images=200, combined_images=200) for survey in SURVEYS},
            preprocessing=SPEC,
            kinds=KINDS,
            model=ModelEntry(
                architecture="algebra",
                embedding_dim=DIMENSIONS,
                kinds="kinds",
                taps={"scaled": SPEC.channels},
                parameters=48,
            ),
            detectors=tuple(DetectorEntry(name=name, kind=name, title=name) for name in names),
            combination=Combination(detectors=names),
            training=Training.model_validate(
                dict.fromkeys(("seed", "epochs", "draws", "minutes"), 0)
                | {"code_version": "0", "images": {}, "data_digest": "none"}
            ),
            figures={"accuracy": 0.5},
            files={},
        ),
        {
            MODEL: tiny_graph(),
            DETECTORS: arrays_to_bytes(
                {
                    "mahalanobis.means": rng.normal(size=(len(CLASSES), DIMENSIONS)),
                    "mahalanobis.whitener": np.eye(DIMENSIONS),
                }
            ),
            CALIBRATION: arrays_to_bytes(
                {
                    f"{survey}/{name}": np.sort(rng.normal(scale=3.0, size=200))
                    for survey in (*SURVEYS, "pooled")
                    for name in (*names, "combined")
                }
            ),
            INDEX: arrays_to_bytes({"centroids": centroids}),
            CARD: b"# Tiny\n",
        },
    )
    return Bundle.load(folder)


def picture(seed: int, side: int = 48) -> bytes:
    """A cutout: coloured noise, JPEG."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 200, size=3)
    return encode_jpeg((colour + rng.integers(0, 55, size=(side, side, 3))).astype(np.uint8))


def image_id(seed: int) -> str:
    """An image id."""
    return f"{seed:032x}"
