"""Observe a scene: seeing, saturation and noise; then the colour picture."""

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from astrolens.science.simulation.instruments import Instrument
from astrolens.science.simulation.scene import MARGIN, PICTURE_SIDE, SCENE_SIDE, Scene

Bands = NDArray[np.float32]

_SEEING_STEPS = 0.1
"""Seeing is rounded to this fraction of its median, so that a few cached transfer functions suffice."""


def expose(scene: Scene) -> Bands:
    """Convolve with the seeing, saturate, and add noise.

    Returns:
        [3, PICTURE_SIDE, PICTURE_SIDE], nanomaggies above the sky.
    """
    instrument, rng = scene.instrument, scene.rng
    median, scatter = instrument.seeing_arcsec
    steps = round(float(np.clip(np.exp(rng.normal(0.0, scatter)), 0.7, 1.5)) / _SEEING_STEPS)
    seeing = median * steps * _SEEING_STEPS
    transfer = _transfer(round(seeing / instrument.pixel_scale_arcsec, 4), instrument.moffat_beta)
    spectrum = scipy.fft.rfft2(scene.bands, axes=(1, 2), workers=1)
    spectrum *= transfer
    blurred = scipy.fft.irfft2(spectrum, s=(SCENE_SIDE, SCENE_SIDE), axes=(1, 2), workers=1, overwrite_x=True)
    noise = rng.standard_normal((3, PICTURE_SIDE, PICTURE_SIDE), dtype=np.float32)
    seen: Bands = np.empty_like(noise)
    # Band by band and in place: the data stay in the processor's cache.
    for band, sky in enumerate(instrument.noise_nmgy):
        counts = seen[band]
        np.clip(blurred[band, MARGIN:-MARGIN, MARGIN:-MARGIN], 0.0, instrument.saturation_nmgy, out=counts)
        deviation = counts * np.float32(1.0 / instrument.electrons_per_nmgy)
        deviation += np.float32(sky * sky)
        np.sqrt(deviation, out=deviation)
        deviation *= noise[band]
        counts += deviation
    scene.parameters["seeing_arcsec"] = seeing
    return seen


@lru_cache(maxsize=48)
def _transfer(fwhm_pixels: float, beta: float) -> NDArray[np.float32]:
    """Fourier transform of a Moffat point-spread function of unit sum; real, because it is symmetric."""
    width = fwhm_pixels / (2.0 * np.sqrt(2.0 ** (1.0 / beta) - 1.0))
    axis = np.fft.fftfreq(SCENE_SIDE, 1.0 / SCENE_SIDE)
    distance2 = axis[:, None] ** 2 + axis[None, :] ** 2
    kernel = (1.0 + distance2 / width**2) ** -beta
    transform: NDArray[np.float32] = scipy.fft.rfft2(kernel / kernel.sum()).real.astype(np.float32)
    return transform


def colour_picture(bands: Bands, instrument: Instrument) -> NDArray[np.uint8]:
    """The asinh colour picture of Lupton et al. (2004) with the fixed weights of the survey.

    Args:
        bands: [3, H, W] in the order blue, green, red; nanomaggies.
        instrument: Weights and curve.

    Returns:
        [H, W, 3] uint8 in the order red, green, blue.
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
    # A pixel that would clip in one band is scaled down in all three, which preserves its colour.
    brightest = weighted.max(axis=0)
    np.maximum(brightest, np.float32(255.0), out=brightest)
    weighted *= np.float32(255.0) / brightest
    np.clip(weighted, 0.0, 255.0, out=weighted)
    return np.ascontiguousarray(np.moveaxis(weighted[::-1], 0, -1)).astype(np.uint8)
