"""The backbone's ONNX graph in ONNX Runtime sessions."""

import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from astrolens.inference.graph_outputs import output_names, with_outputs
from astrolens.science.bundle import MODEL, Bundle, BundleDamaged
from astrolens.science.detectors import Features

_CUDA: Final = "CUDAExecutionProvider"
_CUDA_OPTIONS: Final = {
    # TF32 keeps 10 bits of a factor: 45 % of 1,023 p-values were others than on a CPU, by up to 12 %.
    "use_tf32": "0",
    # The default times the algorithms at the start, and may choose others in the next process: other bits.
    "cudnn_conv_algo_search": "HEURISTIC",
}
_CPU: Final = "CPUExecutionProvider"

_MIN_ROWS: Final = 2
"""For a single row, ONNX Runtime uses another matrix kernel, whose last bits differ: so one row never runs alone."""

_ROWS_PER_RUN: Final = 8
"""On a CPU: the maps of more images do not fit its caches, and take a tenth more time an image."""


class Backbone:
    """Computes features; the result of a row does not depend on the other rows.

    Most images are judged by the bundle alone, whose detectors read some of the outputs. What only survey models read
    takes a fifth of the time. So there are two sessions: one of what leads to the outputs that the detectors read, and
    one, made when somebody first asks, of the whole graph. Both give the same bits.

    Threads may call `run` at the same time.

    Args:
        bundle: A checked bundle.
        threads: Threads of one run. With several runs at once, 1 is the most efficient: no thread waits for another.
        fixed_rows: Rows of every run on a GPU, where the kernel is chosen by the shape of the batch.

    Attributes:
        provider: The execution provider that ONNX Runtime chose.
        cuda_failed: Whether the CUDA packages are installed and no card could be used.
        views: Places of the views that the outputs of the detectors depend on; the others need not be made for them.

    Raises:
        BundleDamaged: The graph cannot be loaded, or is not what the manifest says.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1, fixed_rows: int = 32) -> None:
        self._bundle = bundle
        self._threads = threads
        entry = bundle.manifest.model
        fixed = [entry.logits, entry.embedding, *([entry.kinds] if entry.kinds else [])]
        read = {detector.feature for detector in bundle.manifest.detectors}
        self._all = [*fixed, *entry.taps]
        self._of_detectors = [*fixed, *(name for name in entry.taps if name in read)]
        self._detecting = self._session(self._of_detectors)
        self._whole = self._detecting if self._of_detectors == self._all else None
        self._making = threading.Lock()
        self.provider: str = self._detecting.get_providers()[0]
        self.cuda_failed = self.provider != _CUDA and _CUDA in ort.get_available_providers()
        self._fixed_rows = fixed_rows if self.provider == _CUDA else None
        self.views: frozenset[int] = self._views_of_detectors()

    def run(self, pixels: NDArray[np.uint8], *, all_taps: bool = True) -> Features:
        """One forward pass over pixels [n, channels, size, size], 8-bit, n >= 1.

        Args:
            pixels: Preprocessed images; without `all_taps` those views that are not in `views` may hold anything.
            all_taps: Give every tap, and not only those that detectors of the bundle read.

        Raises:
            BundleDamaged: The graph cannot be loaded.
        """
        session, names = (self._ready_whole(), self._all) if all_taps else (self._detecting, self._of_detectors)
        step = self._fixed_rows or _ROWS_PER_RUN
        parts = [self._run(session, names, pixels[first : first + step]) for first in range(0, len(pixels), step)]
        return parts[0] if len(parts) == 1 else Features.concatenated(parts)

    def _session(self, names: Sequence[str]) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # A thread that spins between two runs takes CPU from decoding and scoring.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        model, path = self._bundle.model, self._bundle.path / MODEL
        available = ort.get_available_providers()
        providers = [(_CUDA, _CUDA_OPTIONS)] if _CUDA in available else []
        try:
            given = output_names(model)
            graph = with_outputs(model, names) if set(names) < given else model
            session = ort.InferenceSession(graph, options, providers=[*providers, _CPU])
        except Exception as error:  # neither the runtime's exceptions nor the parser's share a base
            raise BundleDamaged(path, f"ONNX Runtime does not load it: {error}") from error
        inputs = [item.name for item in session.get_inputs()]
        if inputs != [self._bundle.manifest.model.input] or not set(self._all) <= given:
            raise BundleDamaged(path, "its inputs and outputs are not those that the manifest names")
        return session

    def _ready_whole(self) -> ort.InferenceSession:
        with self._making:
            if self._whole is None:
                self._whole = self._session(self._all)
            return self._whole

    def _views_of_detectors(self) -> frozenset[int]:
        """Measured: a view is read if another picture in its place changes an output."""
        spec = self._bundle.preprocessing
        shape = (_MIN_ROWS, spec.channels, spec.size, spec.size)
        pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        feed = self._bundle.manifest.model.input
        before = self._detecting.run(self._of_detectors, {feed: self._with_enough_rows(pixels)})
        read = set()
        for place in range(len(spec.views)):
            other = pixels.copy()
            other[:, 3 * place : 3 * place + 3] = 255 - other[:, 3 * place : 3 * place + 3]
            after = self._detecting.run(self._of_detectors, {feed: self._with_enough_rows(other)})
            if not all(np.array_equal(one, two) for one, two in zip(before, after, strict=True)):
                read.add(place)
        return frozenset(read)

    def _run(self, session: ort.InferenceSession, names: Sequence[str], pixels: NDArray[np.uint8]) -> Features:
        entry, count = self._bundle.manifest.model, len(pixels)
        values = session.run(names, {entry.input: self._with_enough_rows(pixels)})
        outputs = dict(zip(names, (value[:count] for value in values), strict=True))
        return Features.of(
            outputs[entry.logits],
            outputs[entry.embedding],
            outputs[entry.kinds] if entry.kinds else None,
            {name: outputs[name] for name in entry.taps if name in outputs},
        )

    def _with_enough_rows(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows = max(_MIN_ROWS, self._fixed_rows or 0)
        return pad_rows(pixels, rows)


def pad_rows(batch: NDArray[Any], rows: int) -> NDArray[Any]:
    """`batch` with its first row repeated behind it until it has at least `rows` rows."""
    missing = rows - len(batch)
    if missing <= 0:
        return batch
    return np.concatenate((batch, np.repeat(batch[:1], missing, axis=0)))
