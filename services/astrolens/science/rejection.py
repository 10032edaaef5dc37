"""Why an image is refused, and the limits that refuse it."""

from dataclasses import asdict, dataclass
from typing import Any, Self


class ImageRejected(Exception):
    """These bytes will never become a cutout.

    Attributes:
        code: A slug for counting, such as `truncated`.
        detail: One sentence for people.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """Bounds that hold before any pixel is touched."""

    max_bytes: int = 64 * 2**20
    """Bytes of the file as it came."""

    max_pixels: int = 64_000_000
    """Width times height times planes: a Rubin detector has 16 million, so four of them still pass."""

    max_inflated_bytes: int = 512 * 2**20
    """Bytes that a gzip may become: `max_pixels` of 64-bit values."""

    min_side: int = 16
    """Pixels: below this no galaxy can be told from a star."""

    cutout_side: int = 256
    """Pixels of the cutout's longer side."""

    def to_json(self) -> dict[str, int]:
        """The limits as JSON-ready numbers, for the sandbox's children."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """The limits that `to_json` wrote."""
        return cls(**{name: int(value) for name, value in document.items()})

    def check_pixels(self, width: int, height: int, *, planes: int = 1, file_bytes: int) -> None:
        """Refuse a picture by its header.

        Args:
            width: Pixels.
            height: Pixels.
            planes: How many such planes the file decodes to.
            file_bytes: What it all came from; a tiny file with a huge promise is called a bomb.

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
"""No camera's picture is squeezed that far: a noiseless black sky in JPEG takes about one byte for 40 pixels."""
