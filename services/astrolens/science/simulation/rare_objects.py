"""Rare objects: rings, mergers, lenses, streams, jets and others."""

import numpy as np

from astrolens.science.simulation.galaxies import Galaxy
from astrolens.science.simulation.profiles import annulus, exponential, sersic
from astrolens.science.simulation.scene import Scene, Sed, frame, texture


def ring_galaxy(scene: Scene, galaxy: Galaxy) -> None:
    """A ring galaxy, as Hoag's object and collisional rings: a red core, a gap, a blue clumpy ring."""
    rng = scene.rng
    axis_ratio = float(rng.uniform(0.55, 1.0))
    radius = max(galaxy.radius * float(rng.uniform(1.3, 2.0)), 9.0)
    off = radius * float(rng.uniform(0.0, 0.3))
    where = frame(galaxy.x, galaxy.y, axis_ratio, galaxy.angle)
    clumps = np.exp(texture(rng, 40) * np.float32(0.6))
    ring = annulus(where, radius, radius * float(rng.uniform(0.10, 0.2)) + 0.5)
    scene.add_component(ring * clumps, galaxy.flux * 0.6, scene.sed(galaxy.young(rng)))
    core = frame(galaxy.x + off * np.cos(galaxy.angle), galaxy.y + off * np.sin(galaxy.angle), 0.9, galaxy.angle)
    scene.add_component(sersic(core, max(1.5, radius * 0.22), 2.5), galaxy.flux * 0.4, scene.sed(galaxy.old(rng)))
    scene.parameters["ring_radius_arcsec"] = radius * scene.instrument.pixel_scale_arcsec


def merger(scene: Scene, galaxy: Galaxy) -> None:
    """Two discs in collision, each with a tidal tail (after Toomre & Toomre 1972)."""
    rng = scene.rng
    apart = galaxy.radius * float(rng.uniform(1.0, 2.2))
    for side, share in ((-1.0, 0.6), (1.0, 0.4)):
        x = galaxy.x + side * apart * 0.5 * np.cos(galaxy.angle)
        y = galaxy.y + side * apart * 0.5 * np.sin(galaxy.angle)
        where = frame(x, y, float(rng.uniform(0.4, 0.9)), float(rng.uniform(0, np.pi)))
        patches = np.exp(texture(rng, 36) * np.float32(0.5))
        radius = galaxy.radius * float(rng.uniform(0.5, 0.8))
        scene.add_component(
            exponential(where, radius / 1.68) * patches, galaxy.flux * share * 0.6, scene.sed(galaxy.middle(rng))
        )
        scene.add_component(sersic(where, radius * 0.25, 2.0), galaxy.flux * share * 0.25, scene.sed(galaxy.old(rng)))
        reach = galaxy.radius * float(rng.uniform(2.5, 5.0))
        _tidal_tail(
            scene,
            start=(x, y),
            direction=galaxy.angle + (0.0 if side > 0 else np.pi) + float(rng.normal(0.0, 0.3)),
            bend=float(rng.uniform(0.6, 1.7)),
            reach=reach,
            width=galaxy.radius * 0.16 + 0.6,
            flux=galaxy.flux * share * float(rng.uniform(0.2, 0.4)),
            sed=scene.sed(galaxy.middle(rng) - 0.1),
        )


def lens(scene: Scene, galaxy: Galaxy) -> None:
    """A strong lens: a singular isothermal ellipsoid images a background galaxy into arcs or a ring."""
    rng = scene.rng
    einstein = max(scene.pixels(float(rng.uniform(1.6, 3.2))), 7.0)
    axis_ratio = float(rng.uniform(0.65, 0.95))
    red = frame(galaxy.x, galaxy.y, axis_ratio, galaxy.angle)
    flux = min(galaxy.flux, 10 ** (0.4 * (22.5 - scene.instrument.magnitudes[1] + 0.4)))
    scene.add_component(sersic(red, einstein * 0.55, 4.0), flux, scene.sed(galaxy.old(rng) + 0.35))
    # The lens equation beta = theta - alpha(theta), evaluated in each pixel.
    round_frame = frame(galaxy.x, galaxy.y, 1.0, galaxy.angle)
    stretch = np.sqrt(
        np.square(round_frame.along) * np.float32(axis_ratio) + np.square(round_frame.across) / np.float32(axis_ratio)
    )
    pull = np.float32(einstein) / np.maximum(stretch, np.float32(0.5))
    source_x = round_frame.along * (1 - pull) - np.float32(einstein * rng.normal(0.0, 0.16))
    source_y = round_frame.across * (1 - pull) - np.float32(einstein * rng.normal(0.0, 0.16))
    size = einstein * float(rng.uniform(0.10, 0.2))
    behind = np.exp(-np.sqrt(np.square(source_x) + np.square(source_y)) / np.float32(size))
    scene.add_component(behind, flux * float(rng.uniform(0.3, 0.7)), scene.sed(float(rng.uniform(-0.1, 0.2))))
    scene.parameters["einstein_radius_arcsec"] = einstein * scene.instrument.pixel_scale_arcsec


def shells(scene: Scene, galaxy: Galaxy) -> None:
    """A shell galaxy: an elliptical with sharp-edged arcs on alternating sides along its major axis."""
    rng = scene.rng
    where = frame(galaxy.x, galaxy.y, float(rng.uniform(0.7, 0.95)), galaxy.angle)
    old = galaxy.old(rng)
    scene.add_component(sersic(where, galaxy.radius * 0.8, 4.0), galaxy.flux * 0.75, scene.sed(old))
    count = int(rng.integers(3, 6))
    for number in range(count):
        radius = galaxy.radius * (1.0 + 0.6 * number) * float(rng.uniform(0.9, 1.1))
        side = np.float32(1.0 if number % 2 else -1.0)
        opening = np.clip(side * where.along / where.radius - np.float32(0.35), 0.0, 1.0)
        inside = np.float32(radius) - where.radius
        edge = np.where(inside > 0.0, np.exp(np.minimum(inside * np.float32(-3.0 / radius), 0.0)), np.float32(0.0))
        arc = np.asarray(edge * np.sqrt(opening), dtype=np.float32)
        scene.add_component(arc, galaxy.flux * 0.25 / count, scene.sed(old - 0.05))


def tidal_stream(scene: Scene, galaxy: Galaxy) -> None:
    """A tidal stream: a disrupted dwarf galaxy on a loop around its host."""
    rng = scene.rng
    radius = galaxy.radius * float(rng.uniform(2.0, 3.2))
    turned = galaxy.angle + float(rng.uniform(0.4, 1.2))
    # The host is the focus of the orbit, so the loop is off centre.
    off = radius * float(rng.uniform(0.1, 0.4))
    where = frame(
        galaxy.x + off * np.cos(turned), galaxy.y + off * np.sin(turned), float(rng.uniform(0.35, 0.75)), turned
    )
    loop = annulus(where, radius, galaxy.radius * 0.14 + 1.0)
    turn = float(rng.uniform(0.0, 2 * np.pi))
    facing = where.along * np.float32(np.cos(turn)) + where.across * np.float32(np.sin(turn))
    wrapped = float(rng.uniform(-0.5, 0.3))
    fading = np.clip(facing / np.maximum(where.radius, np.float32(1.0)) - np.float32(wrapped), 0.0, 1.0)
    scene.add_component(
        np.asarray(loop * fading, dtype=np.float32),
        galaxy.flux * float(rng.uniform(0.12, 0.3)),
        scene.sed(galaxy.middle(rng)),
    )


def jet(scene: Scene, galaxy: Galaxy) -> None:
    """A one-sided optical jet with knots, as in M 87 and 3C 273, from an active elliptical."""
    rng = scene.rng
    where = frame(galaxy.x, galaxy.y, float(rng.uniform(0.8, 1.0)), galaxy.angle)
    scene.add_component(sersic(where, galaxy.radius, 4.0), galaxy.flux * 0.8, scene.sed(galaxy.old(rng)))
    blue = scene.sed(-0.15)
    scene.add_points(np.array([galaxy.x]), np.array([galaxy.y]), np.array([galaxy.flux * 0.12]), blue)
    reach = galaxy.radius * float(rng.uniform(2.0, 3.4))
    direction = float(rng.uniform(0.0, 2 * np.pi))
    knots = int(rng.integers(4, 8))
    at = np.sort(rng.uniform(0.2, 1.0, knots)) * reach
    points = np.concatenate(
        [np.linspace(0.12 * reach, reach, 160), np.repeat(at, 12) + rng.normal(0.0, 0.7, knots * 12)]
    )
    light = np.concatenate([np.full(160, 0.45 / 160), np.full(knots * 12, 0.55 / (knots * 12))])
    across = rng.normal(0.0, 0.35 + 0.02 * reach, points.size)
    scene.add_points(
        galaxy.x + points * np.cos(direction) - across * np.sin(direction),
        galaxy.y + points * np.sin(direction) + across * np.cos(direction),
        light * galaxy.flux * float(rng.uniform(0.14, 0.3)),
        blue,
    )


def green_bean(scene: Scene, galaxy: Galaxy) -> None:
    """A green bean galaxy: an active nucleus ionises gas; its [O III] line lies in r at z = 0.3 and looks green."""
    rng = scene.rng
    where = frame(galaxy.x, galaxy.y, 0.8, galaxy.angle)
    scene.add_component(
        sersic(where, galaxy.radius * 0.6, 2.5), galaxy.flux * 0.35, scene.sed(galaxy.middle(rng) + 0.2)
    )
    green: Sed = np.array([0.14, 1.0, 0.16], dtype=np.float32)
    bent = frame(galaxy.x, galaxy.y, 0.45, galaxy.angle + float(rng.normal(0.0, 0.4)))
    patches = np.exp(texture(rng, 30) * np.float32(0.8))
    scene.add_component(sersic(bent, galaxy.radius, 0.9) * patches, galaxy.flux * 0.55, green)
    reach = galaxy.radius * float(rng.uniform(0.8, 1.6))
    for side in (-1.0, 1.0):
        x = galaxy.x + side * reach * np.cos(galaxy.angle)
        y = galaxy.y + side * reach * np.sin(galaxy.angle)
        scene.add_component(sersic(frame(x, y, 0.7, 0.0), galaxy.radius * 0.3, 1.0), galaxy.flux * 0.08, green)


def polar_ring(scene: Scene, galaxy: Galaxy) -> None:
    """A polar-ring galaxy: a lenticular with a ring of gas and young stars perpendicular to its disc."""
    rng = scene.rng
    host = frame(galaxy.x, galaxy.y, float(rng.uniform(0.3, 0.5)), galaxy.angle)
    scene.add_component(sersic(host, galaxy.radius * 0.8, 2.0), galaxy.flux * 0.65, scene.sed(galaxy.old(rng)))
    tilt = np.pi / 2 + float(rng.normal(0.0, 0.15))
    ring = frame(galaxy.x, galaxy.y, float(rng.uniform(0.12, 0.3)), galaxy.angle + tilt)
    radius = galaxy.radius * float(rng.uniform(1.6, 2.4))
    band = annulus(ring, radius, radius * 0.22) * np.exp(texture(rng, 36) * np.float32(0.4))
    scene.add_component(band, galaxy.flux * 0.5, scene.sed(galaxy.young(rng)))


def dual_core(scene: Scene, galaxy: Galaxy) -> None:
    """A double nucleus: two cores of equal brightness within the galaxy."""
    rng = scene.rng
    apart = max(galaxy.radius * float(rng.uniform(0.5, 0.9)), 2.2 * scene.pixels(scene.instrument.seeing_arcsec[0]))
    direction = float(rng.uniform(0.0, 2 * np.pi))
    colour = scene.sed(galaxy.old(rng) + 0.05)
    for side in (-0.5, 0.5):
        x = galaxy.x + side * apart * np.cos(direction)
        y = galaxy.y + side * apart * np.sin(direction)
        scene.add_component(
            sersic(frame(x, y, 0.9, 0.0), max(1.2, galaxy.radius * 0.15), 2.0), galaxy.flux * 0.3, colour
        )


def supernova(scene: Scene, galaxy: Galaxy) -> None:
    """A supernova: a blue point source off the nucleus, with 15 to 60 % of the flux of its galaxy."""
    rng = scene.rng
    distance = galaxy.radius * float(rng.uniform(0.7, 1.8))
    direction = float(rng.uniform(0.0, 2 * np.pi))
    scene.add_points(
        np.array([galaxy.x + distance * np.cos(direction)]),
        np.array([galaxy.y + distance * np.sin(direction)]),
        np.array([galaxy.flux * float(rng.uniform(0.15, 0.6))]),
        scene.sed(float(rng.uniform(-0.25, 0.1))),
    )


def _tidal_tail(
    scene: Scene,
    *,
    start: tuple[float, float],
    direction: float,
    bend: float,
    reach: float,
    width: float,
    flux: float,
    sed: Sed,
) -> None:
    """A curved tail of stars that fades and widens outwards, as point sources."""
    rng = scene.rng
    count = 1400
    along = np.sqrt(rng.random(count)) * rng.uniform(0.35, 1.0, count)
    heading = direction + bend * along
    distance = along * reach
    across = rng.normal(0.0, 1.0, count) * width * (0.6 + along)
    x = start[0] + distance * np.cos(heading) - across * np.sin(heading)
    y = start[1] + distance * np.sin(heading) + across * np.cos(heading)
    scene.add_points(x, y, np.full(count, flux / count), sed)
