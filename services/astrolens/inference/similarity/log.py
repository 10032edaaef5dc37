"""The embeddings on disk: an append-only file of checksummed frames.

```
header   magic "ASTROSIM" | format u32 | dimensions u32 | model digest 32 bytes | CRC-32 of these u32
frame    magic "FRAM" | records u32 | CRC-32 of count and records u32 | records
record   image id 16 bytes | embedding float16 [dimensions]
```
All little-endian. A frame is one append. What a crash leaves behind the last whole frame is cut off when the file is
opened; the record store still has it.
"""

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

_HEADER: Final = struct.Struct("<8sII32sI")
_FRAME: Final = struct.Struct("<4sII")
_MAGIC: Final = b"ASTROSIM"
_FRAME_MAGIC: Final = b"FRAM"
_FORMAT: Final = 1
_MAX_RECORDS: Final = 1 << 16
"""Records of a frame: a damaged count must not make the reader ask for gigabytes."""

logger = structlog.get_logger(__name__)


class LogInUse(Exception):
    """Another process appends to this log."""


class EmbeddingLog:
    """One file, one writer.

    Not for several threads at once; its owner holds a lock.

    Args:
        path: The file; made where absent, with its folder.
        dimensions: d of the embeddings.
        model_digest: SHA-256 of the model that made them, 64 hexadecimal digits.

    Raises:
        LogInUse: Another process has it open.
        OSError: The file cannot be read or written.
    """

    def __init__(self, path: Path, *, dimensions: int, model_digest: str) -> None:
        self.path = path
        self.record_type = np.dtype([("id", "u1", (16,)), ("embedding", "<f2", (dimensions,))])
        self._dimensions = dimensions
        self._digest = bytes.fromhex(model_digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._opened()
        self._end = 0
        """Where the last whole frame ends: what lies behind it is nothing."""

    def _opened(self) -> int:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise LogInUse(str(self.path)) from error
            raise
        return descriptor

    def read(self) -> Iterator[NDArray[Any]]:
        """Frame by frame, the records as arrays of `record_type`; then the torn tail is cut off."""
        size = os.fstat(self._file).st_size
        if not self._has_header():
            if size:
                kept = self.path.with_suffix(".damaged")
                logger.warning("similarity log is not of this model; put aside", path=str(self.path), kept=str(kept))
                self.path.rename(kept)
                os.close(self._file)
                self._file = self._opened()
            self._write_header()
            return
        self._end = _HEADER.size
        while (frame := self._frame_at(self._end)) is not None:
            self._end += _FRAME.size + frame.nbytes
            yield frame
        if self._end < size:
            logger.warning("similarity log has a torn tail; cut off", path=str(self.path), bytes=size - self._end)
            os.ftruncate(self._file, self._end)

    def append(self, records: NDArray[Any]) -> None:
        """Write records as frames. They outlive this process; a power cut may take the last ones.

        Args:
            records: [n] of `record_type`.

        Raises:
            OSError: The disk is full or broken; the log is as it was before.
        """
        for start in range(0, len(records), _MAX_RECORDS):
            payload = records[start : start + _MAX_RECORDS].tobytes()
            count = len(payload) // self.record_type.itemsize
            data = _FRAME.pack(_FRAME_MAGIC, count, _checksum(count, payload)) + payload
            try:
                self._write(data, self._end)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
            self._end += len(data)

    def sync(self) -> None:
        """Make everything outlive a power cut."""
        os.fsync(self._file)

    def close(self) -> None:
        """Sync and let go."""
        os.fsync(self._file)
        os.close(self._file)

    def _write(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, offset)
            view, offset = view[written:], offset + written

    def _write_header(self) -> None:
        fields = _HEADER.pack(_MAGIC, _FORMAT, self._dimensions, self._digest, 0)[:-4]
        self._write(fields + struct.pack("<I", zlib.crc32(fields)), 0)
        self._end = _HEADER.size

    def _has_header(self) -> bool:
        data = os.pread(self._file, _HEADER.size, 0)
        expected = _HEADER.pack(_MAGIC, _FORMAT, self._dimensions, self._digest, 0)[:-4]
        return data == expected + struct.pack("<I", zlib.crc32(expected))

    def _frame_at(self, offset: int) -> NDArray[Any] | None:
        head = os.pread(self._file, _FRAME.size, offset)
        if len(head) < _FRAME.size:
            return None
        magic, count, checksum = _FRAME.unpack(head)
        if magic != _FRAME_MAGIC or not 0 < count <= _MAX_RECORDS:
            return None
        payload = os.pread(self._file, count * self.record_type.itemsize, offset + _FRAME.size)
        if len(payload) < count * self.record_type.itemsize or _checksum(count, payload) != checksum:
            return None
        return np.frombuffer(payload, dtype=self.record_type)


def _checksum(count: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(struct.pack("<I", count)))
