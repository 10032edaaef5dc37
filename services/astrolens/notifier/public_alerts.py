"""The public form of an alert: its message on the Avro topic and on the JSON topic. Pure functions."""

import base64
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from astrolens.contracts import topics
from astrolens.contracts.alerts import (
    ALERT_SCHEMA_VERSION,
    Alert,
    AlertDetector,
    AlertKind,
    AlertLink,
    AlertNearDuplicate,
    AlertProvenance,
    AlertSighting,
    Classification,
    ClassProbability,
)
from astrolens.contracts.crossmatch import Crossmatch
from astrolens.contracts.events import producer
from astrolens.contracts.ids import alert_id, derived_id
from astrolens.contracts.kinds import distinguishable_kinds
from astrolens.contracts.records import OBJECT_ID_KEYS, AlertRecord, ImageRecord, Observation, PendingEvent
from astrolens.contracts.sky import separation_arcsec
from astrolens.contracts.verdicts import Analysis
from astrolens.notifier import packets
from astrolens.notifier.sightings import Sighting
from astrolens.platform.bus.payload import require_publishable
from astrolens.platform.errors import PermanentError

_PRODUCER: Final = producer("notifier")
_WITHOUT_PICTURES: Final = {
    "near_duplicates": (),
    "cutout": None,
    "cutout_media_type": None,
    "cutout_width": None,
    "cutout_height": None,
}
_INT64_DIGITS: Final = re.compile(r"[0-9]{1,19}")


def messages(alert: Alert, topic: str, *, traceparent: str | None = None) -> tuple[PendingEvent, PendingEvent]:
    """The alert as an Avro packet and as JSON: the same message twice, published under the same event id.

    Args:
        alert: The alert to publish.
        topic: The public topic of the alert's Avro packets.
        traceparent: The trace context of the analysis; it becomes a header, never part of the alert.
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
            event_id=derived_id("json", alert.event_id),
            published_id=alert.event_id,
            topic=_json_topic(topic),
            key=alert.image_id,
            payload=packets.encode_json(alert),
            traceparent=traceparent,
        ),
    )


def publishable_messages(
    alert: Alert, topic: str, *, traceparent: str | None = None
) -> tuple[PendingEvent, PendingEvent]:
    """As `messages`, but no larger than the broker takes: near-duplicates are left out first, then the cutout.

    Raises:
        PermanentError: The alert is too large without them, too.
    """
    for left_out in ({}, {"near_duplicates": ()}, _WITHOUT_PICTURES):
        found = messages(alert.model_copy(update=left_out), topic, traceparent=traceparent)
        try:
            require_publishable(found)
        except PermanentError as error:
            too_large = error
        else:
            return found
    raise too_large


def _json_topic(topic: str) -> str:
    """The JSON topic of a public topic. An alert keeps both topics, even when its predicted class changes."""
    survey, _, predicted_class = topic.removeprefix("astrolens.alerts.").removesuffix(".v1").partition(".")
    return topics.alert_json_topic(survey, predicted_class)


def public_alert(
    image: ImageRecord,
    analysis: Analysis,
    found: Crossmatch,
    record: AlertRecord,
    *,
    sightings: Sequence[Sighting] = (),
    cutout: bytes | None,
    published_at: datetime,
) -> Alert:
    """The public alert of a record's last revision.

    Raises:
        ValueError: The record is not public.
    """
    if record.event_id is None or record.alert_tense == "withheld":
        raise ValueError(f"alert {record.alert_id} is not public")
    observation = image.observation
    return Alert(
        schema_version=ALERT_SCHEMA_VERSION,
        producer=_PRODUCER,
        event_id=record.event_id,
        alert_id=record.alert_id,
        alert_type=record.alert_type,
        alert_tense=record.alert_tense,
        published_at=published_at,
        image_id=image.image_id,
        object_name=observation.name,
        survey_object_id=_object_id(observation),
        survey=observation.survey,
        source=image.source,
        simulated=observation.simulated,
        ra_deg=None if observation.position is None else observation.position.ra_deg,
        dec_deg=None if observation.position is None else observation.position.dec_deg,
        observed_at=observation.observed_at,
        pixel_scale_arcsec=observation.pixel_scale_arcsec,
        bands=observation.bands,
        credit=observation.credit,
        verdict=analysis.verdict,
        p_value=analysis.p_value,
        p_value_at_most=analysis.p_value_at_most,
        calibration_images=analysis.calibration_images,
        calibration_fit=analysis.calibration_fit,
        rank_score=analysis.rank_score,
        kinds=_kinds(analysis),
        false_alarms_per_1000=1000.0
        * (analysis.p_value if analysis.adjusted_p_value is None else analysis.adjusted_p_value),
        predicted_class=analysis.predicted_class,
        detectors=tuple(
            AlertDetector(name=name, score=result.score, p_value=result.p_value, at_most=result.at_most)
            for name, result in sorted(analysis.detectors.items())
        ),
        classifications=(_classification(analysis),),
        crossmatch_status=found.status,
        crossmatch_reason=found.reason.detail,
        crossmatch_revision=record.crossmatch_revision,
        possible_discovery=found.possible_discovery,
        literature_references=found.references,
        catalogues=found.answers,
        label=record.label,
        labeled_by=record.labeled_by,
        object_id=record.object_id,
        sightings=tuple(_sighting(each, observation) for each in sightings),
        tags=record.tags,
        late=record.late,
        near_duplicates=tuple(
            AlertNearDuplicate(image_id=duplicate.image_id, distance=duplicate.distance)
            for duplicate in image.near_duplicates
        ),
        provenance=_provenance(image, analysis),
        cutout=cutout,
        cutout_media_type=None if cutout is None else "image/jpeg",
        cutout_width=None if cutout is None else image.cutout.width,
        cutout_height=None if cutout is None else image.cutout.height,
        links=() if observation.url is None else (AlertLink(rel="original", href=observation.url),),
    )


def _sighting(found: Sighting, observation: Observation) -> AlertSighting:
    image, here, there = found.image, observation.position, found.image.observation.position
    return AlertSighting(
        image_id=image.image_id,
        survey=image.observation.survey,
        observed_at=image.observation.observed_at,
        verdict=image.verdict,
        separation_arcsec=None
        if here is None or there is None
        else separation_arcsec((here.x, here.y, here.z), (there.x, there.y, there.z)),
        alert_id=alert_id(image.image_id) if found.alerted else None,
        earlier=found.earlier,
    )


def _kinds(analysis: Analysis) -> tuple[AlertKind, ...]:
    ranked = sorted(distinguishable_kinds(analysis.kinds).items(), key=lambda item: (-item[1], item[0]))
    return tuple(AlertKind(kind=kind, probability=min(max(share, 0.0), 1.0)) for kind, share in ranked)


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


def _object_id(observation: Observation) -> int | None:
    given = {key.lower(): value for key, value in observation.extra.items()}
    for key in OBJECT_ID_KEYS:
        if _INT64_DIGITS.fullmatch(text := given.get(key, "")) and (number := int(text)) < 2**63:
            return number
    return None
