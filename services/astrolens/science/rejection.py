"""`ImageRejected`, and the limits on the size of an image."""

from dataclasses import asdict, dataclass
from typing import Any, Self


class ImageRejected(Exception):
    """The file cannot become a cutout; trying again gives the same result.

    Attributes:
        code: A slug for statistics, such as `truncated`.
        detail: One sentence for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Limits that are checked before pixels are decoded."""

    max_bytes: int = 64 * 2**20
    """Bytes of the file as received."""

    max_pixels: int = 64_000_000
    """Width times height times planes: a Rubin detector has 16 million, so four of them still pass."""

    max_inflated_bytes: int = 512 * 2**20
    """Bytes of a gzip file's content: `max_pixels` 64-bit values."""

    min_side: int = 16
    """Pixels: in a smaller picture a galaxy cannot be distinguished from a star."""

    cutout_side: int = 256
    """Pixels of the cutout's longer side."""

    def to_json(self) -> dict[str, int]:
        """The limits as JSON values, for the sandbox's child processes."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{name: int(value) for name, value in document.items()})

    def check_pixels(self, width: int, height: int, *, planes: int = 1, file_bytes: int) -> None:
        """Refuse a picture by the size in its header.

        Args:
            width: Pixels.
            height: Pixels.
            planes: Number of planes of this size in the file.
            file_bytes: Size of the file as received; many pixels from few bytes are a decompression bomb.

        Raises:
            ImageRejected: `bomb`, `too-large`, `too-small`.
        """
        pixels = width * height * planes
        if pixels > self.max_pixels:
            size = f"{width} x {height}" + (f" x {planes}" if planes > 1 else "")
            if pixels > _BOMB_PIXELS_PER_BYTE * file_bytes:
                raise ImageRejected("bomb", f"{file_bytes} bytes that promise {size} pixels are a decompression bomb.")
            limit = f"{self.max_pixels / 1e6:g} million"
            raise ImageRejected("too-large", f"It has {size} pixels, more than the limit of {limit}.")
        if min(width, height) < self.min_side:
            raise ImageRejected("too-small", f"It has {width} x {height} pixels; at least {self.min_side} are needed.")


_BOMB_PIXELS_PER_BYTE = 50
"""No camera's picture compresses that far: a noiseless black sky in JPEG has about 40 pixels a byte."""
