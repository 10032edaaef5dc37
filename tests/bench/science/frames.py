"""`python -m tests.bench.science.frames`: padded frames, small pictures, and lines, of ordinary pictures to choose by.

Three tables: how many half-padded frames are refused, how many ordinary pictures are anomalies at 1 % and 5 % when they
are reduced to few pixels, and what the bundle calls a line that was drawn across them. Nothing of the report half.
"""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine, Item, ItemResult
from astrolens.platform.settings import PACKAGED_BUNDLE
from astrolens.science.bundle import Bundle
from astrolens.science.cutouts import ImageRejected, decode_cutout, encode_jpeg, make_cutout
from astrolens.science.scoring import ImageScores, Scorer
from numpy.typing import NDArray
from PIL import Image

from tests.bench.science.options import has_data, options_of
from tests.bench.science.tables import galaxy_tables
from tests.bench.science.text import percent, table

_IMAGES: Final = 90
"""Of each survey."""
_SIDES: Final = (16, 24, 32, 40, 48, 64, 96)
_FILLS: Final = ("black", "white", "sky", "edge")
_ANGLES_DEG: Final = (0.0, 8.0, 30.0, 45.0, 90.0)
_BATCH: Final = 32

Pixels = NDArray[np.uint8]


def padded(picture: Pixels, fill: str, turns: int) -> Pixels:
    """A picture [H, W, 3] of which one half is filled."""
    turned = np.rot90(picture, turns).copy()
    half = turned.shape[1] // 2
    values: dict[str, Any] = {"black": 0, "white": 255, "sky": np.median(picture), "edge": turned[:, half : half + 1]}
    turned[:, :half] = values[fill]
    return np.ascontiguousarray(np.rot90(turned, -turns))


def with_line(picture: Pixels, rng: np.random.Generator, *, angle_deg: float, soft: bool) -> Pixels:
    """A picture [H, W, 3] with a bright line at an angle, with the edges of a seeing or with hard ones."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    angle, thickness = np.deg2rad(angle_deg), float(rng.choice([1.5, 3.0]))
    away = np.abs((y - height / 2) * np.cos(angle) - (x - width / 2) * np.sin(angle) - rng.uniform(-0.3, 0.3) * width)
    profile = np.exp(-0.5 * (away / thickness) ** 2) if soft else away <= thickness / 2
    return np.clip(picture + profile[..., None] * rng.choice([60.0, 150.0, 255.0]), 0, 255).astype(np.uint8)


def judged(engine: Engine, survey: str, jpegs: Sequence[bytes]) -> Iterator[ImageScores]:
    """What the bundle says of cutouts."""
    for start in range(0, len(jpegs), _BATCH):
        items = [Item("", survey, jpeg) for jpeg in jpegs[start : start + _BATCH]]
        yield from (outcome.scores for outcome in engine.analyze(items) if isinstance(outcome, ItemResult))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _refused(data: bytes) -> str:
    try:
        make_cutout(data)
    except ImageRejected as rejected:
        return rejected.code
    return "taken"


def _padding_rows(survey: str, pictures: Sequence[Pixels]) -> Iterator[tuple[Any, ...]]:
    for fill in _FILLS:
        frames = [padded(picture, fill, number % 4) for number, picture in enumerate(pictures)]
        png = Counter(_refused(_png(Image.fromarray(frame))) for frame in frames)
        jpeg = Counter(_refused(encode_jpeg(frame)) for frame in frames)
        yield (
            survey,
            fill,
            len(frames),
            percent(png["no-coverage"] / len(frames)),
            percent(jpeg["no-coverage"] / len(frames)),
        )


def _size_rows(engine: Engine, survey: str, pictures: Sequence[Pixels]) -> Iterator[tuple[Any, ...]]:
    for side in _SIDES:
        jpegs = []
        for picture in pictures:
            if max(picture.shape[:2]) <= side:
                continue
            small = Image.fromarray(picture)
            small.thumbnail((side, side), Image.Resampling.LANCZOS)
            jpegs.append(encode_jpeg(small))
        p_values = np.array([scores.p_value for scores in judged(engine, survey, jpegs)])
        if len(p_values):
            shares = (percent(float(np.mean(p_values <= budget))) for budget in (0.01, 0.05))
            yield survey, side, len(p_values), *shares


def _line_rows(engine: Engine, survey: str, pictures: Sequence[Pixels]) -> Iterator[tuple[Any, ...]]:
    for soft in (False, True):
        for angle in _ANGLES_DEG:
            rng = np.random.default_rng(5)
            jpegs = [encode_jpeg(with_line(picture, rng, angle_deg=angle, soft=soft)) for picture in pictures]
            named = Counter(
                max(each.kinds, key=lambda kind: each.kinds[kind]) for each in judged(engine, survey, jpegs)
            )
            shares = (percent(named[kind] / named.total()) for kind in ("trail", "bad-column", "bleed"))
            yield survey, "seeing" if soft else "hard", f"{angle:g}°", named.total(), *shares


def main() -> None:
    """Print the three tables of one bundle."""
    parser = options_of(__doc__)
    parser.add_argument("--bundle", type=Path, default=PACKAGED_BUNDLE)
    options = parser.parse_args()
    if not has_data(options.data, benchmark="frames"):
        return
    bundle = Bundle.load(options.bundle)
    engine = Engine(bundle=bundle, scorer=Scorer(bundle), backbone=Backbone(bundle))
    padding, sizes, lines = [], [], []
    for survey, whole in galaxy_tables(options.data).items():
        own = whole.where((whole.roles == "choose") & whole.ordinary & ~whole.reviewed_out)
        pictures = [decode_cutout(make_cutout(path.read_bytes()).jpeg) for path in own.paths[:_IMAGES]]
        padding += _padding_rows(survey, pictures)
        sizes += _size_rows(engine, survey, pictures)
        lines += _line_rows(engine, survey, pictures)
    print(table(("survey", "half filled with", "n", "no-coverage, PNG", "JPEG"), padding), end="\n\n")
    print(table(("survey", "pixels a side", "n", "p ≤ 1 %", "p ≤ 5 %"), sizes), end="\n\n")
    print(table(("survey", "edges", "angle", "n", "trail", "bad-column", "bleed"), lines))


if __name__ == "__main__":
    main()
