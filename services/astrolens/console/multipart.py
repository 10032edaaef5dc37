"""Multipart bodies read as they stream in: each file is hashed and passed on as soon as it is complete.

Starlette's own parser (`request.form()`) writes every file to a temporary file in a thread and returns when the whole
body is read; here a file is a list of chunks in memory, at most `max_file_bytes` long, and goes to the image store
while the next one arrives. The syntax is parsed by python-multipart in both.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from astrolens.usecases.errors import MalformedUpload
from astrolens.usecases.intake import UploadedFile

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FILES = 256
"""Most files in one request: four of the 64 that the command line sends, and a bound for every list here."""

MAX_FIELD_BYTES = 1024 * 1024
"""Longest text field: the observations of 256 files fit many times over."""

MAX_FIELDS = 32
"""Most text fields in one request: three have a meaning."""

MAX_FIELDS_BYTES = 2 * MAX_FIELD_BYTES
"""Longest text fields of one request together, names included."""

MAX_HEADER_BYTES = 16 * 1024
"""Longest headers of one part."""


@dataclass
class _PartBuffer:
    name: str = ""
    filename: str | None = None
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class _PartReader:
    """Callbacks of the parser; finished files wait in `files` until the caller takes them."""

    def __init__(self, *, max_file_bytes: int) -> None:
        self._max_file_bytes = max_file_bytes
        self._part = _PartBuffer()
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._header_bytes = 0
        self._disposition = b""
        self._field_count = 0
        self._field_bytes = 0
        self.count = 0
        self.files: list[UploadedFile] = []
        self.fields: dict[str, str] = {}
        self.ended = False

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def _on_part_begin(self) -> None:
        self._part = _PartBuffer()
        self._disposition = b""
        self._header_bytes = 0

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._limit_headers(end - start)

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._limit_headers(end - start)

    def _limit_headers(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise MalformedUpload(f"the headers of a part are longer than {MAX_HEADER_BYTES} bytes")

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._part.name = options.get(b"name", b"").decode("utf-8", "replace")
        filename = options.get(b"filename")
        if filename is None:
            self._field_count += 1
            self._limit_fields(len(self._part.name))
            return
        self.count += 1
        if self.count > MAX_FILES:
            raise MalformedUpload(f"it holds more than {MAX_FILES} files: send them in several requests")
        self._part.filename = filename.decode("utf-8", "replace")

    def _limit_fields(self, size: int) -> None:
        self._field_bytes += size
        if self._field_count > MAX_FIELDS or self._field_bytes > MAX_FIELDS_BYTES:
            raise MalformedUpload(
                f"its text fields are more than {MAX_FIELDS}, or longer than {MAX_FIELDS_BYTES} bytes"
            )

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        chunk = data[start:end]
        part.size += len(chunk)
        if part.filename is None:
            if part.size > MAX_FIELD_BYTES:
                raise MalformedUpload(f"the field {part.name[:80]!r} is longer than {MAX_FIELD_BYTES} bytes")
            self._limit_fields(len(chunk))
            part.chunks.append(chunk)
            return
        part.digest.update(chunk)
        if part.size <= self._max_file_bytes:
            part.chunks.append(chunk)
        else:
            part.chunks.clear()

    def _on_part_end(self) -> None:
        part = self._part
        if part.filename is None:
            self.fields[part.name] = b"".join(part.chunks).decode("utf-8", "replace")
            return
        data = b"".join(part.chunks) if part.size <= self._max_file_bytes else None
        self.files.append(UploadedFile(part.filename, data, part.size, part.digest.hexdigest()))
        part.chunks = []

    def _on_end(self) -> None:
        self.ended = True


async def read_multipart(
    content_type: str,
    chunks: AsyncIterator[bytes],
    *,
    max_file_bytes: int,
    take: Callable[[list[UploadedFile]], Awaitable[None]],
) -> dict[str, str]:
    """Read a `multipart/form-data` body.

    Args:
        content_type: The request's header, with the boundary.
        chunks: The body.
        max_file_bytes: Longer files are read to their end, but their bytes are dropped.
        take: Called with the files finished so far, whenever there are some; reading waits for it.

    Returns:
        The text fields by name.

    Raises:
        MalformedUpload: The body cannot be read, or a bound is passed.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedUpload("its content type names no boundary")
    reader = _PartReader(max_file_bytes=max_file_bytes)
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
            if reader.files:
                files, reader.files = reader.files, []
                await take(files)
        parser.finalize()
    except FormParserError as error:
        raise MalformedUpload(str(error)) from error
    if not reader.ended:
        raise MalformedUpload("it ends before its closing boundary")
    return reader.fields
