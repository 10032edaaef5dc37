"""The strangest "ordinary" images of a set side by side, for a person who reviews the labels."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from astrolens.science.cutouts import decode_cutout
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from tests.bench.science.pictures import Cutouts

SHOWN: Final = 40
_COLUMNS: Final = 8
_SIDE: Final = 180
_CAPTION: Final = 26


def write_contact_sheet(path: Path, cutouts: Cutouts, values: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
    """Write the `SHOWN` strangest of the images `rows`, strangest first, with their ids.

    Args:
        path: PNG file; beside it a `.csv` with one line an image, in the columns of `reviewed.csv`.
        cutouts: Of the set.
        values: [n], larger is stranger.
        rows: Images that the labels call ordinary.
    """
    order = rows[np.argsort(-values[rows], kind="stable")][:SHOWN]
    lines = -(-len(order) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _SIDE, lines * (_SIDE + _CAPTION)), "white")
    draw = ImageDraw.Draw(sheet)
    for place, row in enumerate(order):
        left, top = place % _COLUMNS * _SIDE, place // _COLUMNS * (_SIDE + _CAPTION)
        picture = Image.fromarray(decode_cutout(cutouts.jpegs[row]))
        sheet.paste(ImageOps.contain(picture, (_SIDE - 4, _SIDE - 4)), (left + 2, top + 2))
        out = " (reviewed)" if cutouts.table.reviewed_out[row] else ""
        draw.text((left + 3, top + _SIDE), f"{place + 1}{out}\n{cutouts.table.ids[row][-22:]}", fill="black")
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    path.with_suffix(".csv").write_text(_list(cutouts, order.tolist()))


def _list(cutouts: Cutouts, rows: Sequence[int]) -> str:
    lines = ["object_id,survey,verdict,why", *(f"{cutouts.table.ids[row]},{cutouts.table.name},," for row in rows)]
    return "\n".join(lines) + "\n"
