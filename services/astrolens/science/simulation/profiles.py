"""Surface-brightness profiles of galaxy components, each [SCENE_SIDE, SCENE_SIDE] in an arbitrary unit."""

import numpy as np

from astrolens.science.simulation.scene import Frame, Plane


def sersic(where: Frame, effective_radius: float, index: float) -> Plane:
    """Sérsic (1963) profile; index 4 is de Vaucouleurs' profile, 1 an exponential disc.

    Args:
        where: Elliptical coordinates.
        effective_radius: Radius that contains half of the light, pixels.
        index: Sérsic index n.
    """
    b = np.float32(2.0 * index - 1.0 / 3.0 + 0.009876 / index)  # Prugniel & Simien (1997)
    scaled = where.radius / np.float32(effective_radius)
    powered = scaled if index == 1.0 else np.exp(np.log(scaled) * np.float32(1.0 / index))
    result: Plane = np.exp(-b * (powered - np.float32(1.0)))
    return result


def exponential(where: Frame, scale_length: float) -> Plane:
    """An exponential disc, exp(-R/h); the scale length h in pixels."""
    result: Plane = np.exp(where.radius * np.float32(-1.0 / scale_length))
    return result


def spiral_arms(
    where: Frame, *, arms: int, pitch: float, phase: float, inner: float, warp: Plane, width: float
) -> Plane:
    """Density contrast of logarithmic spiral arms that start outside an inner radius.

    Args:
        where: Coordinates in the plane of the disc.
        arms: Number of arms.
        pitch: Pitch angle, radians; its sign is the sense of winding.
        phase: Azimuth at which they start, radians.
        inner: Radius within which there are no arms, pixels.
        warp: Random phase shift of the arms, radians: the flocculence.
        width: Von Mises concentration across an arm: larger is narrower.

    Returns:
        0 (between the arms, and well within `inner`) to 1 (on the crest of an arm).
    """
    theta = np.arctan2(where.across, where.along)
    winding = np.log(where.radius * np.float32(1.0 / inner)) * np.float32(1.0 / np.tan(pitch))
    crest = np.cos(np.float32(arms) * (theta - winding - np.float32(phase)) + warp)
    grown = np.clip((where.radius - np.float32(0.6 * inner)) * np.float32(1.0 / inner), 0.0, 1.0)
    result: Plane = np.exp(np.float32(width) * (crest - np.float32(1.0))) * grown
    return result


def edge_on(where: Frame, scale_length: float, scale_height: float) -> Plane:
    """An edge-on isothermal disc (van der Kruit & Searle 1981), with an approximation of R/h K1(R/h).

    Args:
        where: Coordinates with axis ratio 1: `along` the plane, `across` it.
        scale_length: Pixels.
        scale_height: Of the sech² law, pixels.
    """
    distance = np.abs(where.along) * np.float32(1.0 / scale_length)
    height = np.minimum(np.abs(where.across) * np.float32(1.0 / scale_height), np.float32(30.0))
    # x K1(x) = sqrt(1 + pi x / 2) exp(-x) within 5 %.
    along = np.sqrt(np.float32(1.0) + np.float32(np.pi / 2) * distance) * np.exp(-distance)
    result: Plane = along / np.square(np.cosh(height))
    return result


def annulus(where: Frame, radius: float, width: float) -> Plane:
    """A ring with a Gaussian cross-section; mean radius and standard deviation in pixels."""
    result: Plane = np.exp(np.float32(-0.5 / width**2) * np.square(where.radius - np.float32(radius)))
    return result
