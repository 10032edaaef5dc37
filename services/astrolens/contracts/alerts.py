"""The public alert, published on `astrolens.alerts.<survey>.<class>.v1`, and the heartbeat.

Each Kafka record is an Avro object container file with one alert; its key is the image's id. The parallel JSON topic
carries the same fields, with bytes as base64 and 64-bit ids as text (a float64 would round them). Within major version
1 no field is renamed or removed, and new fields are optional; `tests/contract/golden` has a packet of every version.

Conventions: life cycle as in GCN's core schema, classifications as in ELAsTiCC, positions in ICRS degrees. The
description of a number ends with its unit in brackets, `[1]` if it is dimensionless.
"""

from base64 import b64decode, b64encode
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from astrolens.contracts.avro import avro_schema
from astrolens.contracts.base import Contract, DecDeg, PValue, RaDeg, Slug, UtcTime
from astrolens.contracts.catalogues import CatalogueAnswer, CrossmatchStatus
from astrolens.contracts.events import Event
from astrolens.contracts.records import Answer
from astrolens.contracts.status import Books
from astrolens.contracts.tags import Tags
from astrolens.contracts.verdicts import CalibrationFit, Verdict

ALERT_SCHEMA_VERSION: Final = "1.6"
"""major.minor of `Alert`: a new optional field increments the minor number; the major number changes with the topic."""

AVRO_NAMESPACE: Final = "astrolens.alerts.v1"
"""Without the minor version: Avro resolves schemas by full name, so the name must stay the same within version 1."""

HEARTBEAT_INTERVAL_S: Final = 10.0
"""Seconds between heartbeats. No heartbeat for a minute means a broken connection, not an absence of alerts."""


def _bytes_of_base64(value: Any) -> Any:
    return b64decode(value, validate=True) if isinstance(value, str) else value


def _base64_of_bytes(value: bytes) -> str:
    return b64encode(value).decode("ascii")


Blob = Annotated[
    bytes,
    BeforeValidator(_bytes_of_base64),
    PlainSerializer(_base64_of_bytes, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
"""Bytes: raw in Avro, standard base64 in JSON."""

Int64Id = Annotated[
    int,
    Field(ge=-(2**63), lt=2**63),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]{1,19}$"}),
]
"""A 64-bit id: a long in Avro, text in JSON."""

AlertType = Literal["initial", "update", "retraction"]
AlertTense = Literal["current", "test", "injection"]


class AlertDetector(Contract):
    """The result of one out-of-distribution detector."""

    name: str = Field(description="Detector, such as `mahalanobis`.")
    score: float = Field(description="Raw score; larger is more unusual; comparable within one model only [1].")
    p_value: PValue = Field(description="Share of ordinary images of the survey that score at least as high [1].")
    at_most: bool = Field(
        default=False,
        description="Whether the score exceeds all calibration images, so that `p_value` is an upper bound.",
    )


class ClassProbability(Contract):
    """The probability of one class."""

    class_name: str = Field(description="Class, such as `spiral`.")
    probability: float = Field(ge=0.0, le=1.0, description="Probability under the classifier [1].")


class AlertKind(Contract):
    """The probability of one kind of strangeness."""

    kind: str = Field(description="Kind, such as `blend`.")
    probability: float = Field(ge=0.0, le=1.0, description="Calibrated probability [1].")


class Classification(Contract):
    """The result of one classifier, in the form of ELAsTiCC."""

    classifier_name: str = Field(description="Classifier.")
    classifier_version: str = Field(description="Its version: the digest of the model bundle.")
    classifier_parameters: dict[str, str] = Field(default_factory=dict, description="Its parameters, by name.")
    classifications: tuple[ClassProbability, ...] = Field(description="Every class, the most probable first.")


class AlertNearDuplicate(Contract):
    """An image that is visually nearly identical."""

    image_id: str = Field(description="Its id.")
    distance: int = Field(description="Hamming distance of the 64-bit perceptual hashes [bit].")


class AlertSighting(Contract):
    """Another image of the object that an alert is about."""

    image_id: str = Field(description="Its id.")
    survey: Slug = Field(description="Its survey, lower case.")
    observed_at: UtcTime | None = Field(
        default=None, description="When the sky was observed for it, UTC [us since 1970-01-01]."
    )
    verdict: Verdict | None = Field(default=None, description="Its verdict; null until it is analysed.")
    separation_arcsec: float | None = Field(default=None, description="Distance of the two images' positions [arcsec].")
    alert_id: str | None = Field(default=None, description="The alert about it, null where there is none.")
    earlier: bool = Field(default=True, description="Whether it came before the image of this alert.")


class AlertProvenance(Contract):
    """Hashes and ids that trace the result to the original bytes and allow it to be repeated."""

    original_sha256: str = Field(description="SHA-256 of the original file, hexadecimal.")
    cutout_sha256: str = Field(description="SHA-256 of the cutout, hexadecimal.")
    cutout_scale: float = Field(description="Cutout pixels per original pixel [1].")
    cutout_stretch: str = Field(description="How values became 8-bit RGB.")
    model_name: str = Field(description="Model bundle.")
    model_digest: str = Field(description="SHA-256 of the bundle's manifest, which has the digests of all its files.")
    preprocessing_digest: str = Field(description="Digest of the preprocessing specification.")
    calibration_id: str = Field(description="Id of the calibration and the false-alarm budget.")
    calibration_survey: str = Field(description="Survey whose calibration was used, or `pooled`.")
    execution_provider: str = Field(description="ONNX Runtime execution provider, such as `CPUExecutionProvider`.")
    analyzed_at: UtcTime = Field(description="When the model gave its verdict, UTC [us since 1970-01-01].")


class AlertLink(Contract):
    """A link to further information."""

    rel: str = Field(description="Kind of the target, such as `original`.")
    href: str = Field(description="URL.")


class Alert(Contract):
    """An anomalous image with the p-value of the anomaly; or an update or retraction of an earlier alert."""

    schema_version: str = Field(description="Version of this schema, major.minor.")
    producer: str = Field(description="Program and version that published the alert.")
    event_id: str = Field(description="Id of this message; a message with the same id is a repetition.")
    alert_id: str = Field(description="Id of the alert; its updates and retractions have the same one.")
    alert_type: AlertType = Field(
        description="`initial`, `update` (new figures, a late answer of a catalogue, or a person's answer) or "
        "`retraction` (no anomaly any more, no calibration that promises a rate of false alarms, or a person called it "
        "`artefact` or `ordinary`)."
    )
    alert_tense: AlertTense = Field(
        description="`current`: real sky; `test`: simulated sky; `injection`: never published."
    )
    published_at: UtcTime = Field(description="Time of this message, UTC [us since 1970-01-01].")

    image_id: str = Field(description="Id of the image, from the digest of its bytes; the key of the record.")
    object_name: str | None = Field(default=None, description="Name of object or file, as given by the source.")
    survey_object_id: Int64Id | None = Field(
        default=None, description="Number of the object in the survey; text in JSON [1]."
    )
    survey: Slug = Field(description="Survey, lower case.")
    source: str = Field(description="Source that delivered the image, such as `sdss` or `folder`.")
    simulated: bool = Field(description="Whether the pixels are simulated.")
    ra_deg: RaDeg | None = Field(default=None, description="Right ascension, ICRS [deg].")
    dec_deg: DecDeg | None = Field(default=None, description="Declination, ICRS [deg].")
    observed_at: UtcTime | None = Field(
        default=None, description="When the sky was observed, UTC and not TAI [us since 1970-01-01]."
    )
    pixel_scale_arcsec: float | None = Field(default=None, description="Scale of the original [arcsec/pixel].")
    bands: tuple[str, ...] = Field(default=(), description="Photometric bands, if given by the source.")
    credit: str | None = Field(default=None, description="Credit for the image.")

    verdict: Verdict = Field(
        description="`anomaly`; after a retraction `near_miss` or `ordinary`, or `anomaly` where `calibration_fit` "
        "says that no rate of false alarms is promised any more."
    )
    p_value: PValue = Field(
        description="Combined p-value: share of ordinary images that are at least as unusual; never below "
        "1/(calibration_images + 1); a ranking only where `calibration_fit` is `pooled` or `does-not-fit` [1]."
    )
    p_value_at_most: bool = Field(
        default=False,
        description="Whether the image is stranger than all calibration images, so that `p_value` is an upper bound.",
    )
    calibration_images: int | None = Field(
        default=None, description="Ordinary images that the p-value is measured against [1]."
    )
    calibration_fit: CalibrationFit = Field(
        default="own",
        description="Whose images those are: `own` (ordinary ones of the survey), `survey-model` (unlabelled ones of "
        "the survey), `pooled` (ordinary ones of other surveys) or `does-not-fit` (pooled for a survey of the bundle); "
        "with the last two the p-value is a ranking only.",
    )
    rank_score: float | None = Field(
        default=None, description="Larger is stranger; sorts alerts beyond the end of the p-values; no probability [1]."
    )
    kinds: tuple[AlertKind, ...] = Field(
        default=(),
        description="Kinds of strangeness, the most probable first; empty if the model tells none.",
    )
    false_alarms_per_1000: float = Field(
        description="Expected false alarms for a threshold at this p-value; an upper bound as the p-value is; larger "
        "than 1000 p_value where the survey has drifted from its calibration; no promise where the p-value is a "
        "ranking only [per 1000 ordinary images]."
    )
    predicted_class: str = Field(description="Most probable class.")
    detectors: tuple[AlertDetector, ...] = Field(description="All detectors that were combined.")
    classifications: tuple[Classification, ...] = Field(description="Results of all classifiers.")
    crossmatch_status: CrossmatchStatus | None = Field(
        default=None,
        description="`known`, `unmatched` (every required catalogue covers the place, answered, and had nothing) or "
        "`undetermined` (at least one could not tell); null where no catalogue was asked.",
    )
    crossmatch_reason: str | None = Field(default=None, description="Why, as a sentence.")
    crossmatch_revision: int | None = Field(
        default=None, description="Number of the cross-match; late answers give an update with a larger one [1]."
    )
    possible_discovery: bool = Field(
        default=False, description="Whether it was looked for in every required catalogue, and not found."
    )
    literature_references: int | None = Field(
        default=None, description="References in the literature; null where no catalogue that counts them answered [1]."
    )
    catalogues: tuple[CatalogueAnswer, ...] = Field(default=(), description="What each catalogue said of the place.")
    label: Answer | None = Field(
        default=None,
        description="What a person said of the image: `interesting`, or, in a retraction, `artefact` or `ordinary`.",
    )
    labeled_by: str | None = Field(default=None, description="Who said so.")
    object_id: str | None = Field(
        default=None,
        description="The object of the sky that the image shows: alerts about other images of it have the same one.",
    )
    sightings: tuple[AlertSighting, ...] = Field(
        default=(), description="Other images of that object, the newest first, known when the alert was published."
    )
    tags: Tags = Field(default=(), description="Free tags that came with that answer, such as `tidal tail`.")
    late: bool = Field(
        default=False,
        description="Whether a second pass through the archive found it: the image is older, and an earlier model had "
        "not called it an anomaly.",
    )
    near_duplicates: tuple[AlertNearDuplicate, ...] = Field(
        default=(), description="Images that are visually nearly identical, known when the alert was published."
    )
    provenance: AlertProvenance = Field(description="Hashes and ids that trace the result to the original bytes.")
    cutout: Blob | None = Field(default=None, description="The image as the model received it; base64 in JSON.")
    cutout_media_type: str | None = Field(default=None, description="Media type of `cutout`: `image/jpeg`.")
    cutout_width: int | None = Field(default=None, description="Width of `cutout` [pixel].")
    cutout_height: int | None = Field(default=None, description="Height of `cutout` [pixel].")
    links: tuple[AlertLink, ...] = Field(default=(), description="Links to further information.")


class Heartbeat(Event):
    """Published at a constant rate, so that a listener can tell an absence of alerts from a broken connection."""

    sequence: int = Field(
        description="Number of this heartbeat since the start of the notifier; a gap is a lost heartbeat [1]."
    )
    interval_s: float = Field(default=HEARTBEAT_INTERVAL_S, description="Time between heartbeats [s].")
    books: Books | None = Field(
        default=None, description="Balance of all images; absent while the record store is unreachable."
    )
    alerts: int | None = Field(
        default=None, description="Number of alerts since the first start, including those of the simulated sky [1]."
    )


ALERT_AVRO_SCHEMA: Final[dict[str, Any]] = avro_schema(Alert, namespace=AVRO_NAMESPACE)
"""The Avro schema of `Alert`, as JSON values. Every message carries it."""
