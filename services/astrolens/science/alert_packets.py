"""Read an alert packet of ZTF or Rubin: an Avro container file with a science, a template and a difference image.

Schemas: ZTF 3.0 to 4.02 (https://zwickytransientfacility.github.io/ztf-avro-alert/), Rubin v10 and v11
(https://github.com/lsst/alert_packet). Fields are found by name, so that a minor version changes nothing.

Importing this module imports fastavro: `decoding` does so when the first packet comes.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import fastavro

from astrolens.science.facts import MAX_NOTE, MAX_TEXT, FileFacts
from astrolens.science.rejection import ImageRejected

_STAMPS: Final = (("science", "cutoutScience"), ("template", "cutoutTemplate"), ("difference", "cutoutDifference"))
_ZTF_BANDS: Final = {1: "g", 2: "r", 3: "i"}
_ZTF_PIXEL_ARCSEC: Final = 1.012
"""Bellm et al. (2019), PASP 131, 018002; the stamps carry no WCS."""
_RUBIN_PIXEL_ARCSEC: Final = 0.2
_MJD_EPOCH: Final = datetime(1858, 11, 17, tzinfo=UTC)
_JD_OF_MJD_0: Final = 2_400_000.5
_MJDS: Final = range(37_000, 125_000)
"""1960, when atomic time begins to differ from UTC by known amounts, to 2200."""

_ZTF_IDS: Final = ("candid", "pid", "programid", "field", "rcid")
_ZTF_MEASURES: Final = ("magpsf", "sigmapsf", "isdiffpos", "rb", "drb", "ndethist", "distnr", "ssnamenr", "classtar")
_RUBIN_IDS: Final = ("diaSourceId", "diaObjectId", "ssObjectId", "visit", "detector")
_RUBIN_MEASURES: Final = ("snr", "psfFlux", "psfFluxErr", "reliability", "extendedness", "isNegative")
_UNKNOWN: Final = frozenset({"", "null", "None", "nan", "-999", "-999.0"})
"""What packets write where they know nothing."""


@dataclass(frozen=True, slots=True)
class AlertPacket:
    """One alert.

    Attributes:
        stamps: Names and FITS files, gzipped or not; the science image first.
        facts: What the packet states.
        north_is_first: Whether the first row of a stamp is north and its first column east: ZTF's stamps, which have no
            WCS, are drawn so by its brokers.
    """

    stamps: tuple[tuple[str, bytes], ...]
    facts: FileFacts
    north_is_first: bool


def read_packet(data: bytes) -> AlertPacket:
    """Read one packet.

    Raises:
        ImageRejected: `not-an-image` where it is another Avro file, `several-packets`, `empty` without a science image,
            `truncated`, `unreadable`.
    """
    packet = _only_record(data)
    stamps: list[tuple[str, bytes]] = []
    notes: list[str] = []
    for name, field in _STAMPS:
        stored = packet.get(field)
        content = stored.get("stampData") if isinstance(stored, dict) else stored
        if isinstance(content, bytes) and content:
            stamps.append((name, content))
        elif name == "science":
            raise ImageRejected("empty", "The alert packet has no science image.")
        else:
            notes.append(f"The packet has no {name} image.")
    if isinstance(packet.get("candidate"), dict):
        return AlertPacket(tuple(stamps), _ztf_facts(packet, packet["candidate"], notes), north_is_first=True)
    if isinstance(packet.get("diaSource"), dict):
        return AlertPacket(tuple(stamps), _rubin_facts(packet, packet["diaSource"], notes), north_is_first=False)
    raise ImageRejected(
        "not-an-image",
        "It is an alert packet of an unknown survey; those of ZTF (candidate) and Rubin (diaSource) are read.",
    )


def _only_record(data: bytes) -> dict[str, Any]:
    try:
        reader = fastavro.reader(io.BytesIO(data))
        packet = next(reader, None)
        count = 0 if packet is None else 1 + sum(1 for _ in reader)
    except (MemoryError, RecursionError):
        raise
    except EOFError:
        raise ImageRejected("truncated", "The Avro data end too early.") from None
    except Exception as error:  # noqa: BLE001 - a damaged file makes the decoder raise errors of any class
        detail = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise ImageRejected("unreadable", f"The Avro data are damaged: {detail}.") from None
    if packet is None:
        raise ImageRejected("empty", "The Avro file holds no record.")
    if not isinstance(packet, dict) or not any(field in packet for _, field in _STAMPS):
        raise _other_avro(reader.writer_schema)
    if count > 1:
        raise ImageRejected(
            "several-packets", f"It holds {count} alert packets; `astrolens ingest` sends each of them by itself."
        )
    return packet


def _other_avro(schema: Any) -> ImageRejected:
    name = str(schema.get("name", "unnamed"))[:60] if isinstance(schema, dict) else str(schema)[:60]
    return ImageRejected(
        "not-an-image",
        f"It is an Avro file of {name!r} records; alert packets are read, which have cutoutScience, cutoutTemplate and "
        "cutoutDifference.",
    )


def _ztf_facts(packet: Mapping[str, Any], candidate: Mapping[str, Any], notes: list[str]) -> FileFacts:
    found = {"object_id": packet.get("objectId"), "candid": packet.get("candid")}
    found |= {key: candidate[key] for key in _ZTF_IDS if candidate.get(key) is not None}
    found |= {key: candidate.get(key) for key in _ZTF_MEASURES}
    ra_deg, dec_deg = _position(candidate, notes)
    jd = _number(candidate.get("jd"))
    return FileFacts(
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        frame="ICRS",
        pixel_scale_arcsec=_ZTF_PIXEL_ARCSEC,
        # First row at the bottom, as FITS is drawn: north is down, east to the left.
        north_angle_deg=180.0,
        mirrored=True,
        name=_text(packet.get("objectId")),
        survey="ztf",
        bands=_bands(_ZTF_BANDS.get(_key(candidate.get("fid")))),
        observed_at=None if jd is None else _utc(jd - _JD_OF_MJD_0, "utc", notes),
        time_source="jd (UTC)",
        extra=_extra({**found, "publisher": packet.get("publisher"), "schema_version": packet.get("schemavsn")}),
        notes=_bounded(notes),
    )


def _rubin_facts(packet: Mapping[str, Any], source: Mapping[str, Any], notes: list[str]) -> FileFacts:
    ids = {key: source.get(key) for key in _RUBIN_IDS}
    identity = next((ids[key] for key in ("diaObjectId", "ssObjectId", "diaSourceId") if ids[key]), None)
    found = {"object_id": identity, **ids, **{key: source.get(key) for key in _RUBIN_MEASURES}}
    ra_deg, dec_deg = _position(source, notes)
    mjd = _number(source.get("midpointMjdTai"))
    return FileFacts(
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        frame="ICRS",
        pixel_scale_arcsec=_RUBIN_PIXEL_ARCSEC,
        name=_text(packet.get("target_name")),
        survey="lsst",
        bands=_bands(source.get("band")),
        observed_at=None if mjd is None else _utc(mjd, "tai", notes),
        time_source="midpointMjdTai (TAI)",
        extra=_extra({**found, "observation_reason": packet.get("observation_reason")}),
        notes=_bounded(notes),
    )


def _position(record: Mapping[str, Any], notes: list[str]) -> tuple[float | None, float | None]:
    ra, dec = _number(record.get("ra")), _number(record.get("dec"))
    if ra is None or dec is None or not (0.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0):
        notes.append(f"The packet's position {str(record.get('ra'))[:20]} {str(record.get('dec'))[:20]} is none.")
        return None, None
    return ra % 360.0, dec


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _key(value: Any) -> int:
    return value if isinstance(value, int) else -1


def _text(value: Any) -> str | None:
    # Lone surrogates and the like cannot be stored.
    text = str(value)[:MAX_TEXT].encode("utf-8", "replace").decode()
    return None if value is None or text in _UNKNOWN else text


def _bands(band: Any) -> tuple[str, ...]:
    text = _text(band)
    return () if text is None else (text,)


def _extra(values: Mapping[str, Any]) -> dict[str, str]:
    """Further metadata as text: integers with all their digits, floats with those of single precision."""
    texts = {key: _text(f"{value:.7g}" if isinstance(value, float) else value) for key, value in values.items()}
    return {key: text for key, text in texts.items() if text is not None}


def _bounded(notes: list[str]) -> tuple[str, ...]:
    return tuple(note[:MAX_NOTE] for note in notes)


def _utc(mjd: float, scale: str, notes: list[str]) -> str | None:
    """A modified Julian date as ISO 8601 text in UTC, to a millisecond: a double of a JD is good to 40 microseconds."""
    if int(mjd) not in _MJDS:
        notes.append(f"The packet's time, MJD {mjd:.7g}, is none of an observation.")
        return None
    moment = _MJD_EPOCH + timedelta(milliseconds=round(mjd * 86_400_000))
    if scale == "tai":
        from astropy.time import Time  # noqa: PLC0415 - its import takes half a second

        moment = Time(moment.replace(tzinfo=None), scale="tai").utc.to_datetime(timezone=UTC)
    return moment.isoformat(timespec="milliseconds")
