"""Export the backbone as an ONNX graph, and check that both give the same results."""

import io
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from astrolens.science.detectors import Features
from astrolens.science.preprocessing import PreprocessingSpec
from astrolens.trainer.trainable_backbone import TrainableBackbone
from astrolens.trainer.training import infer

_OPSET: Final = 18
OUTPUTS: Final = ("logits", "embedding", "kinds")
PARITY: Final = 1e-4
"""Largest allowed difference between PyTorch and ONNX Runtime, relative to the largest value."""


class ExportFailed(Exception):
    """The exported graph gives other results than the backbone, or results that depend on the batch."""


def export(model: TrainableBackbone, spec: PreprocessingSpec) -> bytes:
    """Export the graph: `pixels` [n, channels, size, size] uint8 to `OUTPUTS` and the taps; n is dynamic."""
    return _graph(model, spec.channels, spec.size, (*OUTPUTS, *model.taps))


def export_early(model: TrainableBackbone, spec: PreprocessingSpec) -> bytes:
    """Export what no training changes: `pixels` [n, 3, size, size] uint8 to the map `early`."""
    return _graph(_EarlyMap(model), 3, spec.size, ("early",))


def export_class_features(model: TrainableBackbone, spec: PreprocessingSpec) -> bytes:
    """Export what the class head reads: `pixels` [n, channels, size, size] uint8 to `features` [n, d]."""
    return _graph(_ClassFeatures(model), spec.channels, spec.size, ("features",))


class _ClassFeatures(nn.Module):
    def __init__(self, model: TrainableBackbone) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.class_features(pixels)


class _EarlyMap(nn.Module):
    def __init__(self, model: TrainableBackbone) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.early_map(pixels)


def _graph(module: nn.Module, channels: int, size: int, outputs: tuple[str, ...]) -> bytes:
    module.eval()
    example = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The tracing exporter warns that it is deprecated; its graphs are smaller and faster here.
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["pixels"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "n"} for name in ("pixels", *outputs)},
            opset_version=_OPSET,
            dynamo=False,
        )
        graph = onnx.load(path)
    for node in graph.graph.node:
        # References to source lines would put paths of this machine into the bundle.
        node.ClearField("doc_string")
        del node.metadata_props[:]
    onnx.checker.check_model(graph)
    buffer = io.BytesIO()
    onnx.save(graph, buffer)
    return buffer.getvalue()


def session(graph: bytes, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Load the graph in ONNX Runtime on the CPU, with as many threads as PyTorch has unless they are given."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run(ready: onnxruntime.InferenceSession, inputs: NDArray[np.uint8], *, batch: int = 64) -> Features:
    """Features of preprocessed images, in batches of at least two; outputs beside the fixed three are taps."""
    names = [output.name for output in ready.get_outputs()]
    parts = []
    for first in range(0, len(inputs), batch):
        part = inputs[first : first + batch]
        padded = np.concatenate((part, part)) if len(part) == 1 else part
        values = dict(zip(names, ready.run(names, {"pixels": padded}), strict=True))
        own = Features.of(values.pop("logits"), values.pop("embedding"), values.pop("kinds", None), values)
        parts.append(own.rows(slice(len(part))))
    return Features.concatenated(parts)


def check_parity(model: TrainableBackbone, ready: onnxruntime.InferenceSession, inputs: NDArray[np.uint8]) -> float:
    """Measure the largest difference between PyTorch and the graph, relative to the largest value.

    Raises:
        ExportFailed: The difference is larger than `PARITY`.
    """
    difference = 0.0
    for native, exported in zip(infer(model, inputs), _arrays(run(ready, inputs)), strict=True):
        difference = max(difference, float(np.abs(native - exported).max() / np.abs(native).max()))
    if difference > PARITY:
        raise ExportFailed(f"PyTorch and ONNX Runtime differ by {difference:.1e}, more than {PARITY:.0e}")
    return difference


def check_batches(ready: onnxruntime.InferenceSession, inputs: NDArray[np.uint8]) -> None:
    """Check that the result of an image is bit-identical in batches of several sizes.

    Raises:
        ExportFailed: A batch gives other bits.
    """
    whole = run(ready, inputs, batch=len(inputs))
    for batch in (1, 2, 7, 32):
        parts = run(ready, inputs, batch=batch)
        if not all(np.array_equal(one, two) for one, two in zip(_arrays(whole), _arrays(parts), strict=True)):
            raise ExportFailed(f"a batch of {batch} gives other bits than a batch of {len(inputs)}")


def _arrays(features: Features) -> list[NDArray[Any]]:
    kinds = [] if features.kind_logits is None else [features.kind_logits]
    return [features.logits, features.embedding, *kinds, *features.taps.values()]
