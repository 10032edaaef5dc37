"""Where an image is strange, in words."""

from base64 import b64encode
from urllib.parse import unquote

import pytest
from astrolens.console.pages.patch_panel import patch_overlay, place_words, strange_place
from astrolens.contracts.patch_maps import PatchMap, StrangestPatch


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (0.5, 0.5, "in the middle"),
        (0.1, 0.1, "at the upper left"),
        (0.9, 0.5, "at the right"),
        (0.5, 0.9, "at the bottom"),
        (0.55, 0.1, "at the top"),
    ],
)
def test_a_place_has_words(x: float, y: float, said: str) -> None:
    assert place_words(StrangestPatch(x=x, y=y, strangeness=1.0)) == said


def mapped(strangeness: float | None, survey: str = "sdss") -> PatchMap:
    strangest = None if strangeness is None else StrangestPatch(x=0.9, y=0.1, strangeness=strangeness)
    return PatchMap(
        version=1,
        model_digest="m",
        codebook="c",
        codebook_survey=survey,
        codebook_images=300,
        strangest=strangest,
        detail=None if strangest else "the cutout is <missing>",
    )


def test_the_sentence_claims_no_more_than_was_measured() -> None:
    assert "at the upper right, 2.3 times as far from ordinary patches of sdss" in strange_place(
        mapped(2.34), waits=False
    )
    assert "not farther from ordinary patches of other surveys than" in strange_place(
        mapped(0.4, "pooled"), waits=False
    )
    assert "&lt;missing&gt;" in strange_place(mapped(None), waits=False)
    assert "once 100 ordinary images" in strange_place(None, waits=True)
    assert strange_place(None, waits=False) == ""


def test_cells_beyond_the_farthest_of_ordinary_patches_are_outlined_as_one() -> None:
    kind, _, drawn = patch_overlay(b64encode(bytes([0, 32, 0, 0, 200, 64, 0, 0, 63])).decode()).partition(",")
    svg = unquote(drawn)
    assert kind == "data:image/svg+xml"
    assert svg.count("<rect") == 9
    assert 'viewBox="0 0 3 3"' in svg
    # Two neighbours have no line between them.
    assert 'd="M1 1h1M1 2h1M1 1v1M2 1h1M2 2h1M3 1v1"' in svg
    assert "/ 0.00)" in svg


def test_what_is_no_square_map_is_none() -> None:
    assert patch_overlay(b64encode(bytes(5)).decode()) == ""
    assert patch_overlay("") == ""
