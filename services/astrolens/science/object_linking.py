"""Which images show one object: those that the same catalogued object explains, and those at one place.

Two images are at one place where their separation lies within the error radius of their positions (`match_radius.py`),
which allows for the centring of what they show. Links are followed: an image between two others links them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from astrolens.science.match_radius import Target, error_radius_arcsec
from astrolens.science.sphere import separation_arcsec


@dataclass(frozen=True, kw_only=True)
class SeenImage:
    """An image at a place.

    Attributes:
        image_id: Its id.
        target: The place, with its error.
        counterpart: The object that explains it and on which it is centred, as catalogue and name; None: unknown, or
            the image is of a part of something larger.
    """

    image_id: str
    target: Target
    counterpart: str | None = None


def shows_one_object(one: SeenImage, other: SeenImage) -> bool:
    """Whether two images show one object."""
    if one.counterpart is not None and other.counterpart is not None:
        return one.counterpart == other.counterpart
    separation = separation_arcsec(one.target.ra_deg, one.target.dec_deg, other.target.ra_deg, other.target.dec_deg)
    return bool(separation <= error_radius_arcsec(one.target.sigma_arcsec, other.target.sigma_arcsec))


def linked_images(images: Sequence[SeenImage]) -> list[tuple[str, ...]]:
    """The images of each object, in the order given; objects in the order of their first images.

    An image without a counterpart may lie between two known objects: it joins the first, and does not make them one.

    Args:
        images: Of a small piece of sky: each is compared with each.
    """
    groups: list[list[SeenImage]] = []
    for image in images:
        joined = [image]
        for group in [*groups]:
            known = {each.counterpart for each in (*joined, *group)} - {None}
            if len(known) <= 1 and any(shows_one_object(one, other) for one in joined for other in group):
                groups.remove(group)
                joined = [*group, *joined]
        groups.append(joined)
    order = {image.image_id: number for number, image in enumerate(images)}
    groups = [sorted(group, key=lambda each: order[each.image_id]) for group in groups]
    groups.sort(key=lambda group: order[group[0].image_id])
    return [tuple(each.image_id for each in group) for group in groups]
