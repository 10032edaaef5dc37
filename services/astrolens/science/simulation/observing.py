"""Atmosphere, detector and the survey's picture maker."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from astrolens.science.simulation.canvas import FULL, MARGIN, SIDE, Canvas
from astrolens.science.simulation.instruments import Instrument

Bands = NDArray[np.float32]

_SEEING_STEPS = 0.1
"""Seeing is rounded to this fraction of its median, so that a few transfer functions serve all images."""


def expose(canvas: Canvas) -> Bands:
    """The sky as the detector counts it: blurred, saturated, noisy. [3, SIDE, SIDE], nanomaggies above the sky."""
    instrument, rng = canvas.instrument, canvas.rng
    median, scatter = instrument.seeing_arcsec
    steps = round(float(np.clip(np.exp(rng.normal(0.0, scatter)), 0.7, 1.5)) / _SEEING_STEPS)
    seeing = median * steps * _SEEING_STEPS
    transfer = _transfer(round(seeing / instrument.pixel_scale_arcsec, 4), instrument.moffat_beta)
    spectrum = scipy.fft.rfft2(canvas.bands, axes=(1, 2), workers=1)
    spectrum *= transfer
    blurred = scipy.fft.irfft2(spectrum, s=(FULL, FULL), axes=(1, 2), workers=1, overwrite_x=True)
    noise = rng.standard_normal((3, SIDE, SIDE), dtype=np.float32)
    seen: Bands = np.empty_like(noise)
    # Band by band and in place, so that it stays in the processor's cache.
    for band, sky in enumerate(instrument.noise_nmgy):
        counts = seen[band]
        np.clip(blurred[band, MARGIN:-MARGIN, MARGIN:-MARGIN], 0.0, instrument.saturation_nmgy, out=counts)
        deviation = counts * np.float32(1.0 / instrument.electrons_per_nmgy)
        deviation += np.float32(sky * sky)
        np.sqrt(deviation, out=deviation)
        deviation *= noise[band]
        counts += deviation
    canvas.notes["seeing_arcsec"] = seeing
    return seen


@lru_cache(maxsize=48)
def _transfer(fwhm_pixels: float, beta: float) -> NDArray[np.float32]:
    """Fourier transform of a Moffat point-spread function of unit sum; real, for it is symmetric."""
    width = fwhm_pixels / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0))
    axis = np.fft.fftfreq(FULL, 1.0 / FULL)
    distance2 = axis[:, None] ** 2 + axis[None, :] ** 2
    kernel = (1.0 + distance2 / width**2) ** -beta
    transform: NDArray[np.float32] = scipy.fft.rfft2(kernel / kernel.sum()).real.astype(np.float32)
    return transform


def colour_picture(bands: Bands, instrument: Instrument) -> NDArray[np.uint8]:
    """Lupton's (2004) asinh picture with the survey's fixed weights, as surveys publish it.

    Args:
        bands: [3, H, W]: blue, green, red.
        instrument: Its weights and curve.

    Returns:
        [H, W, 3] in red, green, blue.
    """
    unit = instrument.noise_nmgy[1]
    scale = np.array([weight / unit for weight in instrument.weights], dtype=np.float32)[:, None, None]
    weighted = bands * scale
    weighted += np.float32(instrument.black)
    intensity = weighted.mean(axis=0)
    np.maximum(intensity, np.float32(1e-3), out=intensity)
    curve = np.arcsinh(intensity * np.float32(1.0 / instrument.softening))
    curve *= np.float32(255.0 / np.arcsinh(instrument.white / instrument.softening))
    weighted *= curve / intensity
    # A pixel too bright in one band is scaled in all three, which keeps its colour.
    brightest = weighted.max(axis=0)
    np.maximum(brightest, np.float32(255.0), out=brightest)
    weighted *= np.float32(255.0) / brightest
    np.clip(weighted, 0.0, 255.0, out=weighted)
    return np.ascontiguousarray(np.moveaxis(weighted[::-1], 0, -1)).astype(np.uint8)
