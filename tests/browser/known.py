"""What the made-up archive knows besides verdicts: what a file states, and what catalogues say."""

from datetime import datetime, timedelta
from typing import Any

from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.crossmatch import Crossmatch, CrossmatchRecord
from astrolens.contracts.image_files import FileHeader, PixelQuality
from astrolens.contracts.records import ImageRecord, LaterArrival, Reason
from astrolens.contracts.verdicts import Verdict

STATED = 1
"""The image whose file states much, and whose object is on another image."""
SEEN_AGAIN = 5
STATED_PLACE = {"ra_deg": 120.5, "dec_deg": 20.25}
STATED_ORIENTATION: dict[str, Any] = {
    "orientation": "north 12.0 degrees left of up, east left: it is turned by quarter turns only",
    "north_angle_deg": 12.0,
}


def stated(at: datetime) -> dict[str, Any]:
    """What the file of one image states, what was measured, and what a later arrival knew."""
    return {
        "origins": {"position": "given", "pixel_scale_arcsec": "header", "observed_at": "header", "bands": "header"},
        "header": FileHeader(
            ra_deg=STATED_PLACE["ra_deg"],
            dec_deg=STATED_PLACE["dec_deg"] + 12 / 3600,
            frame="fk5",
            pixel_scale_arcsec=0.396,
            time_source="DATE-OBS, UTC",
            bands=("g", "r", "i"),
            axis_3="assumed-bands",
            planes=("i", "r", "g"),
            image="SCI",
            images=("SCI", "ERR", "DQ"),
            notes=("CTYPE3 is missing: <b>three</b> planes are taken for bands",),
        ),
        "quality": PixelQuality(masked_share=0.031, coverage={"g": 0.969, "r": 1.0, "i": 1.0}, significance=6.4),
        "later": (
            LaterArrival(
                receipt_id="l" * 32,
                source="upload",
                ref="table.csv",
                at=at,
                filled=("credit",),
                conflicting={"position": "120.51 +20.25"},
            ),
        ),
    }


def catalogues(now: datetime) -> dict[str, Any]:
    """Catalogues as the crossref service tells of them: one works, one is left alone, one is on this machine."""
    works = {"breaker": "closed", "reason": None, "latency_s": 0.34, "release": "live"}
    away = {"breaker": "open", "reason": "ned.example: no connection", "release": "objdir"}
    local = {"release": "2023-12-13", "local": True, "rows": 13992, "credit": "OpenNGC, CC-BY-SA-4.0"}
    at = {"canary_at": (now - timedelta(minutes=7)).isoformat(), "last_answer_at": now.isoformat()}
    return {
        "simbad": {"required": True, "host": "simbad.example", **works, **at},
        "ned": {
            "required": True,
            "host": "ned.example",
            **away,
            **at,
            "retry_at": (now + timedelta(minutes=4)).isoformat(),
        },
        "openngc": {"required": False, "host": "this machine", "breaker": "closed", "reason": None, **local},
    }


def crossmatch(image: ImageRecord) -> CrossmatchRecord:
    """What the catalogues said of a candidate."""
    return CrossmatchRecord(
        image_id=image.image_id,
        survey=image.observation.survey,
        model_digest="ab" * 32,
        calibration_id="first-light-1@10.0",
        predicted_class=str(image.predicted_class),
        verdict=image.verdict or Verdict.ANOMALY,
        analyzed_at=image.analyzed_at or image.ingested_at,
        status=image.crossmatch_status or CrossmatchStatus.UNDETERMINED,
        crossmatch=Crossmatch(
            status=image.crossmatch_status or CrossmatchStatus.UNDETERMINED,
            reason=Reason(code="made-up", detail="this archive is made up"),
        ),
        created_at=image.ingested_at,
        next_try_at=image.ingested_at if image.crossmatch_status is CrossmatchStatus.UNDETERMINED else None,
    )
