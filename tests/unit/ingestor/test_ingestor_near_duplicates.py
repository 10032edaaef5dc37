"""The index finds exactly what a linear scan finds."""

import io
import random

import pytest
from astrolens.contracts.records import NearDuplicate
from astrolens.ingestor import near_duplicates
from astrolens.ingestor.near_duplicates import MAX_LINKS, NearDuplicateIndex, nearest
from astrolens.science.phash import perceptual_hash
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.shared_data import shared_data

BITS = st.integers(0, 2**64 - 1)


def _id(number: int) -> str:
    return f"{number:032x}"


def _scan(hashes: list[int], wanted: int, radius: int) -> list[NearDuplicate]:
    found = sorted(((value ^ wanted).bit_count(), row) for row, value in enumerate(hashes))
    return [NearDuplicate(image_id=_id(row), distance=far) for far, row in found if far <= radius][:MAX_LINKS]


@settings(deadline=None, max_examples=150)
@given(
    centre=BITS,
    flips=st.lists(st.sets(st.integers(0, 63), max_size=10), max_size=60),
    others=st.lists(BITS, max_size=30),
    radius=st.integers(0, 8),
)
def test_it_agrees_with_a_linear_scan(centre: int, flips: list[set[int]], others: list[int], radius: int) -> None:
    hashes = [centre ^ sum(1 << bit for bit in bits) for bits in flips] + others
    index = NearDuplicateIndex(radius=radius)
    index.update((_id(row), f"{value:016x}") for row, value in enumerate(hashes))
    assert index.neighbours(f"{centre:016x}") == _scan(hashes, centre, radius)


def test_it_agrees_on_many_thousand_hashes() -> None:
    rng = random.Random(7)
    centres = [rng.getrandbits(64) for _ in range(500)]
    hashes = [c ^ sum(1 << b for b in rng.sample(range(64), rng.randrange(9))) for c in centres for _ in range(8)]
    index = NearDuplicateIndex(radius=6)
    index.update((_id(row), f"{value:016x}") for row, value in enumerate(hashes))
    for centre in centres[:100]:
        assert index.neighbours(f"{centre:016x}") == _scan(hashes, centre, 6)


def test_an_image_is_taken_in_once() -> None:
    index = NearDuplicateIndex(radius=4)
    assert index.add(_id(1), "00000000000000ff")
    assert not index.add(_id(1), "00000000000000ff")
    assert index.add(_id(2), "00000000000000ff")
    assert len(index) == 2


def test_a_crowded_bucket_is_bounded_and_keeps_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "BUCKET_LIMIT", 16)
    index = NearDuplicateIndex(radius=4)
    index.update((_id(row), "0" * 16) for row in range(5000))
    links = index.neighbours("0" * 16)
    assert len(links) == MAX_LINKS
    assert {int(link.image_id, 16) for link in links} <= set(range(5000 - 16, 5000))


def test_of_several_links_each_image_keeps_its_nearest() -> None:
    links = [NearDuplicate(image_id="a", distance=4), NearDuplicate(image_id="b", distance=2)]
    assert nearest([*links, NearDuplicate(image_id="a", distance=0)]) == (
        NearDuplicate(image_id="a", distance=0),
        NearDuplicate(image_id="b", distance=2),
    )
    many = [NearDuplicate(image_id=_id(n), distance=n % 7) for n in range(50)]
    assert len(nearest(many)) == MAX_LINKS
    assert max(link.distance for link in nearest(many)) == 1


def test_different_galaxies_are_not_linked_and_another_compression_is() -> None:
    """On real images: of 300 SDSS galaxies hardly two are alike, and a re-encoded one finds its original."""
    files = sorted((shared_data() / "galaxies" / "sdss-gz1").glob("*.jpeg"))[::17][:300]
    index = NearDuplicateIndex(radius=4)
    false_links = 0
    for row, file in enumerate(files):
        with Image.open(file) as picture:
            small = picture.convert("RGB").resize((256, 256), Image.Resampling.BICUBIC, reducing_gap=2.0)
        phash = perceptual_hash(small)
        false_links += len(index.neighbours(phash))
        index.add(_id(row), phash)
        if row % 30 == 0:
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=75)
            with Image.open(buffer) as alike:
                assert _id(row) in [link.image_id for link in index.neighbours(perceptual_hash(alike))]
    assert false_links <= 1
