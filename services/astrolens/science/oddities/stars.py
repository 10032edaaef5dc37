"""Bright stars: saturated cores, halos, diffraction spikes and bleed trails."""

import numpy as np

from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.neighbours import star_image
from astrolens.science.oddities.stretch_model import Light, Pixels, coloured


def saturated_star(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A star far above saturation, near the object or on it, with halo and often spikes or a bleed trail."""
    x, y = _star_place(canvas, rng)
    peak = 0.05 * 10.0 ** (3.9 * strength + rng.normal(0.0, 0.2))
    picture = canvas.with_light(_star_light(canvas, rng, x, y, peak, spiked=rng.random() < 0.7))
    if strength > 0.5 and rng.random() < 0.4:
        picture = _bleed_trail(canvas, rng, picture, x, y, length=canvas.side * 0.25 * strength * rng.uniform(0.4, 2.0))
    return picture


def spikes(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Diffraction spikes that cross the object, and the glow, of a star at the border or outside of the frame."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    distance = canvas.side * rng.uniform(0.3, 0.8)
    aim_x = canvas.shape.x + rng.normal(0.0, 0.5) * canvas.shape.extent
    x, y = float(aim_x + distance * np.cos(angle)), float(canvas.shape.y + distance * np.sin(angle))
    peak = 0.5 * canvas.noise / 0.002 * 10.0 ** (3.0 * strength - 0.7)
    return canvas.with_light(_star_light(canvas, rng, x, y, peak, spiked=True, angle=float(angle)), noise_of=rng)


def bleed(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A bleed trail of a saturated star outside of the frame or in it, along the columns or rows."""
    reach = canvas.side * (0.1 + 0.9 * strength)
    x = canvas.shape.x + rng.normal(0.0, 0.12) * canvas.side
    y = rng.choice([-0.02, 1.02]) * canvas.height if rng.random() < 0.6 else rng.uniform(0.1, 0.9) * canvas.height
    opacity = min(1.0, 0.05 + 1.2 * strength)
    return _bleed_trail(canvas, rng, canvas.picture.copy(), float(x), float(y), length=reach, opacity=opacity)


def spike_pattern(canvas: Canvas, rng: np.random.Generator, x: float, y: float, *, angle: float | None = None) -> Light:
    """Four (sometimes six) diffraction spikes [H, W] that fall off as 1/(1 + r²/a²)^0.9 from 1 at the star."""
    rows, columns = canvas.grid()
    dx, dy = columns - np.float32(x), rows - np.float32(y)
    arms = 3 if rng.random() < 0.15 else 2
    first = float(rng.choice([0.0, np.pi / 4.0]) + rng.normal(0.0, 0.08)) if angle is None else angle
    width = np.float32(0.8 * canvas.seeing)
    fall = np.power(1.0 + (dx * dx + dy * dy) / np.float32((4.0 * canvas.seeing) ** 2), np.float32(-0.9))
    pattern = np.zeros((canvas.height, canvas.width), dtype=np.float32)
    for arm in range(arms):
        turn = first + np.pi * arm / arms
        across = dy * np.float32(np.cos(turn)) - dx * np.float32(np.sin(turn))
        pattern += np.exp(np.maximum(np.square(across / width) * np.float32(-0.5), np.float32(-30.0)))
    return np.asarray(pattern * fall, dtype=np.float32)


def _star_light(
    canvas: Canvas,
    rng: np.random.Generator,
    x: float,
    y: float,
    peak: float,
    *,
    spiked: bool,
    angle: float | None = None,
) -> Light:
    """Core, halo and spikes of a bright star [H, W, 3]."""
    bands = coloured(star_image(canvas, x, y, beta=rng.uniform(2.3, 3.2)), _tint(canvas, rng) * np.float32(peak))
    # Halo and spikes differ from band to band more than stars do: reflections depend on the filter.
    level = np.float32(peak * rng.uniform(0.3e-3, 2e-3))
    bands += coloured(_halo(canvas, rng, x, y), _tint(canvas, rng, spread=2.0) * level)
    if spiked:
        level = np.float32(peak * rng.uniform(0.004, 0.02))
        bands += coloured(spike_pattern(canvas, rng, x, y, angle=angle), _tint(canvas, rng, spread=1.5) * level)
    if rng.random() < 0.8:
        # The bands saturate one by one: the core is white, its surroundings keep the star's colour.
        np.minimum(bands, np.float32(rng.uniform(0.7, 3.0)), out=bands)
    return bands


def _star_place(canvas: Canvas, rng: np.random.Generator) -> tuple[float, float]:
    """Anywhere in the frame, more often near the object."""
    spread = canvas.side * rng.uniform(0.06, 0.35)
    x = np.clip(canvas.shape.x + rng.normal(0.0, 1.0) * spread, -0.02 * canvas.width, 1.02 * canvas.width)
    y = np.clip(canvas.shape.y + rng.normal(0.0, 1.0) * spread, -0.02 * canvas.height, 1.02 * canvas.height)
    return float(x), float(y)


def _halo(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> Light:
    """The aureole: scattered light that falls off as r^-2."""
    rows, columns = canvas.grid()
    squared = np.square(columns - np.float32(x)) + np.square(rows - np.float32(y))
    core = np.float32((rng.uniform(0.02, 0.06) * canvas.side) ** 2)
    return np.asarray(core / (core + squared), dtype=np.float32)


def _tint(canvas: Canvas, rng: np.random.Generator, *, spread: float = 1.0) -> Light:
    """Colour of a star from blue to red, or of its halo [3], mean 1; white in a picture of one band."""
    if canvas.is_grey:
        return np.ones(3, dtype=np.float32)
    red, green = rng.normal(0.1, 0.2) * spread, rng.normal(0.0, 0.06) * spread
    tint = np.exp(np.array([red, green, -red]))
    return np.asarray(tint / tint.mean(), dtype=np.float32)


def _bleed_trail(
    canvas: Canvas,
    rng: np.random.Generator,
    picture: Pixels,
    x: float,
    y: float,
    *,
    length: float,
    opacity: float = 1.0,
) -> Pixels:
    """Saturated charge spread along a column or row, drawn into `picture`: sharp edges, tapering ends."""
    vertical = rng.random() < 0.6
    target = picture if vertical else picture.transpose(1, 0, 2)
    along, across = (y, x) if vertical else (x, y)
    rows, columns = target.shape[:2]
    width = max(1.0, canvas.seeing * rng.uniform(0.5, 1.6))
    distance = np.abs(np.arange(rows, dtype=np.float32) - np.float32(along)) / np.float32(max(length, 1.0))
    half = width * np.sqrt(np.clip(1.0 - distance, 0.0, 1.0))
    left, right = max(0, int(across - width) - 1), min(columns, int(across + width) + 3)
    if right <= left:
        return picture
    off = np.abs(np.arange(left, right, dtype=np.float32) - np.float32(across))
    cover = np.clip(half[:, None] - off[None, :] + 0.5, 0.0, 1.0) * (half[:, None] > 0.0) * np.float32(opacity)
    level = np.full(3, 255.0, dtype=np.float32)
    if not canvas.is_grey:
        # Each band saturates on its own: the trail has a strong colour as often as it is white.
        level *= rng.choice([1.0, 1.0, 0.55], 3).astype(np.float32)
    strip = target[:, left:right]
    mixed = strip + cover[..., None] * (level - strip)
    target[:, left:right] = np.clip(mixed, 0.0, 255.0)
    return picture
