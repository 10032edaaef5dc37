"""gunzip with a cap: what a few bytes promise to become is bounded while they become it."""

import zlib

from astrolens.science.rejection import ImageRejected

_CHUNK = 1 << 20


def inflate_head(data: bytes, size: int) -> bytes:
    """What a gzip file begins with, at most `size` bytes: enough to look at its header first.

    Raises:
        ImageRejected: `unreadable`.
    """
    try:
        return zlib.decompressobj(wbits=31).decompress(data, size)
    except zlib.error as error:
        raise ImageRejected("unreadable", f"The gzip data are damaged: {error}.") from None


def inflate(data: bytes, max_bytes: int) -> bytearray:
    """The first member of a gzip file.

    Args:
        data: The file.
        max_bytes: The most that it may become.

    Raises:
        ImageRejected: `bomb` beyond the cap, `truncated`, `unreadable`.
    """
    decompressor = zlib.decompressobj(wbits=31)
    inflated = bytearray()
    rest = data
    while rest and not decompressor.eof:
        try:
            inflated += decompressor.decompress(rest, _CHUNK)
        except zlib.error as error:
            raise ImageRejected("unreadable", f"The gzip data are damaged: {error}.") from None
        rest = decompressor.unconsumed_tail
        if len(inflated) > max_bytes:
            raise ImageRejected("bomb", f"{len(data)} gzipped bytes become more than {max_bytes} bytes.")
    if not decompressor.eof:
        raise ImageRejected("truncated", "The gzip data end too early.")
    return inflated
