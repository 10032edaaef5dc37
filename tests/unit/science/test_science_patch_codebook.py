"""Patches of ordinary images, and the one that is none of them."""

import numpy as np
import pytest
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE
from astrolens.science.patch_codebook import PatchCodebook, PatchCodebookDamaged, fit_patch_codebook
from numpy.typing import NDArray

CHANNELS = 6
CELLS = PATCH_MAP_SIDE**2


def ordinary(count: int, *, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, 0.5, (count, CELLS * CHANNELS)).astype(np.float32)


def ids(count: int) -> list[str]:
    return [f"{number:032x}" for number in range(count)]


def fitted(count: int = 30) -> PatchCodebook:
    return fit_patch_codebook(ordinary(count), survey="sdss", model_digest="m", image_ids=ids(count))


def test_an_odd_patch_stands_out_where_it_is() -> None:
    image = ordinary(1, seed=9).reshape(1, PATCH_MAP_SIDE, PATCH_MAP_SIDE, CHANNELS)
    image[0, 3, 10] = 40.0
    units = fitted().units(image.reshape(1, -1))[0]
    assert np.unravel_index(units.argmax(), units.shape) == (3, 10)
    assert units[3, 10] > 2.0


def test_one_ordinary_patch_in_a_hundred_is_beyond_the_unit() -> None:
    units = fitted(90).units(ordinary(60, seed=5))
    assert 0.002 < (units > 1.0).mean() < 0.03
    assert 0.3 < (units < 0.0).mean() < 0.7


def test_a_codebook_depends_on_images_not_on_their_order_and_survives_as_bytes() -> None:
    count = 12
    features, names = ordinary(count), ids(count)
    order = np.random.default_rng(1).permutation(count)
    one = fit_patch_codebook(features, survey="sdss", model_digest="m", image_ids=names)
    two = fit_patch_codebook(
        features[order], survey="sdss", model_digest="m", image_ids=[names[place] for place in order]
    )
    assert one.to_bytes() == two.to_bytes()
    again = PatchCodebook.from_bytes(one.to_bytes())
    assert again.digest == one.digest
    probe = ordinary(3, seed=4)
    assert (again.units(probe) == one.units(probe)).all()
    assert (one.units(probe[:1]) == one.units(probe)[:1]).all()


def test_what_does_not_fit_is_refused() -> None:
    codebook = fitted(6)
    with pytest.raises(ValueError, match="with d = 6"):
        codebook.units(np.zeros((1, CELLS * 4), np.float32))
    with pytest.raises(ValueError, match="needs 3 images"):
        fit_patch_codebook(ordinary(2), survey="sdss", model_digest="m", image_ids=ids(2))
    for damaged in (b"", b"PK", codebook.to_bytes()[:-40]):
        with pytest.raises(PatchCodebookDamaged, match="no archive"):
            PatchCodebook.from_bytes(damaged)
