"""The kinds of oddity in a label table, and the groups of kinds that are reported."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

RING_KINDS: Final = frozenset({"outer-ring", "pseudo-ring", "ring"})
RINGS: Final = "rings"
RINGS_APART: Final = "all-but-rings"


def kind_masks(oddities: NDArray[np.str_]) -> dict[str, NDArray[np.bool_]]:
    """Masks [n] of each kind of oddity, in alphabetical order, an object of several kinds in each of them.

    Where there are rings, `rings` holds the objects that have no other kind, and `all-but-rings` all other oddities.

    Args:
        oddities: [n] kinds joined by `+`, empty for ordinary objects.
    """
    parts = [frozenset(str(value).split("+")) - {""} for value in oddities]
    names = sorted(set().union(*parts))
    masks = {name: np.array([name in own for own in parts], dtype=np.bool_) for name in names}
    if len(names) > 1 and RING_KINDS & set(names):
        only = np.array([bool(own) and own <= RING_KINDS for own in parts], dtype=np.bool_)
        masks[RINGS] = only
        masks[RINGS_APART] = np.array([bool(own) for own in parts], dtype=np.bool_) & ~only
    return masks
