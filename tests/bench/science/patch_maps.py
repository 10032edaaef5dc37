"""Whether a map says *where*: the share of maps whose largest cell lies within an oddity that was drawn.

Oddities are drawn on ordinary pictures that the codebook never saw; those that change the whole picture have no place
and are left out. Beside the product's map stand chance (the share of the frame that was drawn on) and trivial maps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE
from astrolens.inference.patch_graph import PatchGraph, gives_patches
from astrolens.science.cutouts import decode_cutout
from astrolens.science.oddities import KINDS_BY_NAME, draw_oddity
from astrolens.science.patch_codebook import MAX_IMAGES, fit_patch_codebook
from astrolens.science.preprocessing import PreprocessingSpec, pad_to_square, preprocess
from astrolens.trainer.evaluation import Half
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tests.bench.science.known_surveys import SEED
from tests.bench.science.pictures import Cutouts
from tests.bench.science.tables import FIT

PICTURES: Final = 220
"""Ordinary pictures; two oddities are drawn on each."""
_WHOLE_PICTURE: Final = frozenset(
    {"misregistered", "missing-band", "wrong-colour", "resampling", "text-page", "perturbed"}
)
_KINDS: Final = tuple(name for name in KINDS_BY_NAME if name not in _WHOLE_PICTURE)
_VISIBLE: Final = 10.0
"""Levels of 255 by which an oddity changes the picture at its plainest place; fainter ones are left out."""
_SHARE_OF_PLAINEST: Final = 0.2
_CELL_SHARE: Final = 0.25
"""A cell belongs to what was drawn where so much of its area changed."""
_MAX_CHANGED_SHARE: Final = 0.5
"""Share of the frame; a larger change has no place."""
_TRIVIAL_SIDE: Final = 112

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnOddity:
    """A picture with an oddity on it.

    Attributes:
        kind: Name of the oddity.
        picture: [height, width, 3].
        cells: [side, side] True where it was drawn.
    """

    kind: str
    picture: Picture
    cells: Mask


def localisation_figures(bundle: Any, cutouts: Cutouts, half: Half) -> dict[str, Any]:
    """Share of hits of the product's map and of trivial ones, by kind for the product's; empty without patches.

    Args:
        bundle: A `BundleUnderTest`.
        cutouts: Of a known survey.
        half: Whose ordinary pictures are drawn on: `choose` or `report`.
    """
    if not gives_patches(bundle.bundle):
        return {}
    table = cutouts.table
    rng = np.random.default_rng(SEED)
    fit = rng.permutation(np.flatnonzero(table.ordinary & (table.roles == FIT)))[:MAX_IMAGES]
    rows = np.flatnonzero(table.ordinary & (table.roles == half) & ~table.reviewed_out)[:PICTURES]
    drawn = _draw([decode_cutout(cutouts.jpegs[row]) for row in rows], rng)
    cells = np.stack([one.cells for one in drawn])
    graph, spec = PatchGraph(bundle.bundle), bundle.bundle.preprocessing
    codebook = fit_patch_codebook(
        _patches(graph, spec, [decode_cutout(cutouts.jpegs[row]) for row in fit]),
        survey=table.name,
        model_digest=bundle.bundle.digest,
        image_ids=[f"{row:06d}" for row in fit],
        seed=SEED,
    )
    own = codebook.units(_patches(graph, spec, [one.picture for one in drawn]))
    maps = {"codebook": own} | {name: np.stack([made(one.picture) for one in drawn]) for name, made in TRIVIAL.items()}
    hits = {name: _hits(values, cells) for name, values in maps.items()}
    kinds = np.array([one.kind for one in drawn])
    return {
        "pictures": len(drawn),
        "chance": round(float(cells.mean()), 3),
        "hits": {name: round(float(values.mean()), 3) for name, values in hits.items()},
        "spread": round(float(np.sqrt(hits["codebook"].mean() * (1.0 - hits["codebook"].mean()) / len(drawn))), 3),
        "by_kind": {
            str(kind): {
                "pictures": int((kinds == kind).sum()),
                "hits": round(float(hits["codebook"][kinds == kind].mean()), 2),
            }
            for kind in np.unique(kinds)
        },
    }


def _draw(pictures: list[Picture], rng: np.random.Generator) -> list[DrawnOddity]:
    found = []
    for number, picture in enumerate(pictures):
        for turn in range(2):
            kind = _KINDS[(2 * number + turn) % len(_KINDS)]
            try:
                made = draw_oddity(picture, rng, pictures[(number + 7) % len(pictures)], kind=kind).picture
            except ValueError:
                continue
            cells = _changed(picture, made)
            if cells is not None:
                found.append(DrawnOddity(kind, made, cells))
    return found


def _changed(before: Picture, after: Picture) -> Mask | None:
    """The cells that were drawn on; None where nothing is seen, or half of the frame changed."""
    change = ndimage.uniform_filter(np.abs(after.astype(np.float64) - before).mean(axis=2), 3)
    if change.max() < _VISIBLE:
        return None
    share = _to_cells((change > max(_VISIBLE / 2.0, _SHARE_OF_PLAINEST * change.max())).astype(np.float32))
    cells = share >= min(_CELL_SHARE, float(share.max()))
    return None if cells.mean() > _MAX_CHANGED_SHARE else cells


def _to_cells(values: NDArray[np.float32]) -> Values:
    """[height, width] to the mean of each cell of the centred square, [side, side]; zero outside."""
    height, width = values.shape
    side = max(height, width)
    square = np.zeros((side, side), dtype=np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = values
    small = Image.fromarray(square).resize((PATCH_MAP_SIDE, PATCH_MAP_SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)


def _hits(maps: Values, cells: Mask) -> NDArray[np.bool_]:
    """[n] whether the largest value lies within what was drawn."""
    largest = maps.reshape(len(maps), -1).argmax(axis=1)
    return np.asarray(cells.reshape(len(cells), -1)[np.arange(len(cells)), largest], dtype=np.bool_)


def _patches(graph: PatchGraph, spec: PreprocessingSpec, pictures: list[Picture]) -> NDArray[np.float32]:
    return np.concatenate(
        [
            graph.run(np.stack([preprocess(picture, spec) for picture in pictures[first : first + 32]]))
            for first in range(0, len(pictures), 32)
        ]
    )


def _grey(picture: Picture) -> NDArray[np.float32]:
    mean = pad_to_square(picture).astype(np.float32).mean(axis=2)
    return np.asarray(Image.fromarray(mean).resize((_TRIVIAL_SIDE, _TRIVIAL_SIDE), Image.Resampling.BOX))


def _brightness(picture: Picture) -> Values:
    return _to_cells(_grey(picture))


def _rotation_residual(picture: Picture) -> Values:
    """What is brighter than its place turned by 180°."""
    grey = ndimage.gaussian_filter(_grey(picture), 1.0)
    return _to_cells(np.maximum(grey - grey[::-1, ::-1], 0.0))


def _profile_residual(picture: Picture) -> Values:
    """Difference from the median of its distance from the centre."""
    grey = _grey(picture)
    rows, columns = np.mgrid[:_TRIVIAL_SIDE, :_TRIVIAL_SIDE] - (_TRIVIAL_SIDE - 1) / 2.0
    radius = np.hypot(rows, columns).astype(np.int64)
    profile = np.asarray(ndimage.median(grey, radius, np.arange(radius.max() + 1)))
    return _to_cells(np.abs(grey - profile[radius]).astype(np.float32))


TRIVIAL: Final[Mapping[str, Callable[[Picture], Values]]] = {
    "brightness": _brightness,
    "rotation residual": _rotation_residual,
    "profile residual": _profile_residual,
}
