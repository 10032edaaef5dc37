"""Pictures of galaxies as small single-band stamps of a space telescope would show them, for calibrations of new skies.

From a real ordinary or odd galaxy of the data: its light, with the display's stretch undone, reduced to 64 pixels of
which the object takes a third to two thirds. Reducing by 1.4 to 6 leaves less of the seeing than a pixel or two; a
point-spread function of 2 pixels (HST's ACS at .05 arcseconds a pixel) is applied to what is left. Noise is of the sky,
shared by neighbours as drizzling does it, and of the photons of the object; there are no cosmic rays. What comes out
is a FITS file of floats, which the product reads and stretches as it does any.
"""

import io
from typing import Final

import numpy as np
from astrolens.science.object_view import object_view_fraction
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

SIDE: Final = 64
"""Pixels of a stamp."""
_OBJECT: Final = (22.0, 44.0)
"""Pixels that the object view takes."""
_PSF: Final = 2.0 / 2.355
"""Standard deviation, pixels: a full width of 2 at half maximum."""
_DRIZZLED: Final = 0.45
"""Of the kernel by which neighbours share noise, pixels."""
_PEAKS: Final = (15.0, 150.0)
"""Brightest pixel, in standard deviations of the sky."""
_GAIN: Final = 20.0
"""Photons in one standard deviation of the sky."""
_STRETCH: Final = 3.0
"""Of the display: values were `asinh` of the light over `1 / sinh(3)` of the brightest."""
_BAND: Final = (0.7, 0.25, 0.05)
"""Shares of red, green and blue: F814W is red."""


def hst_stamp(picture: NDArray[np.uint8], seed: int) -> bytes:
    """A stamp of a picture [s, s, 3], as the bytes of a FITS file.

    Args:
        picture: A square colour picture with one object in its centre.
        seed: Of size, brightness and noise.
    """
    rng = np.random.default_rng([seed, 41])
    values = (picture.astype(np.float64) / 255.0) @ np.array(_BAND)
    light = np.sinh(_STRETCH * values) / np.sinh(_STRETCH)
    border = np.concatenate((light[0], light[-1], light[:, 0], light[:, -1]))
    light -= np.median(border)
    side = light.shape[0]
    view = object_view_fraction(Image.fromarray(picture)) * side
    wanted = rng.uniform(*_OBJECT)
    # What the stamp shows, in pixels of the picture: never more than there is.
    shown = min(side, view * SIDE / wanted)
    margin = (side - shown) / 2.0
    box = (margin, margin, side - margin, side - margin)
    stamp = Image.fromarray(light.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX, box=box)
    sharp = gaussian_filter(np.asarray(stamp, dtype=np.float64), _PSF)
    peak = np.exp(rng.uniform(*np.log(_PEAKS)))
    signal = sharp * peak / max(float(sharp[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4].max()), 1e-3)
    noise = gaussian_filter(rng.standard_normal(signal.shape), _DRIZZLED)
    noise *= np.sqrt(1.0 + np.maximum(signal, 0.0) / _GAIN) / noise.std()
    buffer = io.BytesIO()
    header = fits.Header({"TELESCOP": "HST-LIKE", "FILTER": "F814W", "BUNIT": "sky sigma"})
    fits.PrimaryHDU((signal + noise).astype(np.float32), header).writeto(buffer)
    return buffer.getvalue()
