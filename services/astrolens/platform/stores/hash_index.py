"""Multi-index hashing: which keys find every 64-bit hash within a Hamming distance.

After Norouzi, Punjani & Fleet 2012. The 64 bits are cut into seven bands of 9 or 10 bits, and the bands into the groups
{0, 1, 2} and {3, 4, 5, 6}. A key is the content of two bands of one group: 3 + 6 = 9 keys of 18 or 19 bits a hash.

Pigeonhole: bits that differ in at most 4 places touch at most 4 bands, so 3 of 7 are untouched, and two of those lie in
one group. Two hashes at a distance of at most 4 therefore have a key in common. At 5 or 6 some pair of bands of one
group differs in at most one bit, at 7 or 8 in at most two: those are found by the keys with one or two bits flipped.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import Any, Final

KEY_LIMIT: Final = 256
"""Newest entries of a key that are looked at. Blank and round, smooth fields crowd into few keys; without a bound the
cost of a lookup would grow with the archive. The answer is exact as long as no key is fuller."""

MAX_RADIUS: Final = 8
"""Largest distance of a lookup, bits. Beyond it two pictures no longer look alike, and the keys become too many."""

COPY_BITS: Final = 4
"""Bits by which hashes of copies of one picture differ at most. Different pictures are seldom that near: 3 of 7.2
million pairs of SDSS galaxies, 8 of 2.7 million of Euclid, none of 3.2 million of EFIGI."""

_MASK: Final = (1 << 64) - 1
_BAND_BITS: Final = (10, 9, 9, 9, 9, 9, 9)
_SHIFTS: Final = tuple(sum(_BAND_BITS[:band]) for band in range(len(_BAND_BITS)))
_PAIRS: Final = tuple(pair for group in ((0, 1, 2), (3, 4, 5, 6)) for pair in combinations(group, 2))
_KEY_BITS: Final = 19

KEYS_PER_HASH: Final = len(_PAIRS)

_HASH = re.compile(r"[0-9a-fA-F]{16}")


def parse_hash(value: Any) -> int | None:
    """The number that 16 hexadecimal digits write; None where the value is no hash."""
    return int(value, 16) if isinstance(value, str) and _HASH.fullmatch(value) else None


def stored_keys(value: int) -> list[int]:
    """The keys under which a hash is stored, 0 <= key < 2**23."""
    return [stored_key(value, number) for number in range(KEYS_PER_HASH)]


def stored_key(value: int, number: int) -> int:
    """The key of a hash for one of the pairs of bands, 0 <= number < `KEYS_PER_HASH`."""
    first, second = _PAIRS[number]
    low = (value >> _SHIFTS[first]) & ((1 << _BAND_BITS[first]) - 1)
    high = (value >> _SHIFTS[second]) & ((1 << _BAND_BITS[second]) - 1)
    return (number << _KEY_BITS) | (high << _BAND_BITS[first]) | low


def lookup_keys(value: int, radius: int) -> list[int]:
    """The keys under which every hash within `radius` bits is found: 9 up to 4 bits, 173 up to 6, 1,586 up to 8.

    Raises:
        ValueError: The radius is negative or larger than `MAX_RADIUS`.
    """
    return [stored_key(value, number) ^ flip for number in range(KEYS_PER_HASH) for flip in _flips(number, radius)]


def distance(one: int, other: int) -> int:
    """The number of bits in which two hashes differ; negative numbers are read as two's complement."""
    return ((one ^ other) & _MASK).bit_count()


def to_signed(value: int) -> int:
    """A hash as the signed 64-bit number that databases store."""
    return value - (1 << 64) if value >> 63 else value


def nearest(found: Sequence[tuple[int, int, str]], *, limit: int) -> list[tuple[str, int]]:
    """The (id, distance) of the nearest of (distance, age, id), the older first among equals, each once."""
    return [(document_id, bits) for bits, _, document_id in sorted(set(found))[:limit]]


def flipped_bits(radius: int) -> int:
    """The largest number of bits in which the closest pair of bands of one group differs, at this distance.

    The first group keeps every pair at w bits or more only with all of its three bands touched well enough, and the
    second likewise with four. The cheapest such patterns cost 5 bits for w = 1 and 7 bits for w = 2 (a test tries all).

    Raises:
        ValueError: The radius is negative or larger than `MAX_RADIUS`.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"a radius of {radius} bits is not served: at most {MAX_RADIUS}")
    return 0 if radius < 5 else 1 if radius < 7 else 2


@lru_cache
def _flips(number: int, radius: int) -> tuple[int, ...]:
    bits = sum(_BAND_BITS[band] for band in _PAIRS[number])
    return tuple(
        sum(1 << bit for bit in chosen)
        for count in range(flipped_bits(radius) + 1)
        for chosen in combinations(range(bits), count)
    )
