"""The hash index finds every hash within its radius: tried by brute force."""

import random
from itertools import combinations_with_replacement

import pytest
from astrolens.platform.stores.hash_index import (
    KEYS_PER_HASH,
    MAX_RADIUS,
    distance,
    flipped_bits,
    lookup_keys,
    nearest,
    parse_hash,
    stored_keys,
    to_signed,
)

RADII = range(MAX_RADIUS + 1)


def flipped(value: int, bits: int, chance: random.Random) -> int:
    for bit in chance.sample(range(64), bits):
        value ^= 1 << bit
    return value


@pytest.mark.parametrize("radius", RADII)
def test_hashes_within_the_radius_have_a_key_in_common(radius: int) -> None:
    chance = random.Random(radius)
    for _ in range(200):
        value = chance.getrandbits(64)
        looked_up = set(lookup_keys(value, radius))
        for bits in range(radius + 1):
            other = flipped(value, bits, chance)
            assert distance(value, other) == bits
            assert not looked_up.isdisjoint(stored_keys(other))


@pytest.mark.parametrize("radius", RADII)
def test_the_guarantee_is_the_worst_case_and_no_more(radius: int) -> None:
    """Every way to spread the differing bits over the seven bands."""
    worst = 0
    for spread in _spreads(radius, 7):
        first, second = sorted(spread[:3]), sorted(spread[3:])
        worst = max(worst, min(sum(first[:2]), sum(second[:2])))
    assert flipped_bits(radius) == worst


def _spreads(bits: int, bands: int) -> list[tuple[int, ...]]:
    spreads = set()
    for places in combinations_with_replacement(range(bands), bits):
        spreads.add(tuple(places.count(band) for band in range(bands)))
    return sorted(spreads)


def test_every_bit_is_in_the_keys_and_pairs_do_not_share_keys() -> None:
    zero = stored_keys(0)
    assert len(set(zero)) == KEYS_PER_HASH == 9
    for bit in range(64):
        changed = [number for number, key in enumerate(stored_keys(1 << bit)) if key != zero[number]]
        assert len(changed) in {2, 3}  # a band is in two pairs of the first group, in three of the second
    assert all(0 <= key < 2**23 for key in stored_keys(2**64 - 1))


def test_small_radii_cost_nine_look_ups() -> None:
    assert [len(lookup_keys(7, radius)) for radius in RADII] == [9] * 5 + [173] * 2 + [1586] * 2
    for radius in (-1, 9):
        with pytest.raises(ValueError, match="radius"):
            lookup_keys(7, radius)


def test_signed_numbers_keep_their_distance() -> None:
    for one, other in ((0, 2**64 - 1), (2**63, 0), (2**63 + 5, 2**63)):
        assert -(2**63) <= to_signed(one) < 2**63
        assert distance(to_signed(one), other) == (one ^ other).bit_count()


@pytest.mark.parametrize("text", [None, 7, "", "0" * 15, "0" * 17, "x" * 16, " " + "0" * 15, "0x" + "0" * 14])
def test_what_is_no_hash_is_none(text: object) -> None:
    assert parse_hash(text) is None


def test_the_nearest_come_first_and_the_older_among_equals() -> None:
    found = [(3, 1, "c"), (0, 9, "a"), (3, 0, "b"), (0, 9, "a")]
    assert nearest(found, limit=2) == [("a", 0), ("b", 3)]
