"""Pictures whose parts do not belong together: pasted patches, wrong tiles, pages of text."""

import numpy as np
from PIL import Image, ImageDraw

from astrolens.science.oddities.canvas import Canvas
from astrolens.science.oddities.stretch_model import Pixels

_WORDS = (
    "Error 500: internal server error", "The requested field is not available", "Traceback (most recent call last):",
    "no data at this position", "<html><body><h1>404 Not Found</h1>", "RA, Dec outside of the survey footprint",
    "SELECT TOP 10 objID FROM PhotoObj", "Service temporarily unavailable", "image cutout: bad parameter",
)  # fmt: skip


def cut_paste(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A rectangle of this or another picture at a wrong place (CutPaste, Li et al. 2021)."""
    result = canvas.picture.copy()
    source = canvas.picture if rng.random() < 0.6 else canvas.donor_canvas.picture
    area = rng.uniform(0.01, 0.05) + 0.12 * strength * rng.random()
    aspect = np.exp(rng.uniform(-1.0, 1.0))
    height = int(np.clip(canvas.side * np.sqrt(area * aspect), 2, min(canvas.height, source.shape[0]) - 1))
    width = int(np.clip(canvas.side * np.sqrt(area / aspect), 2, min(canvas.width, source.shape[1]) - 1))
    # What is cut holds a part of the source's object, and where it lands lies on this one.
    y, x = _near(rng, source.shape[0], height), _near(rng, source.shape[1], width)
    top, left = _near(rng, canvas.height, height), _near(rng, canvas.width, width)
    patch = source[y : y + height, x : x + width].astype(np.float32)
    if not canvas.is_grey:
        patch = patch * rng.normal(1.0, 0.15 * strength, 3).astype(np.float32)
    if rng.random() < 0.5:
        patch = patch[:, ::-1]
    target = result[top : top + height, left : left + width].astype(np.float32)
    mixed = target + (patch - target) * np.float32(min(1.0, 0.05 + 1.2 * strength))
    result[top : top + height, left : left + width] = np.clip(np.rint(mixed), 0, 255)
    return result


def tile_fault(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A mosaic whose tiles do not fit: one has another sky, is moved, repeated, or of another field."""
    result = canvas.picture.copy()
    top, left = _tile_corner(canvas, rng)
    way = rng.random()
    part = result[top:, left:] if rng.random() < 0.5 else result[:, left:]
    before = part.astype(np.float32)
    if way < 0.35:
        step = rng.choice([-1.0, 1.0]) * (0.5 + 40.0 * strength**1.5)
        after = before + np.float32(step) * (1.0 if canvas.is_grey else rng.uniform(0.3, 1.0, 3).astype(np.float32))
    elif way < 0.65:
        shift = max(1, round(0.15 * canvas.side * strength * rng.uniform(0.3, 1.0)))
        after = np.roll(before, shift, axis=int(rng.integers(2)))
    elif way < 0.85:
        other = Image.fromarray(canvas.donor_canvas.picture).resize(
            (canvas.width, canvas.height), Image.Resampling.BILINEAR
        )
        field = np.asarray(other, dtype=np.float32)[-part.shape[0] :, -part.shape[1] :]
        after = before + (field - before) * np.float32(strength)
    else:
        # Lost blocks of a damaged file: each holds its mean colour, or a block of its neighbour.
        block = max(4, canvas.side // 12)
        after = before.copy()
        for _ in range(1 + round(12 * strength)):
            y, x = (
                int(rng.integers(0, max(1, part.shape[0] - block))),
                int(rng.integers(0, max(1, part.shape[1] - block))),
            )
            after[y : y + block, x : x + block] = after[y : y + block, x : x + block].mean(axis=(0, 1))
    part[...] = np.clip(np.rint(after), 0, 255)
    return result


def text_page(canvas: Canvas, rng: np.random.Generator, strength: float) -> Pixels:
    """A page of text, or text over the picture: an error page or a label that was saved as an image."""
    paper, ink = ((255, 255, 255), (0, 0, 0)) if rng.random() < 0.7 else ((0, 0, 0), (230, 230, 230))
    page = Image.new("RGB", (canvas.width, canvas.height), paper)
    draw = ImageDraw.Draw(page)
    size = int(rng.integers(9, max(10, canvas.side // 10) + 1))
    y = float(rng.uniform(0.0, 0.4)) * canvas.height
    for _ in range(int(rng.integers(1, 8))):
        draw.text((rng.uniform(0.0, 0.2) * canvas.width, y), str(rng.choice(_WORDS)), fill=ink, font_size=size)
        y += 1.4 * size
        if y > canvas.height:
            break
    written = np.asarray(page, dtype=np.float32)
    before = canvas.picture.astype(np.float32)
    share = np.float32(strength)
    if rng.random() < 0.4:
        # Only the letters: they cover the picture.
        cover = np.abs(written - np.float32(paper[0])) / np.float32(255.0) * share
        mixed = before + cover * (np.float32(255.0 if paper[0] == 0 or rng.random() < 0.7 else 0.0) - before)
    else:
        mixed = before + share * (written - before)
    return np.asarray(mixed + np.float32(0.5), dtype=np.uint8)


def _near(rng: np.random.Generator, size: int, length: int) -> int:
    """Start of an interval of `length` whose middle lies near the middle of `size`."""
    middle = size * np.clip(rng.normal(0.5, 0.16), 0.05, 0.95)
    return int(np.clip(middle - length / 2.0, 0, size - length))


def _tile_corner(canvas: Canvas, rng: np.random.Generator) -> tuple[int, int]:
    """Where a tile begins, rows and columns: it crosses the middle part of the frame."""
    return int(canvas.height * rng.uniform(0.25, 0.75)), int(canvas.width * rng.uniform(0.25, 0.75))
