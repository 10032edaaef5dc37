"""The backbone's ONNX graph in an ONNX Runtime session."""

from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from astrolens.science.bundle import MODEL, Bundle, BundleDamaged
from astrolens.science.detectors import Features

_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"

_LEAST_ROWS: Final = 2
"""For a single row, ONNX Runtime uses another matrix kernel, whose last bits differ: so one row never runs alone."""

_ROWS_A_RUN: Final = 8
"""On a CPU: the maps of more images do not fit its caches, and take a tenth more time an image."""


class Backbone:
    """Computes features; the result of a row does not depend on the other rows.

    Threads may call `run` at the same time.

    Args:
        bundle: A checked bundle.
        threads: Threads of one run. With several runs at once, 1 is the most efficient: no thread waits for another.
        fixed_rows: Rows of every run on a GPU, where the kernel is chosen by the shape of the batch.

    Raises:
        BundleDamaged: The graph cannot be loaded, or is not what the manifest says.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, fixed_rows: int = 32) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # A thread that spins between two runs takes CPU from decoding and scoring.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        entry = bundle.manifest.model
        available = ort.get_available_providers()
        try:
            self._session = ort.InferenceSession(
                bundle.model, options, providers=[name for name in (_CUDA, _CPU) if name in available]
            )
        except Exception as error:  # the runtime's exceptions share no base
            raise BundleDamaged(bundle.path / MODEL, f"ONNX Runtime does not load it: {error}") from error
        inputs = [item.name for item in self._session.get_inputs()]
        outputs = {item.name for item in self._session.get_outputs()}
        self._entry = entry
        self._outputs = [entry.logits, entry.embedding, *([entry.kinds] if entry.kinds else []), *entry.taps]
        if inputs != [entry.input] or not set(self._outputs) <= outputs:
            raise BundleDamaged(bundle.path / MODEL, "its inputs and outputs are not those that the manifest names")
        self._input = entry.input
        self.provider: str = self._session.get_providers()[0]
        self._fixed_rows = fixed_rows if self.provider == _CUDA else None

    def run(self, pixels: NDArray[np.uint8]) -> Features:
        """One forward pass over pixels [n, channels, size, size], 8-bit, n >= 1."""
        step = self._fixed_rows or _ROWS_A_RUN
        parts = [self._run(pixels[first : first + step]) for first in range(0, len(pixels), step)]
        return parts[0] if len(parts) == 1 else Features.concatenated(parts)

    def _run(self, pixels: NDArray[np.uint8]) -> Features:
        count = len(pixels)
        values = self._session.run(self._outputs, {self._input: self._with_enough_rows(pixels)})
        outputs = dict(zip(self._outputs, (value[:count] for value in values), strict=True))
        entry = self._entry
        return Features.of(
            outputs[entry.logits],
            outputs[entry.embedding],
            outputs[entry.kinds] if entry.kinds else None,
            {name: outputs[name] for name in entry.taps},
        )

    def _with_enough_rows(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows = max(_LEAST_ROWS, self._fixed_rows or 0)
        return pad_rows(pixels, rows)


def pad_rows(batch: NDArray[Any], rows: int) -> NDArray[Any]:
    """`batch` with its first row repeated behind it until it has at least `rows` rows."""
    missing = rows - len(batch)
    if missing <= 0:
        return batch
    return np.concatenate((batch, np.repeat(batch[:1], missing, axis=0)))
