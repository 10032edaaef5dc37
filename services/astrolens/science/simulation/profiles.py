"""Surface brightness of galaxies' parts, each [FULL, FULL] with an arbitrary scale."""

import numpy as np

from astrolens.science.simulation.canvas import Frame, Plane


def sersic(where: Frame, effective_radius: float, index: float) -> Plane:
    """Sérsic (1963): index 4 is de Vaucouleurs' bulge, 1 the exponential disc.

    Args:
        where: Elliptical coordinates.
        effective_radius: Pixels; holds half of the light.
        index: n.
    """
    b = np.float32(2.0 * index - 1.0 / 3.0 + 0.009876 / index)  # Prugniel & Simien (1997)
    scaled = where.radius / np.float32(effective_radius)
    powered = scaled if index == 1.0 else np.exp(np.log(scaled) * np.float32(1.0 / index))
    result: Plane = np.exp(-b * (powered - np.float32(1.0)))
    return result


def exponential(where: Frame, scale_length: float) -> Plane:
    """A disc: exp(-R/h)."""
    result: Plane = np.exp(where.radius * np.float32(-1.0 / scale_length))
    return result


def spiral_arms(
    where: Frame, *, arms: int, pitch: float, phase: float, inner: float, warp: Plane, width: float
) -> Plane:
    """How dense a disc is relative to its smooth self: logarithmic arms from a bar's end outwards.

    Args:
        where: The disc's plane.
        arms: How many.
        pitch: Angle between arm and circle, radians; its sign is the sense of winding.
        phase: Where they begin, radians.
        inner: Pixels: no arms within.
        warp: Radians by which the arms wander: the flocculence.
        width: Larger is narrower: the von Mises concentration across an arm.

    Returns:
        Between 0 (between the arms, and within `inner`) and 1 (on a crest).
    """
    theta = np.arctan2(where.across, where.along)
    winding = np.log(where.radius * np.float32(1.0 / inner)) * np.float32(1.0 / np.tan(pitch))
    crest = np.cos(np.float32(arms) * (theta - winding - np.float32(phase)) + warp)
    grown = np.clip((where.radius - np.float32(0.6 * inner)) * np.float32(1.0 / inner), 0.0, 1.0)
    result: Plane = np.exp(np.float32(width) * (crest - np.float32(1.0))) * grown
    return result


def edge_on(where: Frame, scale_length: float, scale_height: float) -> Plane:
    """An isothermal disc seen from the side (van der Kruit & Searle 1981), R/h K1(R/h) written as a fit to it.

    Args:
        where: Coordinates with axis ratio 1: `along` the plane, `across` it.
        scale_length: Pixels.
        scale_height: Pixels, of sech².
    """
    distance = np.abs(where.along) * np.float32(1.0 / scale_length)
    height = np.minimum(np.abs(where.across) * np.float32(1.0 / scale_height), np.float32(30.0))
    # x K1(x) = sqrt(1 + pi x / 2) exp(-x) within 5 %.
    along = np.sqrt(np.float32(1.0) + np.float32(np.pi / 2) * distance) * np.exp(-distance)
    result: Plane = along / np.square(np.cosh(height))
    return result


def annulus(where: Frame, radius: float, width: float) -> Plane:
    """A ring with a Gaussian cross-section."""
    result: Plane = np.exp(np.float32(-0.5 / width**2) * np.square(where.radius - np.float32(radius)))
    return result


def blob(x: float, y: float, radius: float, where: Frame) -> Plane:
    """A round Gaussian at a place of the frame's own coordinates."""
    away = np.square(where.along - np.float32(x)) + np.square(where.across - np.float32(y))
    result: Plane = np.exp(np.float32(-0.5 / radius**2) * away)
    return result
