"""Finding images that look alike without looking at all of them.

Multi-index hashing (Norouzi, Punjani & Fleet 2012): a 64-bit hash is cut into four bands of 16 bits. Two hashes that
differ in at most r bits agree in one band up to r // 4 bits (pigeonhole), so it is enough to look into the buckets of
each band that are that close: 68 of 262,144 buckets for r = 4 to 7. The answer is exact as long as no bucket is fuller
than `BUCKET_LIMIT`.
"""

from array import array
from collections.abc import Iterable
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from astrolens.contracts.records import NearDuplicate

MAX_LINKS: Final = 10
"""Links an image keeps: more than ten pictures that look alike tell a person nothing new."""

BUCKET_LIMIT: Final = 512
"""Newest entries of a bucket that are looked at. Round, smooth fields crowd into few buckets; without a bound the cost
of one of them would grow with the archive."""

_BANDS: Final = 4
_BAND_BITS: Final = 16
_BAND_MASK: Final = (1 << _BAND_BITS) - 1


class NearDuplicateIndex:
    """Perceptual hashes in memory: about 130 bytes an image."""

    def __init__(self, *, radius: int) -> None:
        """Make an empty index.

        Args:
            radius: Largest Hamming distance of a link, bits.
        """
        self.radius = radius
        flips = [
            sum(1 << bit for bit in bits)
            for count in range(radius // _BANDS + 1)
            for bits in combinations(range(_BAND_BITS), count)
        ]
        self._flips = tuple(flips)
        self._buckets: list[dict[int, array[int]]] = [{} for _ in range(_BANDS)]
        self._hashes: NDArray[np.uint64] = np.zeros(1024, dtype=np.uint64)
        self._ids: list[bytes] = []
        self._known: set[bytes] = set()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, image_id: str, phash: str) -> bool:
        """Take an image in, unless it is there already; return whether it is new.

        Args:
            image_id: 32 hexadecimal digits.
            phash: 16 hexadecimal digits.
        """
        value = int(phash, 16)
        key = bytes.fromhex(image_id)
        if key in self._known:
            return False
        row = self._count
        if row == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.zeros_like(self._hashes)])
        self._hashes[row] = value
        self._ids.append(key)
        self._known.add(key)
        self._count += 1
        for band, buckets in enumerate(self._buckets):
            buckets.setdefault((value >> (band * _BAND_BITS)) & _BAND_MASK, array("I")).append(row)
        return True

    def update(self, images: Iterable[tuple[str, str]]) -> int:
        """Take several (image id, hash) in; return how many were new."""
        return sum(self.add(image_id, phash) for image_id, phash in images)

    def neighbours(self, phash: str) -> list[NearDuplicate]:
        """The nearest images within the radius: nearest first, then the older first, at most `MAX_LINKS`."""
        value = int(phash, 16)
        rows = array("I")
        for band, buckets in enumerate(self._buckets):
            key = (value >> (band * _BAND_BITS)) & _BAND_MASK
            for flip in self._flips:
                bucket = buckets.get(key ^ flip)
                if bucket is not None:
                    rows.extend(bucket if len(bucket) <= BUCKET_LIMIT else bucket[-BUCKET_LIMIT:])
        if not rows:
            return []
        candidates = np.frombuffer(rows, dtype=np.uint32)
        distances = np.bitwise_count(self._hashes[candidates] ^ np.uint64(value))
        close = distances <= self.radius
        # A row is found once for every band that agrees.
        found = sorted(set(zip(distances[close].tolist(), candidates[close].tolist(), strict=True)))
        return [NearDuplicate(image_id=self._ids[row].hex(), distance=distance) for distance, row in found[:MAX_LINKS]]


def nearest(links: Iterable[NearDuplicate]) -> tuple[NearDuplicate, ...]:
    """The nearest of several links, each image once."""
    best: dict[str, NearDuplicate] = {}
    for link in links:
        known = best.get(link.image_id)
        if known is None or link.distance < known.distance:
            best[link.image_id] = link
    # A stable sort: at the same distance the older stays first.
    return tuple(sorted(best.values(), key=lambda link: link.distance)[:MAX_LINKS])
