"""Golden inputs of a bundle: a few cutouts with what the bundle said of them where it was made.

`golden.npz` is optional: `cutout.<i>` with the bytes of a JPEG, `embedding` [n, d] and `p_value` [n] with the pooled
calibration. Whoever loads the bundle runs the same cutouts before it serves: another runtime, processor or decoder that
changes what comes out is found there and not in the sky.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from astrolens.science.bundle import GOLDEN, MANIFEST, Bundle, arrays_to_bytes, write_bundle
from astrolens.science.calibration import POOLED
from astrolens.science.cutouts import decode_cutout
from astrolens.science.detectors import Features
from astrolens.science.preprocessing import preprocess
from astrolens.science.scoring import Scorer

MAX_CUTOUTS: Final = 16
MIN_COSINE: Final = 0.999
"""Of embeddings: kernels of other processors sum in another order, which changes the sixth digit of the cosine."""
MAX_P_DIFFERENCE: Final = 0.02
"""Of p-values: a step of the empirical distribution is 1/(n+1), and a score beside one may fall to either side."""

Run = Callable[[NDArray[np.uint8]], Features]
"""The graph: preprocessed pixels [n, channels, size, size] to features of n images."""


class GoldenMismatch(Exception):
    """The bundle does not say here what it said where it was made; the message is a clause."""


def with_golden(folder: Path, cutouts: Sequence[bytes], run: Run) -> str:
    """Write a bundle again with golden inputs in it.

    Args:
        folder: The bundle.
        cutouts: JPEGs, at most 16.
        run: Its graph.

    Returns:
        The `model_digest`, which is another now.

    Raises:
        BundleDamaged: The folder is no bundle.
        ValueError: There are no cutouts, or too many.
    """
    if not 0 < len(cutouts) <= MAX_CUTOUTS:
        raise ValueError(f"give 1 to {MAX_CUTOUTS} cutouts, not {len(cutouts)}")
    bundle = Bundle.load(folder)
    embedding, p_values = _outputs(bundle, cutouts, run)
    arrays: dict[str, NDArray[np.generic]] = {
        f"cutout.{index}": np.frombuffer(jpeg, dtype=np.uint8) for index, jpeg in enumerate(cutouts)
    }
    golden = arrays_to_bytes({**arrays, "embedding": embedding, "p_value": p_values})
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}
    return write_bundle(folder, bundle.manifest, {**contents, GOLDEN: golden})


def check_golden(bundle: Bundle, run: Run) -> int:
    """Compare what the bundle says here with what it said; return on how many cutouts, 0 where it has none.

    Raises:
        GoldenMismatch: It says something else.
    """
    count = sum(name.startswith("cutout.") for name in bundle.golden)
    if not count:
        return 0
    try:
        cutouts = [bundle.golden[f"cutout.{index}"].tobytes() for index in range(count)]
        expected, expected_p = bundle.golden["embedding"], bundle.golden["p_value"]
    except KeyError as error:
        raise GoldenMismatch(f"its golden inputs lack {error.args[0]}") from error
    embedding, p_values = _outputs(bundle, cutouts, run)
    if embedding.shape != expected.shape or p_values.shape != expected_p.shape:
        raise GoldenMismatch(f"on its golden inputs it gives embeddings {embedding.shape} instead of {expected.shape}")
    norms = np.linalg.norm(embedding, axis=1) * np.linalg.norm(expected, axis=1)
    cosine = float(np.min(np.sum(embedding * expected, axis=1) / np.maximum(norms, np.finfo(np.float64).tiny)))
    if not cosine >= MIN_COSINE:
        raise GoldenMismatch(f"on a golden input its embedding differs: cosine {cosine:.4f}, less than {MIN_COSINE}")
    difference = float(np.max(np.abs(p_values - expected_p)))
    if not difference <= MAX_P_DIFFERENCE:
        raise GoldenMismatch(f"on a golden input its p-value differs by {difference:.3f}, more than {MAX_P_DIFFERENCE}")
    return count


def _outputs(bundle: Bundle, cutouts: Sequence[bytes], run: Run) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Embeddings [n, d] and pooled p-values [n]."""
    pixels = np.stack([preprocess(decode_cutout(jpeg), bundle.preprocessing) for jpeg in cutouts])
    features = run(pixels)
    scores = Scorer(bundle).score(features, [POOLED] * len(cutouts))
    return np.asarray(features.embedding, dtype=np.float64), np.array([image.p_value for image in scores])
