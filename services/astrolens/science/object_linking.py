"""Which images show one object: those that the same catalogued object explains, and those at one place.

Two images are at one place where their separation lies within the error radius of their positions (`match_radius.py`),
which allows for the centring of what they show. Links are followed: an image between two others links them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from astrolens.science.match_radius import Target, error_radius_arcsec
from astrolens.science.sphere import separation_arcsec


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """An image at a place.

    Attributes:
        image_id: Its id.
        target: The place, with its error.
        counterparts: The object on which it is centred, by catalogue; empty: unknown, or the image is of a part of
            something larger.
    """

    image_id: str
    target: Target
    counterparts: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Group:
    """Images of one object, and what catalogues call it."""

    images: list[int]
    names: dict[str, set[str]]

    def shares_a_name(self, counterparts: Mapping[str, str]) -> bool:
        return any(name in self.names.get(catalogue, ()) for catalogue, name in counterparts.items())


def linked_images(images: Sequence[SeenImage]) -> list[tuple[str, ...]]:
    """The images of each object, in the order given; objects in the order of their first images.

    Objects that one catalogue tells apart stay apart: an image between two of them joins the first and does not make
    them one.

    Args:
        images: Of a small piece of sky: each is compared with each.
    """
    if not images:
        return []
    near = _at_one_place([image.target for image in images])
    groups: list[_Group] = []
    for number, image in enumerate(images):
        joined = _Group([number], {catalogue: {name} for catalogue, name in image.counterparts.items()})
        at = len(groups)
        for group in [*groups]:
            linked = group.shares_a_name(image.counterparts) or bool(near[number, group.images].any())
            if not linked or _are_distinct(joined, group):
                continue
            at = min(at, groups.index(group))
            groups.remove(group)
            joined.images = sorted([*group.images, *joined.images])
            for catalogue, names in group.names.items():
                joined.names.setdefault(catalogue, set()).update(names)
        groups.insert(at, joined)
    return [tuple(images[number].image_id for number in group.images) for group in groups]


def _at_one_place(targets: Sequence[Target]) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """[n, n] whether two images are within the error radius of their positions."""
    ra, dec = np.array([each.ra_deg for each in targets]), np.array([each.dec_deg for each in targets])
    sigma = np.array([each.sigma_arcsec for each in targets])
    separation = separation_arcsec(ra[:, None], dec[:, None], ra[None, :], dec[None, :])
    return np.asarray(separation <= error_radius_arcsec(sigma[:, None], sigma[None, :]))


def _are_distinct(one: _Group, other: _Group) -> bool:
    """Whether a catalogue names two objects, and none names one that both have."""
    common = one.names.keys() & other.names.keys()
    return bool(common) and all(one.names[catalogue].isdisjoint(other.names[catalogue]) for catalogue in common)
