"""The map of where in an image strange patches lie."""

import base64
from collections.abc import Sequence
from typing import Final

from pydantic import Field

from astrolens.contracts.base import Contract, UtcTime

PATCHES_TAP: Final = "patches"
"""Name under which the model server gives the patches of a cutout's whole frame: [n, 14 * 14 * d], place by place."""
PATCH_MAP_SIDE: Final = 14
"""Cells of a map along each side."""
PATCH_UNIT: Final = 64
"""Value of a cell that is as far from ordinary patches as their farthest 1 %: up to 255, four times that, is told."""
_CELLS: Final = PATCH_MAP_SIDE**2


class StrangestPatch(Contract):
    """The cell of a map that is farthest from ordinary patches."""

    x: float = Field(ge=0.0, le=1.0, description="Of its middle, share of the square's side from the left.")
    y: float = Field(ge=0.0, le=1.0, description="Of its middle, share of the square's side from the top.")
    strangeness: float = Field(
        ge=0.0, description="In units of the map, without its upper end: 1 is the farthest 1 % of ordinary patches."
    )


class PatchMap(Contract):
    """How far each patch of a cutout is from the patches of ordinary images: it tells *where*, not how strange.

    The map covers the smallest centred square around the cutout: 14 x 14 cells. It belongs to the analysis by the same
    bundle, and is made again after another analysis. It is no probability, and no verdict follows from it.
    """

    version: int = Field(description="Version of the method; maps of different versions do not compare.")
    model_digest: str = Field(description="Bundle whose graph described the patches.")
    codebook: str = Field(description="SHA-256 of the patches of ordinary images that it is compared with.")
    codebook_survey: str = Field(description="Survey of those images, or `pooled`.")
    codebook_images: int = Field(ge=0, description="Number of those images; 0 where there is no map.")
    detail: str | None = Field(default=None, description="Why there is no map, where there is none.")
    cells: str | None = Field(
        default=None,
        description="Base64 of 14 x 14 bytes, row by row from the top left: 0 is as close as the median ordinary "
        "patch or closer, 64 as far as the farthest 1 %, 255 four times that or more.",
    )
    strangest: StrangestPatch | None = Field(
        default=None, description="The cell that is farthest from ordinary patches."
    )
    measured_at: UtcTime | None = None

    @property
    def values(self) -> bytes | None:
        """The 196 cells, row by row; None where there is no map, or one of another size."""
        if self.cells is None:
            return None
        decoded = base64.b64decode(self.cells)
        return decoded if len(decoded) == _CELLS else None


def patch_cells(units: Sequence[float]) -> tuple[str, StrangestPatch]:
    """The cells and the strangest of them, as a map has them.

    Args:
        units: 196 distances from ordinary patches, row by row: 0 is their median, 1 their farthest 1 %.

    Raises:
        ValueError: There are not 196.
    """
    if len(units) != _CELLS:
        raise ValueError(f"a map has {_CELLS} cells, not {len(units)}")
    # Not by the bytes: several may have reached their end.
    top = max(range(_CELLS), key=units.__getitem__)
    row, column = divmod(top, PATCH_MAP_SIDE)
    strangest = StrangestPatch(
        x=round((column + 0.5) / PATCH_MAP_SIDE, 4),
        y=round((row + 0.5) / PATCH_MAP_SIDE, 4),
        strangeness=round(max(units[top], 0.0), 3),
    )
    cells = bytes(min(max(round(value * PATCH_UNIT), 0), 255) for value in units)
    return base64.b64encode(cells).decode(), strangest
