"""Encounters of two disc galaxies, as test particles in two moving potentials (Toomre & Toomre 1972).

The particles of each disc feel both galaxies; the galaxies feel each other. That is enough for bridges and tails of the
right shapes, and cheap: a small library of encounters is computed once a process and drawn from.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_ENCOUNTERS = 24
"""Different orbits and moments; each is turned, mirrored and seen from any side, so that few repeat."""

_PARTICLES = 3000
"""In each disc: the tails then hold some hundreds."""

_SOFTENING = 0.25
"""Of both potentials, in radii of the first disc."""

_STEP = 0.06


@dataclass(frozen=True, slots=True)
class Encounter:
    """Two discs at one moment; lengths in radii of the first disc, the first galaxy at the origin.

    Attributes:
        particles: [2, n, 3] places of each disc's particles.
        born_at: [2, n] radii at which they began, in radii of their own disc.
        second: [3] the second galaxy's place.
        mass_ratio: Second over first galaxy.
    """

    particles: Vectors
    born_at: Vectors
    second: Vectors
    mass_ratio: float


@cache
def encounters() -> tuple[Encounter, ...]:
    """The library, the same in every process."""
    rng = np.random.default_rng(1972)
    return tuple(_encounter(rng) for _ in range(_ENCOUNTERS))


def _encounter(rng: np.random.Generator) -> Encounter:
    """Integrate one parabolic encounter from before the closest approach to some time after it."""
    mass_ratio = float(np.exp(rng.uniform(np.log(0.3), 0.0)))
    closest = float(rng.uniform(0.7, 1.6))
    # Parabolic orbit in the plane z = 0, from three dynamical times before the closest approach.
    total = 1.0 + mass_ratio
    true_anomaly = -float(rng.uniform(1.7, 2.0))
    distance = 2.0 * closest / (1.0 + np.cos(true_anomaly))
    speed = np.sqrt(total / (2.0 * closest))
    at = np.array([np.cos(true_anomaly), np.sin(true_anomaly), 0.0]) * distance
    moving = np.array([-np.sin(true_anomaly), 1.0 + np.cos(true_anomaly), 0.0]) * speed
    masses = (1.0, mass_ratio)
    centres = [-at * mass_ratio / total, at / total]
    velocities = [-moving * mass_ratio / total, moving / total]
    radii = (1.0, mass_ratio**0.5)
    places, speeds, born = [], [], []
    for galaxy in range(2):
        # Most discs turn with the orbit: retrograde ones grow no tails.
        tilt = float(rng.uniform(0.0, 0.9)) if rng.random() < 0.85 else float(np.pi - rng.uniform(0.0, 0.6))
        where, motion, start = _disc(rng, masses[galaxy], radii[galaxy], tilt)
        places.append(where + centres[galaxy])
        speeds.append(motion + velocities[galaxy])
        born.append(start)
    # Structure of arrays: x, y and z of all particles of both discs.
    position = np.concatenate(places).T.astype(np.float32).copy()
    velocity = np.concatenate(speeds).T.astype(np.float32).copy()
    centre, motion = np.array(centres), np.array(velocities)
    for _ in range(int(rng.integers(60, 130))):
        velocity += np.float32(_STEP) * _pull(position, centre, masses)
        apart = centre[1] - centre[0]
        pull = apart / (apart @ apart + _SOFTENING**2) ** 1.5
        motion += _STEP * np.array([pull * masses[1], -pull * masses[0]])
        position += np.float32(_STEP) * velocity
        centre += _STEP * motion
    seen = position.T - centre[0].astype(np.float32)
    return Encounter(
        np.ascontiguousarray(seen.reshape(2, _PARTICLES, 3)),
        np.asarray(born, dtype=np.float32),
        (centre[1] - centre[0]).astype(np.float32),
        mass_ratio,
    )


def _disc(
    rng: np.random.Generator, mass: float, radius: float, tilt: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Places [n, 3], speeds [n, 3] on circles, and start radii [n] in disc radii; evenly spread in radius."""
    start = rng.uniform(0.25, 1.0, _PARTICLES)
    angle = rng.uniform(0.0, 2.0 * np.pi, _PARTICLES)
    r = start * radius
    speed = np.sqrt(mass) * r / (r * r + _SOFTENING**2) ** 0.75
    flat = np.stack([r * np.cos(angle), r * np.sin(angle), rng.normal(0.0, 0.02, _PARTICLES) * radius], axis=1)
    motion = np.stack([-speed * np.sin(angle), speed * np.cos(angle), np.zeros(_PARTICLES)], axis=1)
    node = float(rng.uniform(0.0, 2.0 * np.pi))
    turn = rotation(node) @ np.array(
        [[1.0, 0.0, 0.0], [0.0, np.cos(tilt), -np.sin(tilt)], [0.0, np.sin(tilt), np.cos(tilt)]]
    )
    return flat @ turn.T, motion @ turn.T, start


def _pull(position: Vectors, centre: NDArray[np.float64], masses: tuple[float, float]) -> Vectors:
    """Acceleration [3, n] of particles at `position` [3, n] by both galaxies."""
    pull = np.zeros_like(position)
    for at, mass in zip(centre.astype(np.float32), masses, strict=True):
        offset = at[:, None] - position
        squared = np.einsum("in,in->n", offset, offset) + np.float32(_SOFTENING**2)
        offset *= np.float32(mass) / (squared * np.sqrt(squared))
        pull += offset
    return pull


def rotation(angle: float) -> NDArray[np.float64]:
    """Rotation [3, 3] about the z axis."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
