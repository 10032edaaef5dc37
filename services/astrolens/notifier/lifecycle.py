"""The life of an alert: raised, updated, retracted; always under the same alert id. Pure functions.

An alert makes one claim: this image is an anomaly under this model at this calibration. A new analysis with the same
outcome *updates* its figures, one that is no anomaly *retracts* it, and one that is an anomaly again updates a
retracted alert. What was told already is not told again, so that every event may be handled twice.
"""

import base64
import re
from datetime import datetime
from typing import Final

from astrolens.contracts import topics
from astrolens.contracts.alerts import (
    ALERT_SCHEMA_VERSION,
    Alert,
    AlertDetector,
    AlertLink,
    AlertNearDuplicate,
    AlertProvenance,
    AlertTense,
    AlertType,
    Classification,
    ClassProbability,
)
from astrolens.contracts.events import producer
from astrolens.contracts.ids import alert_id, event_id
from astrolens.contracts.records import AlertRecord, Delivery, ImageRecord, Observation, PendingEvent
from astrolens.contracts.verdicts import Analysis, Verdict
from astrolens.notifier import packets

_PRODUCER: Final = producer("notifier")
_INT64_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_OBJECT_ID_COLUMN: Final = "object_id"
"""The column of a CSV, or the word of a source, that carries the survey's own number of an object."""


def tense_of(observation: Observation) -> AlertTense:
    """`injection` for a blind injection, `test` for the simulated sky, which is public and marked, else `current`."""
    if observation.injected:
        return "injection"
    return "test" if observation.simulated else "current"


def next_step(analysis: Analysis, standing: AlertRecord | None) -> AlertType | None:
    """What an analysis does to the alert about its image; None where there is nothing (more) to tell."""
    anomalous = analysis.verdict is Verdict.ANOMALY
    if standing is None:
        return "initial" if anomalous else None
    if (standing.model_digest, standing.calibration_id) == (analysis.model_digest, analysis.calibration_id):
        return None
    if anomalous:
        return "update"
    return None if standing.alert_type == "retraction" else "retraction"


def told_event_id(alert: str, revision: int, analysis: Analysis) -> str:
    """The id of one message: a function of the alert, its revision and the analysis it tells of."""
    return event_id("alerts", alert, str(revision), analysis.model_digest, analysis.calibration_id)


def new_record(
    image: ImageRecord, analysis: Analysis, *, raised_at: datetime, channels: tuple[str, ...]
) -> AlertRecord:
    """The record of an initial alert, without its messages.

    An injection has neither topic nor channels: people who could see it would not be blind to it.
    """
    tense = tense_of(image.observation)
    identifier = alert_id(image.image_id)
    blind = tense == "injection"
    return AlertRecord(
        alert_id=identifier,
        image_id=image.image_id,
        alert_tense=tense,
        survey=image.observation.survey,
        predicted_class=analysis.predicted_class,
        verdict=analysis.verdict,
        p_value=analysis.p_value,
        topic=None if blind else topics.alert_topic(image.observation.survey, topic_part(analysis.predicted_class)),
        raised_at=raised_at,
        event_id=None if blind else told_event_id(identifier, 0, analysis),
        model_digest=analysis.model_digest,
        calibration_id=analysis.calibration_id,
        deliveries=() if blind else tuple(Delivery(channel=channel) for channel in channels),
        undelivered=bool(channels) and not blind,
    )


def next_record(
    standing: AlertRecord,
    analysis: Analysis,
    *,
    alert_type: AlertType,
    updated_at: datetime,
    channels: tuple[str, ...],
) -> AlertRecord:
    """The record after an update or a retraction, without its messages.

    Topic and tense stay: who follows the topic of the initial alert must hear of its end. People are told when the
    claim falls or stands again, not when only its figures move.
    """
    revision = standing.revision + 1
    reversal = (alert_type == "retraction") != (standing.alert_type == "retraction")
    tell_people = reversal and standing.alert_tense != "injection"
    return standing.model_copy(
        update={
            "alert_type": alert_type,
            "predicted_class": analysis.predicted_class,
            "verdict": analysis.verdict,
            "p_value": analysis.p_value,
            "revision": revision,
            "event_id": None if standing.topic is None else told_event_id(standing.alert_id, revision, analysis),
            "model_digest": analysis.model_digest,
            "calibration_id": analysis.calibration_id,
            "updated_at": updated_at,
            "deliveries": tuple(Delivery(channel=channel) for channel in channels)
            if tell_people
            else standing.deliveries,
            "undelivered": bool(channels) if tell_people else standing.undelivered,
        }
    )


def messages(alert: Alert, topic: str, *, traceparent: str | None = None) -> tuple[PendingEvent, PendingEvent]:
    """The Avro packet and its JSON twin; both are the same message and carry the same event id.

    Args:
        alert: What to tell.
        topic: The public topic of the alert's Avro packets.
        traceparent: The trace context of the analysis it tells of; a header, never part of the alert.
    """
    return (
        PendingEvent(
            event_id=alert.event_id,
            topic=topic,
            key=alert.image_id,
            payload=base64.b64encode(packets.encode_packet(alert)).decode("ascii"),
            binary=True,
            content_type=packets.CONTENT_TYPE,
            traceparent=traceparent,
        ),
        PendingEvent(
            event_id=alert.event_id,
            topic=json_twin_topic(topic),
            key=alert.image_id,
            payload=packets.json_twin(alert),
            traceparent=traceparent,
        ),
    )


def json_twin_topic(topic: str) -> str:
    """The JSON topic beside a public topic: an alert keeps both for life, whatever its class becomes."""
    survey, _, predicted_class = topic.removeprefix("astrolens.alerts.").removesuffix(".v1").partition(".")
    return topics.alert_json_topic(survey, predicted_class)


def topic_part(name: str) -> str:
    """A class name as part of a topic name: lower case, and no dot, which separates the parts."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "unknown"


def public_alert(
    image: ImageRecord, analysis: Analysis, record: AlertRecord, *, cutout: bytes | None, published_at: datetime
) -> Alert:
    """The public alert that a record's last revision tells.

    Raises:
        ValueError: The record is not public.
    """
    if record.event_id is None:
        raise ValueError(f"alert {record.alert_id} is not public")
    seen = image.observation
    return Alert(
        schema_version=ALERT_SCHEMA_VERSION,
        producer=_PRODUCER,
        event_id=record.event_id,
        alert_id=record.alert_id,
        alert_type=record.alert_type,
        alert_tense=record.alert_tense,
        published_at=published_at,
        image_id=image.image_id,
        object_name=seen.name,
        survey_object_id=_object_id(seen),
        survey=seen.survey,
        source=image.source,
        simulated=seen.simulated,
        ra_deg=None if seen.position is None else seen.position.ra_deg,
        dec_deg=None if seen.position is None else seen.position.dec_deg,
        observed_at=seen.observed_at,
        pixel_scale_arcsec=seen.pixel_scale_arcsec,
        bands=seen.bands,
        credit=seen.credit,
        verdict=analysis.verdict,
        p_value=analysis.p_value,
        false_alarms_per_1000=1000.0 * analysis.p_value,
        predicted_class=analysis.predicted_class,
        detectors=tuple(
            AlertDetector(name=name, score=result.score, p_value=result.p_value)
            for name, result in sorted(analysis.detectors.items())
        ),
        classifications=(_classification(analysis),),
        near_duplicates=tuple(
            AlertNearDuplicate(image_id=alike.image_id, distance=alike.distance) for alike in image.near_duplicates
        ),
        provenance=_provenance(image, analysis),
        cutout=cutout,
        cutout_media_type=None if cutout is None else "image/jpeg",
        cutout_width=None if cutout is None else image.cutout.width,
        cutout_height=None if cutout is None else image.cutout.height,
        links=() if seen.url is None else (AlertLink(rel="original", href=seen.url),),
    )


def _classification(analysis: Analysis) -> Classification:
    ranked = sorted(analysis.class_probabilities.items(), key=lambda item: (-item[1], item[0]))
    return Classification(
        classifier_name=analysis.model_name,
        classifier_version=analysis.model_digest,
        classifications=tuple(
            ClassProbability(class_name=name, probability=min(max(probability, 0.0), 1.0))
            for name, probability in ranked
        ),
    )


def _provenance(image: ImageRecord, analysis: Analysis) -> AlertProvenance:
    return AlertProvenance(
        original_sha256=image.original.sha256,
        cutout_sha256=image.cutout.sha256,
        cutout_scale=image.cutout.scale,
        cutout_stretch=image.cutout.stretch,
        model_name=analysis.model_name,
        model_digest=analysis.model_digest,
        preprocessing_digest=analysis.preprocessing_digest,
        calibration_id=analysis.calibration_id,
        calibration_survey=analysis.calibration_survey,
        execution_provider=analysis.execution_provider,
        analyzed_at=analysis.analyzed_at,
    )


def _object_id(seen: Observation) -> int | None:
    text = seen.extra.get(_OBJECT_ID_COLUMN, "")
    number = int(text) if _INT64_DIGITS.fullmatch(text) else None
    return number if number is not None and number < 2**63 else None
