"""Models of ordinary galaxies in four morphological classes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator

from astrolens.science.simulation.profiles import edge_on, exponential, sersic, spiral_arms
from astrolens.science.simulation.scene import Frame, Scene, frame, texture

Morphology = Literal["smooth", "spiral", "edge-on", "irregular"]
MORPHOLOGIES: tuple[Morphology, ...] = ("smooth", "spiral", "edge-on", "irregular")


@dataclass(frozen=True, slots=True)
class Galaxy:
    """Global parameters of the central galaxy.

    Attributes:
        x: Pixels from the scene's centre.
        y: The same.
        flux: Nanomaggies in r.
        radius: Effective radius along the major axis, pixels.
        angle: Position angle of the major axis, radians.
        redshift: Reddens the stellar populations.
    """

    x: float
    y: float
    flux: float
    radius: float
    angle: float
    redshift: float

    def old(self, rng: Generator) -> float:
        """Draw g-r (mag) of an old population: the red sequence, reddened by redshift."""
        return float(rng.normal(0.74, 0.05) + 2.6 * self.redshift)

    def middle(self, rng: Generator) -> float:
        """Draw g-r (mag) of a disc."""
        return float(rng.normal(0.48, 0.08) + 1.2 * self.redshift)

    def young(self, rng: Generator) -> float:
        """Draw g-r (mag) of a star-forming population."""
        return float(rng.normal(0.03, 0.08) + 0.6 * self.redshift)


def draw_galaxy(scene: Scene) -> Galaxy:
    """Draw position, flux and size, after the size-magnitude relation of nearby galaxies."""
    rng, instrument = scene.rng, scene.instrument
    bright, faint = instrument.magnitudes
    # Galaxy counts rise as 10^(0.4 m); the distribution here is flatter, so that large and small objects both occur.
    magnitude = faint - (faint - bright) * rng.random() ** 1.15
    # Half-light radius in arcseconds (Shen et al. 2003 projected to a magnitude), log-normal scatter.
    arcsec = 4.4 * 10 ** (-0.15 * (magnitude - 16.5)) * np.exp(rng.normal(0.0, 0.28))
    if rng.random() < 0.12:
        arcsec *= rng.uniform(1.5, 2.6)
    radius = float(np.clip(scene.pixels(arcsec), 3.2, 46.0))
    galaxy = Galaxy(
        x=float(rng.normal(0.0, 1.5)),
        y=float(rng.normal(0.0, 1.5)),
        flux=float(10 ** (0.4 * (22.5 - magnitude))),
        radius=radius,
        angle=float(rng.uniform(0.0, np.pi)),
        redshift=float(np.clip(rng.gamma(2.0, 0.018) * 10 ** (0.12 * (magnitude - 16.0)), 0.003, 0.28)),
    )
    scene.parameters.update(
        r_magnitude=float(magnitude),
        effective_radius_arcsec=radius * instrument.pixel_scale_arcsec,
        redshift=galaxy.redshift,
    )
    return galaxy


def add_smooth(scene: Scene, galaxy: Galaxy) -> None:
    """Add an elliptical, or a lenticular: a bulge with a featureless disc."""
    rng = scene.rng
    axis_ratio = float(np.clip(rng.beta(4.5, 2.0), 0.42, 1.0))
    where = frame(galaxy.x, galaxy.y, axis_ratio, galaxy.angle)
    old = galaxy.old(rng)
    if rng.random() < 0.30:
        share = rng.uniform(0.25, 0.6)
        scene.add_component(exponential(where, galaxy.radius / 1.68), galaxy.flux * (1 - share), scene.sed(old - 0.06))
        core = frame(galaxy.x, galaxy.y, min(1.0, axis_ratio + 0.2), galaxy.angle)
        scene.add_component(
            sersic(core, galaxy.radius * rng.uniform(0.2, 0.4), 3.0), galaxy.flux * share, scene.sed(old)
        )
        return
    index = float(np.clip(rng.normal(3.6, 1.1), 1.2, 6.0))
    blue = 0.25 if index < 2.0 else 0.0
    scene.add_component(sersic(where, galaxy.radius, index), galaxy.flux, scene.sed(old - blue))


def add_spiral(scene: Scene, galaxy: Galaxy) -> None:
    """Add a disc with bulge, often a bar, and two to four arms from grand design to flocculent."""
    rng = scene.rng
    axis_ratio = float(rng.uniform(0.38, 1.0))
    disc = frame(galaxy.x, galaxy.y, axis_ratio, galaxy.angle)
    length = galaxy.radius / 1.5
    bulge = float(np.clip(rng.lognormal(-1.9, 0.6), 0.02, 0.45))
    arms = int(rng.choice([2, 2, 2, 3, 4]))
    barred = bool(rng.random() < 0.4)
    inner = length * float(rng.uniform(0.5, 0.9))
    turn = float(rng.uniform(0.0, 2 * np.pi))
    flocculence = float(rng.uniform(0.1, 0.9))
    crests = spiral_arms(
        disc,
        arms=arms,
        pitch=float(np.radians(rng.uniform(10.0, 28.0)) * rng.choice([-1.0, 1.0])),
        phase=turn,
        inner=inner,
        warp=texture(rng, 14) * np.float32(flocculence),
        width=float(rng.uniform(1.4, 3.2)),
    )
    clumps = np.exp(texture(rng, 56) * np.float32(rng.uniform(0.2, 0.5)))
    smooth = exponential(disc, length)
    contrast = float(rng.uniform(0.45, 0.95))
    old, middle, young = galaxy.old(rng), galaxy.middle(rng), galaxy.young(rng)
    stars = 1.0 - bulge
    arm_share = contrast * float(rng.uniform(0.35, 0.6))
    scene.add_component(
        smooth * (np.float32(1.0 - 0.6 * contrast) + crests), galaxy.flux * stars * (1 - arm_share), scene.sed(middle)
    )
    # Young stars follow the arms in clumps and extend beyond the old disc.
    outer = np.exp(disc.radius * np.float32(-0.88 / length))
    scene.add_component(outer * crests * clumps, galaxy.flux * stars * arm_share, scene.sed(young))
    core = frame(galaxy.x, galaxy.y, min(1.0, axis_ratio + 0.35), galaxy.angle)
    scene.add_component(
        sersic(core, max(1.0, length * rng.uniform(0.15, 0.35)), 2.5), galaxy.flux * bulge, scene.sed(old)
    )
    if barred:
        _add_bar(scene, galaxy, disc, inner, turn, old)
    scene.parameters.update(
        arms=float(arms), barred=float(barred), flocculence=flocculence, inclination_axis_ratio=axis_ratio
    )


def _add_bar(scene: Scene, galaxy: Galaxy, disc: Frame, length: float, turn: float, colour: float) -> None:
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along = disc.along * cosine + disc.across * sine
    across = disc.across * cosine - disc.along * sine
    # Boxy isophotes (a Ferrers bar): the fourth power of the distance.
    shape = np.exp(
        -np.square(np.square(along / np.float32(length))) - np.square(across / np.float32(0.24 * length + 0.5))
    )
    scene.add_component(shape, galaxy.flux * float(scene.rng.uniform(0.08, 0.2)), scene.sed(colour - 0.03))


def add_edge_on(scene: Scene, galaxy: Galaxy) -> None:
    """Add an edge-on disc, often with a bulge and a dust lane."""
    rng = scene.rng
    where = frame(galaxy.x, galaxy.y, 1.0, galaxy.angle)
    length = galaxy.radius * 0.85
    height = max(0.9, length * float(rng.uniform(0.11, 0.30)))
    bulge = float(np.clip(rng.lognormal(-2.0, 0.8), 0.0, 0.4))
    bulge_shape = sersic(frame(galaxy.x, galaxy.y, rng.uniform(0.55, 0.85), galaxy.angle), max(1.2, length * 0.25), 2.2)
    disc = edge_on(where, length, height)
    thin = edge_on(where, length * 1.15, max(0.6, height * 0.5))
    flux = galaxy.flux
    scene.add_component(bulge_shape, flux * bulge, scene.sed(galaxy.old(rng)))
    scene.add_component(disc, flux * (1 - bulge) * 0.65, scene.sed(galaxy.middle(rng) + 0.08))
    scene.add_component(thin, flux * (1 - bulge) * 0.35, scene.sed(galaxy.young(rng) + 0.15))
    if rng.random() < 0.55:
        depth = float(rng.uniform(0.4, 1.6))
        tilt = float(rng.normal(0.0, 0.35)) * height
        lane = edge_on(frame(galaxy.x, galaxy.y, 1.0, galaxy.angle), length * 1.4, max(0.5, height * 0.3))
        lane = np.roll(lane, round(tilt), axis=0) * np.float32(depth)
        # Extinction increases towards the blue (Cardelli et al. 1989: A_g/A_r = 1.4, A_i/A_r = 0.75).
        for band, strength in enumerate((1.4, 1.0, 0.75)):
            scene.bands[band] *= np.exp(lane * np.float32(-strength))
        scene.parameters["dust_depth"] = depth


def add_irregular(scene: Scene, galaxy: Galaxy) -> None:
    """Add a faint, blue, asymmetric galaxy: a patchy disc and clumps of young stars."""
    rng = scene.rng
    axis_ratio = float(rng.uniform(0.35, 0.95))
    radius = galaxy.radius * float(rng.uniform(1.15, 1.9))
    where = frame(galaxy.x, galaxy.y, axis_ratio, galaxy.angle)
    patches = np.exp(texture(rng, max(6, round(288 / max(radius, 6.0)))) * np.float32(rng.uniform(0.5, 0.9)))
    middle, young = galaxy.middle(rng) - 0.12, galaxy.young(rng) - 0.02
    # Lower surface brightness than the bright classes.
    flux = galaxy.flux * float(rng.uniform(0.5, 1.0))
    lopsided = np.clip(np.float32(1.0) + where.along * np.float32(rng.uniform(0.1, 0.45) / radius), 0.15, 2.0)
    count = int(rng.integers(5, 22))
    knots = float(rng.uniform(0.05, 0.25))
    scene.add_component(sersic(where, radius, 0.8) * patches * lopsided, flux * (1.0 - knots), scene.sed(middle))
    angle = rng.uniform(0.0, 2 * np.pi, count)
    distance = radius * rng.gamma(2.0, 0.42, count)
    cosine, sine = np.cos(galaxy.angle), np.sin(galaxy.angle)
    along, across = distance * np.cos(angle), distance * np.sin(angle) * axis_ratio
    share = rng.lognormal(0.0, 0.8, count)
    each = max(1, round(radius * 1.2))
    spread = radius * 0.05 + 0.4
    x = np.repeat(galaxy.x + along * cosine - across * sine, each) + rng.normal(0.0, spread, count * each)
    y = np.repeat(galaxy.y + along * sine + across * cosine, each) + rng.normal(0.0, spread, count * each)
    light = np.repeat(flux * knots * share / share.sum() / each, each)
    scene.add_points(x, y, light, scene.sed(young - 0.1))
    scene.parameters["clumps"] = float(count)


GALAXY_MODELS: Mapping[Morphology, Callable[[Scene, Galaxy], None]] = {
    "smooth": add_smooth,
    "spiral": add_spiral,
    "edge-on": add_edge_on,
    "irregular": add_irregular,
}
