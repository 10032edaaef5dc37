"""Gunzip with a limit on the size of the output, checked while it grows."""

import zlib

from astrolens.science.rejection import ImageRejected

_CHUNK_BYTES = 1 << 20
_GZIP_FORMAT = 31
"""zlib's `wbits` for a gzip header and the largest window."""


def gunzip_head(data: bytes, max_bytes: int) -> bytes:
    """The first `max_bytes` bytes of the content at most: enough to check its header before the rest is inflated.

    Raises:
        ImageRejected: `unreadable`.
    """
    try:
        return zlib.decompressobj(wbits=_GZIP_FORMAT).decompress(data, max_bytes)
    except zlib.error as error:
        raise ImageRejected("unreadable", f"The gzip data are damaged: {error}.") from None


def gunzip(data: bytes, max_bytes: int) -> bytearray:
    """The content of the first member of a gzip file.

    Args:
        data: The file.
        max_bytes: Limit on the size of the content.

    Raises:
        ImageRejected: `bomb` beyond the limit, `truncated`, `unreadable`.
    """
    decompressor = zlib.decompressobj(wbits=_GZIP_FORMAT)
    content = bytearray()
    rest = data
    while rest and not decompressor.eof:
        try:
            content += decompressor.decompress(rest, _CHUNK_BYTES)
        except zlib.error as error:
            raise ImageRejected("unreadable", f"The gzip data are damaged: {error}.") from None
        rest = decompressor.unconsumed_tail
        if len(content) > max_bytes:
            raise ImageRejected("bomb", f"{len(data)} gzipped bytes become more than {max_bytes} bytes.")
    if not decompressor.eof:
        raise ImageRejected("truncated", "The gzip data end too early.")
    return content
