"""Turn a picture so that north is up and east to the left, as far as that moves no pixel off its grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_EXACT_DEG = 0.05


@dataclass(frozen=True, slots=True)
class Orientation:
    """How the rows and columns of a file become a picture.

    Attributes:
        flipped: Whether the first row of the file is at the bottom, before anything else.
        mirrored: Whether left and right are exchanged then.
        quarter_turns: Clockwise turns by 90 degrees after that.
        north_angle_deg: From up to north in the picture, counterclockwise, at most 45 either way; None where it is not
            known. East is to the left of north.
        words: For people.
    """

    flipped: bool
    mirrored: bool
    quarter_turns: int
    north_angle_deg: float | None
    words: str

    @property
    def turned(self) -> bool:
        """Whether rows of the file are columns of the picture."""
        return self.quarter_turns % 2 == 1

    def applied(self, planes: NDArray[np.generic]) -> NDArray[np.generic]:
        """The planes [C, H, W] of a file, first row first, as a view of the picture, top row first."""
        if self.flipped:
            planes = planes[:, ::-1]
        if self.mirrored:
            planes = planes[:, :, ::-1]
        return np.rot90(planes, -self.quarter_turns, axes=(1, 2))


def north_up(north_angle_deg: float, *, mirrored: bool) -> Orientation:
    """The orientation nearest to north up, east left.

    Turning by less than a quarter would average neighbouring pixels, which smooths the noise that the detectors were
    calibrated on, and leave empty corners.

    Args:
        north_angle_deg: From up to north, counterclockwise, when the file is drawn with its first row at the bottom.
        mirrored: Whether east lies clockwise of north then.
    """
    angle = -north_angle_deg if mirrored else north_angle_deg
    turns = round(angle / 90.0)
    rest = angle - 90.0 * turns
    if abs(rest) < _EXACT_DEG:
        words = "north up, east left"
    else:
        side = "left" if rest > 0 else "right"
        words = f"north {abs(rest):.1f} degrees {side} of up, east left: it is turned by quarter turns only"
    return Orientation(flipped=True, mirrored=mirrored, quarter_turns=turns % 4, north_angle_deg=rest, words=words)


def as_stored(why: str, *, top_down: bool = False) -> Orientation:
    """The orientation of a file that does not say where north is.

    Args:
        why: A clause for people.
        top_down: Whether the first row of the file is the top of the picture; in FITS it is the bottom.
    """
    order = "first row on top" if top_down else "first row at the bottom"
    return Orientation(
        flipped=not top_down, mirrored=False, quarter_turns=0, north_angle_deg=None, words=f"as stored, {order}: {why}"
    )
