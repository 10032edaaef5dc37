"""Alert packets with made pixels, in the schemas of ZTF and Rubin as far as they are read."""

import gzip
import io
from typing import Any

import fastavro
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SIDE = 63
CANDID = 2695378462115010012
"""Beyond 2^53, where a double loses digits."""

_CUTOUT = {
    "type": "record",
    "name": "cutout",
    "fields": [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}],
}


def _optional(kind: Any) -> list[Any]:
    return ["null", kind]


def ztf_schema(version: str = "4.02") -> dict[str, Any]:
    """The fields of a ZTF packet that matter."""
    numbers = {"jd": "double", "fid": "int", "pid": "long", "candid": "long", "ra": "double", "dec": "double"}
    measured = {"magpsf": _optional("float"), "rb": _optional("float"), "drb": _optional("float")}
    words = {"isdiffpos": "string", "ssnamenr": _optional("string"), "programid": "int"}
    kinds = {**numbers, **measured, **words}
    candidate = {
        "type": "record",
        "name": "candidate",
        "fields": [{"name": name, "type": kind} for name, kind in kinds.items()],
    }
    cutouts = [{"name": f"cutout{name}", "type": _optional("cutout")} for name in ("Template", "Difference")]
    top = [{"name": name, "type": "string"} for name in ("schemavsn", "publisher", "objectId")]
    return {
        "type": "record",
        "name": "alert",
        "namespace": "ztf",
        "doc": f"schema {version}",
        "fields": [
            *top,
            *([] if version.startswith("3.0") else [{"name": "candid", "type": "long"}]),
            {"name": "candidate", "type": candidate},
            {"name": "cutoutScience", "type": _optional(_CUTOUT)},
            *cutouts,
        ],
    }


def rubin_schema(version: str = "v11_0") -> dict[str, Any]:
    """The fields of a Rubin packet that matter."""
    kinds = {
        **dict.fromkeys(("diaSourceId", "visit"), "long"),
        **dict.fromkeys(("diaObjectId", "ssObjectId"), _optional("long")),
        **dict.fromkeys(("midpointMjdTai", "ra", "dec"), "double"),
        "detector": "int",
        "snr": _optional("float"),
        "reliability": _optional("float"),
        "band": _optional("string"),
    }
    source = {
        "type": "record",
        "name": "diaSource",
        "fields": [{"name": name, "type": kind} for name, kind in kinds.items()],
    }
    return {
        "type": "record",
        "name": "alert",
        "namespace": f"lsst.{version}",
        "fields": [
            {"name": "diaSourceId", "type": "long"},
            {"name": "target_name", "type": _optional("string")},
            {"name": "diaSource", "type": source},
            *({"name": f"cutout{name}", "type": _optional("bytes")} for name in ("Difference", "Science", "Template")),
        ],
    }


def stamp(
    *sources: tuple[int, int, float], seed: int = 0, side: int = SIDE, header: fits.Header | None = None
) -> bytes:
    """A FITS image of noise with round sources at (row, column, peak in sigma); the first row comes first."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    pixels = rng.normal(100.0, 1.0, (side, side))
    for row, column, peak in sources:
        pixels += peak * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * 1.5**2))
    buffer = io.BytesIO()
    fits.PrimaryHDU(pixels.astype(">f4"), header).writeto(buffer)
    return buffer.getvalue()


def ztf_record(**changes: Any) -> dict[str, Any]:
    """A record: a star at row 20, column 40 in science and template, something new at row 31, column 31."""
    star, new = (20, 40, 200.0), (31, 31, 200.0)
    cutouts = {
        "Science": stamp(star, new, seed=1),
        "Template": stamp(star, seed=2),
        "Difference": stamp(new, seed=3),
    }
    candidate = {"jd": 2458644.92, "fid": 2, "pid": 2695378462115, "candid": CANDID, "ra": 359.9999, "dec": -0.2083}
    candidate |= {"magpsf": 18.25, "rb": 0.75, "drb": None, "isdiffpos": "t", "ssnamenr": "null", "programid": 1}
    return {
        "schemavsn": "4.02",
        "publisher": "ZTF (www.ztf.caltech.edu)",
        "objectId": "ZTF19abcdefg",
        "candid": CANDID,
        "candidate": candidate,
        **{
            f"cutout{name}": {"fileName": f"{name}.fits.gz", "stampData": gzip.compress(data, mtime=0)}
            for name, data in cutouts.items()
        },
        **changes,
    }


def rubin_record(**changes: Any) -> dict[str, Any]:
    """A record whose stamps have a WCS with north at the left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [351.570546978, 0.126243049656]
    wcs.wcs.crpix = [(SIDE + 1) / 2, (SIDE + 1) / 2]
    scale = 0.2 / 3600
    wcs.wcs.cd = np.array([[0.0, -scale], [-scale, 0.0]])
    header = wcs.to_header(relax=True)
    star, new = (20, 40, 200.0), (31, 31, 200.0)
    source = {"diaSourceId": 281323062375219200, "visit": 2025081500001, "diaObjectId": 281323062375219201}
    source |= {"ssObjectId": None, "midpointMjdTai": 60902.993305483615, "ra": 351.570546978, "dec": 0.126243049656}
    source |= {"detector": 42, "snr": 41.1, "reliability": 0.95, "band": "r"}
    return {
        "diaSourceId": 281323062375219200,
        "target_name": None,
        "diaSource": source,
        "cutoutScience": stamp(star, new, seed=1, header=header),
        "cutoutTemplate": stamp(star, seed=2, header=header),
        "cutoutDifference": stamp(new, seed=3, header=header),
        **changes,
    }


def packet(*records: dict[str, Any], schema: dict[str, Any] | None = None, codec: str = "null") -> bytes:
    """An Avro container file of these records."""
    chosen = schema or (rubin_schema() if "diaSource" in records[0] else ztf_schema())
    buffer = io.BytesIO()
    fastavro.writer(buffer, fastavro.parse_schema(chosen), records, codec=codec, sync_marker=b"0123456789abcdef")
    return buffer.getvalue()


def message(record: dict[str, Any], schema_id: int) -> bytes:
    """A record in the wire format of a schema registry."""
    body = io.BytesIO()
    schema = rubin_schema() if "diaSource" in record else ztf_schema()
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), record)
    return b"\x00" + schema_id.to_bytes(4, "big") + body.getvalue()
