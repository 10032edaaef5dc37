"""The patches of a cutout's frame, from the graph that a bundle has: an inner map of its early trunk becomes an output.

The bundle is not changed for it: bundles of the same architecture have the map, and their digests stay. Another session
runs what leads to it, made when somebody first asks, since only candidates need patches.
"""

import threading
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from astrolens.contracts.patch_maps import PATCH_MAP_SIDE
from astrolens.inference.backbone import pad_rows
from astrolens.inference.graph_outputs import has_value, with_outputs
from astrolens.science.bundle import MODEL, Bundle, BundleDamaged

_INNER_MAP: Final = "/early/blocks.4/Add_output_0"
"""Map after block 4 of the early trunk, [n, 40, 14, 14] for a view of 112 pixels, as the exporter names it."""
_WHOLE_FRAME: Final = ("frame", 1.0)
_MIN_ROWS: Final = 2
"""As in the backbone: for a single row another kernel would run, whose last bits differ."""
_ROWS_PER_RUN: Final = 8


class PatchGraph:
    """Describes the patches of preprocessed images; threads may share it.

    Args:
        bundle: A checked bundle.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._session: ort.InferenceSession | None = None
        self._making = threading.Lock()

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Patches [n, 14 * 14 * d], place by place, of pixels [n, channels, size, size], n >= 1.

        Raises:
            ValueError: The bundle has no patches.
            BundleDamaged: ONNX Runtime does not load the graph.
        """
        session = self._ready()
        # The trunk reads the first view: here it is the frame.
        first = 3 * _frame_view(self._bundle)
        frames = np.concatenate((pixels[:, first : first + 3], pixels[:, 3:]), axis=1)
        parts = [
            self._run(session, frames[start : start + _ROWS_PER_RUN]) for start in range(0, len(frames), _ROWS_PER_RUN)
        ]
        return np.concatenate(parts)

    def _run(self, session: ort.InferenceSession, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        [maps] = session.run([_INNER_MAP], {self._bundle.manifest.model.input: pad_rows(frames, _MIN_ROWS)})
        if maps.shape[2:] != (PATCH_MAP_SIDE, PATCH_MAP_SIDE):
            raise BundleDamaged(self._bundle.path / MODEL, f"its patches are {maps.shape[2:]}, not 14 x 14")
        return np.ascontiguousarray(maps[: len(frames)].transpose(0, 2, 3, 1)).reshape(len(frames), -1)

    def _ready(self) -> ort.InferenceSession:
        with self._making:
            if self._session is None:
                if not gives_patches(self._bundle):
                    raise ValueError("the bundle gives no patches")
                options = ort.SessionOptions()
                options.intra_op_num_threads = options.inter_op_num_threads = 1
                options.add_session_config_entry("session.intra_op.allow_spinning", "0")
                options.log_severity_level = 3
                try:
                    self._session = ort.InferenceSession(
                        with_outputs(self._bundle.model, [_INNER_MAP]), options, providers=["CPUExecutionProvider"]
                    )
                except Exception as error:  # the runtime's exceptions share no base
                    raise BundleDamaged(self._bundle.path / MODEL, f"its patches cannot be run: {error}") from error
            return self._session


def gives_patches(bundle: Bundle) -> bool:
    """Whether the bundle's graph has the inner map, and its input the whole frame."""
    return _frame_view(bundle) >= 0 and has_value(bundle.model, _INNER_MAP)


def _frame_view(bundle: Bundle) -> int:
    """Place of the whole frame among the views; -1 where it is none of them."""
    return next((place for place, view in enumerate(bundle.preprocessing.views) if view in _WHOLE_FRAME), -1)
