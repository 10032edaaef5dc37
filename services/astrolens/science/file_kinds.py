"""What a file is by its first bytes: the formats that are read, and the names of others."""

from astrolens.science.rejection import ImageRejected

FITS_MAGIC = b"SIMPLE  ="
AVRO_MAGIC = b"Obj\x01"
AVRO = "application/avro"
"""Alert packets."""

ACCEPTED = "JPEG, PNG, TIFF, FITS and alert packets are read"

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"II+\x00", "image/tiff"),
    (b"MM\x00+", "image/tiff"),
    (FITS_MAGIC, "image/fits"),
    (b"\x1f\x8b", "application/gzip"),
    (AVRO_MAGIC, AVRO),
)
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"<?xml", "an XML file"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"<", "a web page or XML"),
    (b"{", "JSON text"),
    (b"[", "JSON text"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"RIFF", "a RIFF file (WebP, WAV or AVI)"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"CDF\x01", "a NetCDF file"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop document"),
    (b"XISF0100", "an XISF image"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
)
_MESSAGE = "an alert message in the wire format of a schema registry"
_GZIP_MAGIC = b"\x1f\x8b\x08"
_ADVICE = {
    _MESSAGE: "`astrolens ingest --schema FILE` adds the schema, from an .avsc file or from a packet that has it",
    "a GIF picture": "save it as PNG",
    "a BMP picture": "save it as PNG",
    "a JPEG 2000 picture": "save it as PNG or TIFF",
    "a JPEG XL picture": "save it as PNG",
    "an XISF image": "save it as FITS",
    "a NumPy array": "save it as FITS or TIFF",
    "an HDF5 file": "save its image as FITS",
    "a bzip2 archive": "unpack it, or use gzip",
    "an xz archive": "unpack it, or use gzip",
    "a Zstandard archive": "unpack it, or use gzip",
    "a ZIP archive": "unpack it",
}
_TAR_AT = 257
_HEIF = frozenset({b"ftypheic", b"ftypheix", b"ftypavif", b"ftypmif1"})


def media_type_of(data: bytes) -> str:
    """The media type of a file by its first bytes.

    Raises:
        ImageRejected: `not-an-image`, naming what it is.
    """
    for magic, media_type in _SIGNATURES:
        if data.startswith(magic):
            return media_type
    kind = other_kind(data)
    wanted = _ADVICE.get(kind) or (_ADVICE[_MESSAGE] if kind.startswith(_MESSAGE) else "")
    advice = f": {wanted}" if wanted else ""
    raise ImageRejected("not-an-image", f"It is {kind}; {ACCEPTED}{advice}.")


def other_kind(data: bytes) -> str:
    """What a file is that is no image, with its article."""
    head = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    lowered = head.lower()
    if b"<votable" in lowered:
        return "a VOTable"
    for magic, media_type in _SIGNATURES:
        if data.startswith(magic):
            return f"a file of type {media_type}"
    # Markup is written in any case.
    named = (name for magic, name in _OTHERS if (lowered if magic.startswith(b"<") else head).startswith(magic))
    return next(named, "") or _unnamed(data, head)


def _message_schema(data: bytes) -> int | None:
    """The number of its schema where bytes are a message in a schema registry's wire format with stamps in it."""
    stamps = data[:1] == b"\x00" and (FITS_MAGIC in data or _GZIP_MAGIC in data)
    return int.from_bytes(data[1:5], "big") if stamps else None


def _unnamed(data: bytes, head: bytes) -> str:
    if data[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return "a tar archive"
    if data[4:12] in _HEIF:
        return "a HEIF or AVIF picture"
    if (schema := _message_schema(data)) is not None:
        # Rubin numbers its schemas so.
        version = f", v{schema // 100}.{schema % 100} of Rubin" if 100 <= schema < 10_000 else ""
        return f"{_MESSAGE} (schema {schema}{version}) without its schema"
    if data.startswith(b"SIMPLE"):
        return "a FITS file whose first card is not `SIMPLE  =`"
    if head.isascii() and b"\x00" not in head:
        return "text" if head else "an empty file"
    return f"of an unknown kind (its first bytes are {data[:4].hex(' ')})"
