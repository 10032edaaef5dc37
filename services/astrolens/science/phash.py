"""A 64-bit perceptual hash: hashes of similar pictures differ in few bits.

The DCT hash of Zauner (2010): 32 x 32 grey pixels, the 8 x 8 lowest frequencies, one bit each against their median.
It is taken of the logarithm of the brightness. On a linear scale the galaxy in the centre determines every bit, and
many pairs of different galaxies collide; on a logarithmic scale the faint field around it has equal weight.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 32
_FREQUENCIES = 8
_SOFTENING = 8.0
"""Grey levels added before the logarithm: above the noise of a sky, so that recompression flips few bits."""


def _dct_rows() -> NDArray[np.float32]:
    """Rows 1 to 8 of the orthonormal DCT-II matrix, [8, 32]; row 0, the mean, is left out."""
    k = np.arange(1, _FREQUENCIES + 1)[:, None]
    n = np.arange(_SIDE)[None, :]
    basis: NDArray[np.float64] = np.sqrt(2.0 / _SIDE) * np.cos(np.pi * k * (2 * n + 1) / (2 * _SIDE))
    return basis.astype(np.float32)


_BASIS = _dct_rows()


def perceptual_hash(picture: Image.Image) -> str:
    """The hash of an RGB or grey picture, as 16 hexadecimal digits."""
    # Averaged in floating point: an empty sky rounded to whole grey levels would be quantisation steps only.
    grey = picture.convert("L").convert("F").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(grey, dtype=np.float32)
    pixels = np.log(pixels - pixels.min() + _SOFTENING)
    spectrum = _BASIS @ pixels @ _BASIS.T
    bits = spectrum > np.median(spectrum)
    return np.packbits(bits.ravel()).tobytes().hex()
