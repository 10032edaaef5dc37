"""A 64-bit perceptual hash: pictures that look alike differ in few bits.

The DCT hash of Zauner (2010): 32 x 32 grey pixels, the 8 x 8 lowest frequencies, one bit each against their median.
Taken of the logarithm of the brightness: on a linear scale the one round galaxy in the middle decides every bit, and
many pairs of different galaxies are alike; on a logarithmic one the faint field around it counts as much.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 32
_KEPT = 8
_SOFTENING = 8.0
"""Grey levels added before the logarithm: above the noise of a sky, so that a second compression flips few bits."""


def _cosines() -> NDArray[np.float32]:
    """The lowest rows of the orthonormal DCT-II matrix, [8, 32]; the mean's own row is left out."""
    k = np.arange(1, _KEPT + 1)[:, None]
    n = np.arange(_SIDE)[None, :]
    basis: NDArray[np.float64] = np.sqrt(2.0 / _SIDE) * np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE))
    return basis.astype(np.float32)


_BASIS = _cosines()


def perceptual_hash(picture: Image.Image) -> str:
    """The hash of an RGB or grey picture, as 16 hexadecimal digits."""
    # Means in floating point: rounded to whole grey levels, an empty sky would be nothing but steps.
    grey = picture.convert("L").convert("F").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(grey, dtype=np.float32)
    pixels = np.log(pixels - pixels.min() + _SOFTENING)
    spectrum = _BASIS @ pixels @ _BASIS.T
    bits = spectrum > np.median(spectrum)
    return np.packbits(bits.ravel()).tobytes().hex()


def hamming_distance(first: str, second: str) -> int:
    """In how many of their 64 bits two hashes differ."""
    return (int(first, 16) ^ int(second, 16)).bit_count()
