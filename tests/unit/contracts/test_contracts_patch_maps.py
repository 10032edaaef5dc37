"""Cells of a map and the strangest of them."""

import pytest
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE, PATCH_UNIT, PatchMap, patch_cells


def made(cells: str | None) -> PatchMap:
    return PatchMap(version=1, model_digest="m", codebook="c", codebook_survey="sdss", codebook_images=300, cells=cells)


def test_the_strangest_cell_is_named_by_the_place_of_its_middle_also_beyond_the_end_of_a_byte() -> None:
    units = [-0.2] * PATCH_MAP_SIDE**2
    units[3], units[2 * PATCH_MAP_SIDE + 11] = 5.0, 6.5
    units[4] = 1.0
    cells, strangest = patch_cells(units)
    values = made(cells).values
    assert values is not None
    assert (values[0], values[3], values[4], values[2 * PATCH_MAP_SIDE + 11]) == (0, 255, PATCH_UNIT, 255)
    assert (strangest.x, strangest.y) == (round(11.5 / 14, 4), round(2.5 / 14, 4))
    assert strangest.strangeness == 6.5


def test_a_map_of_another_size_is_none() -> None:
    with pytest.raises(ValueError, match="196 cells, not 1"):
        patch_cells([1.0])
    assert made("YWJj").values is None
    assert made(None).values is None
