"""The stamps of an alert packet (science, template, difference) as one image of three planes.

Importing this module imports astropy.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astrolens.science.decoding import Decoded
from astrolens.science.decoding_fits import FitsImage, read_fits
from astrolens.science.deep_picture import deep_picture
from astrolens.science.facts import MAX_NOTES, FileFacts
from astrolens.science.file_kinds import FITS_MAGIC, other_kind
from astrolens.science.gunzip import gunzip
from astrolens.science.measuring import StoredPlanes
from astrolens.science.rejection import DecodeLimits, ImageRejected

_GZIP = b"\x1f\x8b"


def decode_stamps(
    stamps: Sequence[tuple[str, bytes]], limits: DecodeLimits, *, file: FileFacts, media_type: str
) -> Decoded:
    """Decode FITS stamps of one object, each in units of its own noise: the first red, then green, then blue.

    A stamp that cannot be read, or has another size than the first, is left out with a note. The survey has found
    something there, so that a faint object is not refused; its significance is recorded.

    Args:
        stamps: Name and content of one to three FITS files, gzipped or not.
        limits: Bounds on each.
        file: What the packet states; it wins over the headers of the stamps.
        media_type: Of the packet.

    Raises:
        ImageRejected: That of the first stamp where none can be read; `no-coverage` where none has values.
    """
    images: list[tuple[str, FitsImage]] = []
    notes = list(file.notes)
    first_refusal: ImageRejected | None = None
    for name, data in stamps[:3]:
        try:
            image = _read(data, limits)
        except ImageRejected as rejected:
            first_refusal = first_refusal or rejected
            notes.append(f"Its {name} stamp is left out: {rejected.detail}")
            continue
        if images and image.planes.values.shape != images[0][1].planes.values.shape:
            notes.append(f"Its {name} stamp is left out: its size is not that of the {images[0][0]} stamp.")
            continue
        images.append((name, image))
    if not images:
        raise first_refusal or ImageRejected("empty", "The packet holds no stamps.")
    names = tuple(name for name, _ in images)
    planes = StoredPlanes(np.stack([_physical(image.planes) for _, image in images]), names)
    deep = deep_picture(planes, limits, must_show_object=False)
    first = images[0][1]
    facts = replace(
        _completed(file, first.facts),
        axis_3="stamps",
        planes=names,
        notes=tuple(note[:240] for note in notes[:MAX_NOTES]),
    )
    orientation = first.orientation
    return Decoded(
        deep.picture,
        first.width,
        first.height,
        deep.stretch,
        media_type,
        orientation.words,
        orientation.north_angle_deg,
        orientation.turned,
        facts,
        deep.quality,
    )


def _read(data: bytes, limits: DecodeLimits) -> FitsImage:
    content: bytes | bytearray = data
    if data.startswith(_GZIP):
        content = gunzip(data, limits.max_inflated_bytes)
    if not content.startswith(FITS_MAGIC):
        raise ImageRejected("not-an-image", f"It is {other_kind(bytes(content[:600]))}; stamps are FITS.")
    return read_fits(content, limits, file_bytes=len(data))


def _physical(planes: StoredPlanes) -> NDArray[np.float64]:
    """The first plane in the unit of its header, [H, W], NaN where blank."""
    stored = planes.values[0]
    values = stored.astype(np.float64)
    if planes.blank is not None:
        values[stored == planes.blank] = np.nan
    physical: NDArray[np.float64] = values * planes.scale + planes.zero
    return physical


def _completed(file: FileFacts, header: FileFacts) -> FileFacts:
    """What the packet states, and of the rest what the header of a stamp does."""
    missing = {
        name: getattr(header, name)
        for name in ("pixel_scale_arcsec", "north_angle_deg", "mirrored", "bands", "observed_at", "time_source")
        if getattr(file, name) in (None, ())
    }
    if file.observed_at is not None:
        missing.pop("time_source", None)
    if file.ra_deg is None:
        missing |= {"ra_deg": header.ra_deg, "dec_deg": header.dec_deg, "frame": header.frame}
    return replace(file, **missing)
