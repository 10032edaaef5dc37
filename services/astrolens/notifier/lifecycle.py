"""The life cycle of an alert: raised, updated, retracted, always under the same alert id. Pure functions.

An alert claims that an image is an anomaly under one model at one calibration. A later analysis with the same outcome
*updates* its figures, where they are other ones; one that finds no anomaly *retracts* it, and one that finds an anomaly
again updates the retracted alert. A late answer of a catalogue updates it as well: an anomaly stays one, also where its
object is known. A person's answer counts more than the model: *artefact* and *ordinary* retract the alert,
*interesting* updates it.
What the alert already reflects requires nothing, so that events may be handled twice.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Literal

from astrolens.contracts import topics
from astrolens.contracts.alert_holds import alert_hold
from astrolens.contracts.alerts import AlertType
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.crossmatch import Crossmatch
from astrolens.contracts.data_rights import is_unreleased
from astrolens.contracts.ids import alert_id, content_digest, event_id
from astrolens.contracts.records import (
    MAX_EARLIER_MESSAGES,
    AlertMessage,
    AlertOccasion,
    AlertRecord,
    Answer,
    Delivery,
    ImageRecord,
    Label,
)
from astrolens.contracts.surveys import OTHER_SURVEYS, SOURCE_SURVEYS
from astrolens.contracts.verdicts import Analysis, Verdict

Tense = Literal["current", "test", "injection", "withheld"]

NEVER_PUBLIC: Final = frozenset({"injection", "withheld"})
"""Tenses of alerts that have neither topic nor channels."""


def tense_of(image: ImageRecord, *, publish_unreleased: bool = False) -> Tense:
    """What kind of an alert an image gives.

    `injection` for a blind injection, `test` for the simulated sky, which is public and marked, `withheld` for data
    that their survey has not released, else `current`.
    """
    if image.observation.injected:
        return "injection"
    if image.observation.simulated:
        return "test"
    return "withheld" if is_unreleased(image) and not publish_unreleased else "current"


REFUTING: Final = frozenset({Answer.ARTEFACT, Answer.ORDINARY})
"""Labels of images that are no discovery, whatever the model says."""


def next_alert_type(
    analysis: Analysis,
    current: AlertRecord | None,
    *,
    label: Answer | None = None,
    tags: tuple[str, ...] = (),
    matched: int = 0,
) -> AlertType | None:
    """What an analysis and a label make of the alert about their image; None where the alert already reflects them.

    An anomaly whose calibration promises no rate of false alarms raises none, and retracts one; see `alert_hold`.

    Args:
        analysis: The analysis of the image.
        current: The alert as it is.
        label: What a person said of the image.
        tags: The tags that came with it.
        matched: Revision of the image's cross-match, 0 where there is none.
    """
    anomalous = analysis.verdict is Verdict.ANOMALY and alert_hold(analysis) is None and label not in REFUTING
    if current is None:
        return "initial" if anomalous else None
    same_analysis = (current.model_digest, current.calibration_id) == (analysis.model_digest, analysis.calibration_id)
    same_answer = label is current.label and tags == current.tags
    if same_analysis and matched <= current.crossmatch_revision and same_answer:
        return None
    if anomalous:
        return "update"
    return None if current.alert_type == "retraction" else "retraction"


def is_outdated(
    current: AlertRecord | None,
    analyzed_at: datetime,
    *,
    label: Answer | None = None,
    tags: tuple[str, ...] = (),
    matched: int = 0,
) -> bool:
    """Whether an image was analysed after the last revision of its alert, so that the event of that analysis was lost.

    The same holds for a late answer of a catalogue, whose revision (`matched`) is newer than the one in the alert, and
    for a label that is another, and for other tags of an alert that stands.

    That is the only trace of a lost event: who writes a revision has read the newest analysis, so a revision that is
    newer than the analysis has nothing to learn from it, whatever model either of them names. An image without an
    alert counts as outdated. A record that does not name the analysis it reflects does not: it cannot be compared.
    """
    if current is None:
        return True
    if current.model_digest is None:
        return False
    if matched > current.crossmatch_revision or label is not current.label:
        return True
    if tags != current.tags and current.alert_type != "retraction":
        return True
    return analyzed_at > max(current.updated_at or current.raised_at, current.confirmed_at or current.raised_at)


def statement_of(image: ImageRecord, analysis: Analysis, found: Crossmatch) -> str:
    """Digest of what a message about an image tells its readers: other ids and other words for the same are no news."""
    observation = image.observation
    said = (
        observation.position,
        observation.observed_at,
        analysis.model_digest,
        analysis.adjusted_p_value,
        *_figures(analysis).values(),
        *_label(image).values(),
        *found.statement,
    )
    return content_digest(repr(said).encode())


def is_unchanged(current: AlertRecord, statement: str) -> bool:
    """Whether the alert stands, and its last message told the same."""
    return current.alert_type != "retraction" and current.statement == statement


def confirmed_record(
    current: AlertRecord, analysis: Analysis, *, match_revision: int, confirmed_at: datetime
) -> AlertRecord:
    """The record after an analysis or the catalogues said the same again: nobody is told."""
    return current.model_copy(
        update={
            "model_digest": analysis.model_digest,
            "calibration_id": analysis.calibration_id,
            "crossmatch_revision": match_revision,
            "confirmed_at": confirmed_at,
            "pending": (),
        }
    )


def message_event_id(alert: str, revision: int, analysis: Analysis) -> str:
    """The id of one message: a function of the alert, its revision and the analysis."""
    return event_id("alerts", alert, str(revision), analysis.model_digest, analysis.calibration_id)


def new_record(
    image: ImageRecord,
    analysis: Analysis,
    found: Crossmatch,
    *,
    match_revision: int,
    raised_at: datetime,
    channels: tuple[str, ...],
    seen_before: int = 0,
    surveys: frozenset[str] = frozenset(),
    publish_unreleased: bool = False,
) -> AlertRecord:
    """The record of an initial alert, without its messages.

    An injection has neither topic nor channels: labels of people who saw it would not be blind. Nor have data that
    their survey has not released.

    Args:
        image: What the alert is about.
        analysis: Its analysis.
        found: What the catalogues said of its place.
        match_revision: Revision of that, 0 where nobody asked them.
        raised_at: The present time.
        channels: Names of the channels that it is delivered to.
        seen_before: Public images of its object that came before it.
        surveys: The surveys of the settings that have alert topics of their own.
        publish_unreleased: Whether data that their survey has not released are published.
    """
    tense = tense_of(image, publish_unreleased=publish_unreleased)
    identifier = alert_id(image.image_id)
    silent = tense in NEVER_PUBLIC
    return AlertRecord(
        alert_id=identifier,
        image_id=image.image_id,
        alert_tense=tense,
        survey=image.observation.survey,
        **_figures(analysis),
        topic=None if silent else _topic(image.observation.survey, analysis, surveys),
        **_match(found, match_revision),
        **_label(image),
        object_id=image.object_id,
        seen_before=seen_before,
        late=image.late_by is not None,
        raised_at=raised_at,
        event_id=None if silent else message_event_id(identifier, 0, analysis),
        model_digest=analysis.model_digest,
        calibration_id=analysis.calibration_id,
        statement=statement_of(image, analysis, found),
        deliveries=() if silent else tuple(Delivery(channel=channel) for channel in channels),
        undelivered=bool(channels) and not silent,
    )


def next_record(
    current: AlertRecord,
    image: ImageRecord,
    analysis: Analysis,
    found: Crossmatch,
    *,
    match_revision: int,
    alert_type: AlertType,
    updated_at: datetime,
    channels: tuple[str, ...],
    seen_before: int = 0,
    publish_unreleased: bool = False,
) -> AlertRecord:
    """The record after an update or a retraction, without its messages.

    Topic and tense stay, so that readers of the initial alert's topic also receive its retraction. Channels get a
    message when the alert is retracted or an anomaly again, and when it becomes a possible discovery or is none any
    more, not when only its figures change. Where it turns out that the survey has not released the data, nothing more
    is told to anybody.
    """
    if tense_of(image, publish_unreleased=publish_unreleased) == "withheld" and current.alert_tense != "withheld":
        silenced = {"alert_tense": "withheld", "topic": None, "deliveries": (), "undelivered": False}
        current = current.model_copy(update=silenced)
    revision = current.revision + 1
    reversal = (alert_type == "retraction") != (current.alert_type == "retraction")
    was_discovery = current.crossmatch_status is CrossmatchStatus.UNMATCHED and current.alert_type != "retraction"
    is_discovery = found.possible_discovery and alert_type != "retraction"
    news = reversal or was_discovery != is_discovery
    deliver = news and current.alert_tense not in NEVER_PUBLIC
    return current.model_copy(
        update={
            "alert_type": alert_type,
            **_figures(analysis),
            **_match(found, match_revision),
            **_label(image),
            "object_id": image.object_id,
            "seen_before": seen_before,
            "occasion": _occasion(reversal=reversal, was_discovery=was_discovery, is_discovery=is_discovery),
            "revision": revision,
            "event_id": None if current.topic is None else message_event_id(current.alert_id, revision, analysis),
            "model_digest": analysis.model_digest,
            "calibration_id": analysis.calibration_id,
            "statement": statement_of(image, analysis, found),
            "updated_at": updated_at,
            "earlier": _earlier_messages(current),
            "deliveries": tuple(Delivery(channel=channel) for channel in channels) if deliver else current.deliveries,
            "undelivered": bool(channels) if deliver else current.undelivered,
        }
    )


def _earlier_messages(current: AlertRecord) -> tuple[AlertMessage, ...]:
    """The messages before the next one; where there are too many, the oldest but the initial one go."""
    messages = (*current.earlier, current.last_message)
    return messages if len(messages) <= MAX_EARLIER_MESSAGES else (messages[0], *messages[2:])


def _figures(analysis: Analysis) -> dict[str, Any]:
    """What an alert's record repeats of the analysis."""
    return {
        "predicted_class": analysis.predicted_class,
        "verdict": analysis.verdict,
        "p_value": analysis.p_value,
        "p_value_at_most": analysis.p_value_at_most,
        "calibration_images": analysis.calibration_images,
        "calibration_fit": analysis.calibration_fit,
        "rank_score": analysis.rank_score,
    }


def _match(found: Crossmatch, revision: int) -> dict[str, Any]:
    """What an alert's record repeats of the cross-match."""
    return {
        "crossmatch_status": found.status,
        "crossmatch_reason": found.reason.detail,
        "crossmatch_revision": revision,
    }


def label_given(label: Answer | None, labels: Sequence[Label]) -> Label | None:
    """The answer that gave an image its label: the last one that says the same."""
    given = [each for each in labels if each.answer is label]
    return given[-1] if label is not None and given else None


def tags_given(label: Answer | None, labels: Sequence[Label]) -> tuple[str, ...]:
    """The tags that came with that answer."""
    given = label_given(label, labels)
    return () if given is None else given.tags


def _label(image: ImageRecord) -> dict[str, Any]:
    """What an alert's record repeats of the answers."""
    given = label_given(image.label, image.labels)
    return {
        "label": image.label,
        "labeled_by": None if given is None else given.user,
        "tags": tags_given(image.label, image.labels),
    }


def _occasion(*, reversal: bool, was_discovery: bool, is_discovery: bool) -> AlertOccasion | None:
    if reversal or was_discovery == is_discovery:
        return None
    return "possible-discovery" if is_discovery else "no-discovery"


def _topic(survey: str, analysis: Analysis, surveys: frozenset[str]) -> str:
    """The public topic of an alert. A survey is known if it is declared, or if the bundle has a calibration for it."""
    # A survey model is no declaration: an uploader may name surveys without limit, and each topic costs the broker.
    calibrated = analysis.calibration_fit == "own" and survey == analysis.calibration_survey
    known = survey in SOURCE_SURVEYS or survey in surveys or calibrated
    return topics.alert_topic(survey if known else OTHER_SURVEYS, topic_part(analysis.predicted_class))


def topic_part(name: str) -> str:
    """A class name as one part of a topic name: lower case, without dots, which separate the parts."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "unknown"
