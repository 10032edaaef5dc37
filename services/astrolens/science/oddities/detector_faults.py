"""Faults of detector, camera and pipeline: trails, edges, columns, bands that are moved, lost or wrong."""

import math

import numpy as np
from PIL import Image

from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.sampling import shift_plane
from astrolens.science.oddities.stretch_model import Light, Pixels, coloured


def trail(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """The trail of a satellite, aeroplane or meteor across the frame, in one band or in all."""
    rows, columns = canvas.grid()
    angle = rng.uniform(0.0, np.pi)
    dx = columns - np.float32(canvas.shape.x)
    dy = rows - np.float32(canvas.shape.y)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    across = dy * cos - dx * sin - np.float32(canvas.side * rng.uniform(-0.35, 0.35))
    along = dx * cos + dy * sin
    width = canvas.seeing * rng.choice([1.0, 1.0, 2.2])
    profile = np.exp(np.maximum(np.square(across / np.float32(width)) * np.float32(-0.5), np.float32(-30.0)))
    if rng.random() < 0.15:
        apart = np.float32(width * rng.uniform(3.0, 8.0))
        profile += np.exp(
            np.maximum(np.square((across - apart) / np.float32(width)) * np.float32(-0.5), np.float32(-30.0))
        )
    if rng.random() < 0.35:
        # A tumbling or blinking object.
        wave = np.sin(along * np.float32(2.0 * np.pi / (canvas.side * rng.uniform(0.05, 0.5))))
        profile *= np.float32(1.0) + np.float32(rng.uniform(0.3, 1.0)) * wave
    if rng.random() < 0.2:
        # The exposure began or ended inside the frame.
        profile *= along * np.float32(rng.choice([-1.0, 1.0])) > np.float32(canvas.side * rng.uniform(-0.3, 0.2))
    bands = np.zeros(3, dtype=np.float32)
    if canvas.is_grey or rng.random() < 0.4:
        bands[:] = 1.0
    else:
        bands[int(rng.integers(3))] = 2.0
        bands += rng.uniform(0.0, 0.25)
    light = coloured(
        np.asarray(profile, dtype=np.float32), bands * np.float32(canvas.noise * 10.0 ** (2.2 * strength - 0.1))
    )
    return canvas.with_light(light, noise_of=rng)


def misregistered(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Bands that are not aligned with each other; each source appears once a colour."""
    distance = 0.25 * (0.09 * canvas.side / 0.25) ** (strength * rng.uniform(0.75, 1.0))
    direction = rng.uniform(0.0, 2.0 * np.pi)
    turn = rng.normal(0.0, 0.03) * strength if rng.random() < 0.2 else 0.0
    result = canvas.picture.copy()
    moved = (0, 2) if rng.random() < 0.5 else (int(rng.integers(3)),)
    for sign, band in zip((1.0, -1.0), moved, strict=False):
        dx, dy = sign * distance * np.cos(direction), sign * distance * np.sin(direction)
        result[..., band] = shift_plane(canvas.picture[..., band], float(dx), float(dy), turn)
    return result


def missing_band(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """One band or two without data: black or left at the sky's level."""
    lost = rng.permutation(3)[: 2 if rng.random() < 0.3 else 1]
    result = canvas.picture.astype(np.float32)
    level = canvas.sky_counts if rng.random() < 0.5 else np.zeros(3, dtype=np.float32)
    result[..., lost] += (level[lost] - result[..., lost]) * np.float32(strength)
    return np.asarray(result + np.float32(0.5), dtype=np.uint8)


def wrong_colour(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Bands in the wrong order, a wrong zero point, a colour cast of the sky, or a negative."""
    way = rng.random()
    mix = np.float32(strength)
    if way < 0.35:
        order = ((2, 1, 0), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1))[int(rng.integers(5))]
        return _mixed(canvas.picture, canvas.picture[..., order], mix)
    if way < 0.7:
        gains = 10.0 ** (rng.normal(0.0, 1.0, 3) * 0.45 * strength)
        gains /= np.exp(np.log(gains).mean())
        return canvas.stretch.encode(canvas.light * gains.astype(np.float32))
    if way < 0.92:
        cast = np.abs(rng.normal(0.0, 1.0, 3)) * 10.0 ** (1.9 * strength) * canvas.noise
        if canvas.is_grey:
            cast[:] = cast.mean()
        return canvas.with_light(np.broadcast_to(cast.astype(np.float32), canvas.picture.shape))
    return _mixed(canvas.picture, 255 - canvas.picture, mix)


def frame_edge(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """The edge of the detector or of the survey's footprint inside the frame: no data beyond a straight line."""
    rows, columns = canvas.grid()
    angle = rng.choice(4) * np.pi / 2.0 + (rng.normal(0.0, 0.25) if rng.random() < 0.4 else 0.0)
    off = (columns - canvas.width / 2.0) * np.cos(angle) + (rows - canvas.height / 2.0) * np.sin(angle)
    at = canvas.side * (0.5 - 0.02 - 0.42 * strength * rng.uniform(0.6, 1.0))
    beyond = np.broadcast_to(off > at, (canvas.height, canvas.width))
    result = canvas.picture.copy()
    level = rng.random()
    fill = 0.0 if level < 0.6 else 255.0 if level < 0.75 else float(canvas.picture.mean()) * rng.uniform(0.5, 2.0)
    if rng.random() < 0.25 and not canvas.is_grey:
        # The bands end at different places.
        for band in range(3):
            result[..., band][off > at + band * rng.uniform(0.0, 0.04) * canvas.side] = min(fill, 255.0)
        return result
    result[beyond] = min(fill, 255.0)
    return result


def bad_column(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Dead or hot columns or rows, or a black line between two scans, in one band or in all."""
    result = canvas.picture.copy()
    for _ in range(int(rng.integers(1, 4))):
        vertical = rng.random() < 0.6
        target = result if vertical else result.transpose(1, 0, 2)
        length, size = target.shape[:2]
        width = 1 + int(rng.integers(0, max(1, round(0.025 * size * strength)) + 1))
        at = int(np.clip(rng.normal(0.5, 0.2) * size, 0, size - width))
        start = int(rng.integers(0, length // 2)) if rng.random() < 0.35 else 0
        bands = [0, 1, 2] if canvas.is_grey or rng.random() < 0.55 else [int(rng.integers(3))]
        level = rng.choice([0.0, 0.0, 255.0, 120.0])
        strip = target[start:, at : at + width, bands].astype(np.float32)
        strip += (np.float32(level) - strip) * np.float32(min(1.0, 0.03 + 1.1 * strength))
        target[start:, at : at + width, bands] = np.rint(strip)
    return result


def cosmic_ray(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Cosmic-ray hits: thin tracks with hard edges, which seeing does not smooth, in one band each."""
    result = canvas.picture.copy()
    for _ in range(1 + int(rng.poisson(5.0 * strength))):
        length = math.exp(rng.normal(1.2 + 0.8 * strength, 0.8))
        angle = rng.uniform(0.0, math.pi)
        # The first is near the object: a hit at the border is another picture's.
        spread = 0.3 * canvas.side
        x = rng.normal(canvas.shape.x, spread) + np.arange(0.0, length, 0.5) * math.cos(angle)
        y = rng.normal(canvas.shape.y, spread) + np.arange(0.0, length, 0.5) * math.sin(angle)
        inside = (x >= 0) & (x < canvas.width) & (y >= 0) & (y < canvas.height)
        rows, columns = y[inside].astype(np.intp), x[inside].astype(np.intp)
        bands = [0, 1, 2] if canvas.is_grey else [int(rng.integers(3))]
        level = 255.0 * min(1.0, 0.02 + 1.2 * strength * rng.uniform(0.5, 1.0))
        for band in bands:
            result[rows, columns, band] = np.maximum(result[rows, columns, band], level)
    return result


def resampling(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """Lines of a faulty resampling: rows and columns repeated at a period, coarse pixels, or a periodic pattern."""
    way = rng.random()
    if way < 0.4:
        # Nearest-neighbour enlargement by 1 + 1/n repeats every n-th row and column.
        period = max(2.0, 4.0 * canvas.side * 0.01**strength)
        rows = np.floor(np.arange(canvas.height) * period / (period + 1.0) + canvas.height / (period + 1.0) / 2.0)
        columns = np.floor(np.arange(canvas.width) * period / (period + 1.0) + canvas.width / (period + 1.0) / 2.0)
        return np.ascontiguousarray(canvas.picture[rows.astype(np.intp)][:, columns.astype(np.intp)])
    if way < 0.7:
        coarse = 1.0 + (0.06 * canvas.side) * strength**1.5
        small = (max(2, round(canvas.width / coarse)), max(2, round(canvas.height / coarse)))
        image = Image.fromarray(canvas.picture).resize(small, Image.Resampling.BOX)
        return np.array(image.resize((canvas.width, canvas.height), Image.Resampling.NEAREST))
    rows, columns = canvas.grid()
    angle = float(rng.choice([0.0, math.pi / 2.0])) if rng.random() < 0.7 else rng.uniform(0.0, math.pi)
    period = rng.uniform(2.0, 0.08 * canvas.side + 2.5)
    phase = (rows * np.float32(math.cos(angle)) + columns * np.float32(math.sin(angle))) * np.float32(
        2.0 * math.pi / period
    )
    wave = np.broadcast_to(np.sin(phase), (canvas.height, canvas.width)) * np.float32(0.3 * 30.0**strength)
    bands = np.ones(3, dtype=np.float32)
    if not canvas.is_grey and rng.random() < 0.4:
        bands = np.roll(np.array([1.0, 0.2, 0.0], dtype=np.float32), int(rng.integers(3)))
    return np.asarray(np.clip(canvas.picture + wave[..., None] * bands + np.float32(0.5), 0.0, 255.0), dtype=np.uint8)


def _mixed(picture: Pixels, other: Pixels, share: np.float32) -> Pixels:
    """`picture` with `share` of `other`."""
    first: Light = picture.astype(np.float32)
    return np.asarray(first + (other - first) * share + np.float32(0.5), dtype=np.uint8)
