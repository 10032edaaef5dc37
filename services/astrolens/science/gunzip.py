"""Gunzip with a limit on the size of the output, checked while it grows."""

import zlib

from astrolens.science.rejection import ImageRejected

_CHUNK_BYTES = 1 << 20
_GZIP_FORMAT = 31
"""zlib's `wbits` for a gzip header and the largest window."""

_MAGIC = b"\x1f\x8b"

_MAX_MEMBERS = 100_000
"""A 64 MiB file of `bgzip` has a thousand or two. Each member costs some microseconds, also an empty one."""


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
    """The content of all members of a gzip file, one after another (RFC 1952, section 2.2).

    What follows the last member and is none is padding of tapes and archives, as `gunzip` takes it.

    Args:
        data: The file.
        max_bytes: Limit on the size of the content of all members.

    Raises:
        ImageRejected: `bomb` beyond the limit, `truncated`, `unreadable`.
    """
    content = bytearray()
    rest = memoryview(data)
    for _ in range(_MAX_MEMBERS):
        rest = rest[_member(rest, content, max_bytes, len(data)) :]
        if rest[:2] != _MAGIC:
            return content
    raise ImageRejected("bomb", f"The gzip file has more than {_MAX_MEMBERS} members.")


def _member(data: memoryview, content: bytearray, max_bytes: int, file_bytes: int) -> int:
    """Append the content of the member at the beginning of `data`; return its length."""
    decompressor = zlib.decompressobj(wbits=_GZIP_FORMAT)
    position = 0
    waiting: bytes | memoryview = b""
    while not decompressor.eof:
        if not waiting:
            waiting = data[position : position + _CHUNK_BYTES]
            position += len(waiting)
        if not waiting:
            raise ImageRejected("truncated", "The gzip data end too early.")
        try:
            content += decompressor.decompress(waiting, _CHUNK_BYTES)
        except zlib.error as error:
            raise ImageRejected("unreadable", f"The gzip data are damaged: {error}.") from None
        waiting = decompressor.unconsumed_tail
        if len(content) > max_bytes:
            raise ImageRejected("bomb", f"{file_bytes} gzipped bytes become more than {max_bytes} bytes.")
    return position - len(decompressor.unused_data)
