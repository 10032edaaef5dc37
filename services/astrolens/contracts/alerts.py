"""The public alert: what anyone who listens to `astrolens.alerts.<survey>.<class>.v1` reads.

Each record is an Avro object container file with one alert in it, its key the image's id; the parallel JSON topic
carries the same fields, with bytes as base64 and 64-bit ids as text (a float64 would round them). Within major version
1 nothing is renamed or removed, and what is new is optional; `tests/contract/golden` keeps a packet of every version.

Conventions: life cycle as in GCN's core schema, classifications as in ELAsTiCC, positions in ICRS degrees. Each
number's description ends with its unit in brackets, `[1]` where it has none.
"""

from base64 import b64decode, b64encode
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from astrolens.contracts.avro import avro_schema
from astrolens.contracts.base import Contract, DecDeg, PValue, RaDeg, Slug, UtcTime
from astrolens.contracts.events import Event
from astrolens.contracts.records import Books
from astrolens.contracts.verdicts import Verdict

ALERT_SCHEMA_VERSION: Final = "1.0"
"""major.minor of `Alert`: the minor number rises with every new optional field, the major one with a new topic."""

AVRO_NAMESPACE: Final = "astrolens.alerts.v1"
"""Without the minor version: Avro resolves schemas by full name, so the name must outlive it."""

HEARTBEAT_INTERVAL_S: Final = 10.0
"""Seconds between heartbeats: a listener that hears none for a minute knows that the line is dead, not the sky."""


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
"""Bytes: as they are in Avro, standard base64 in JSON."""

Int64Id = Annotated[
    int,
    Field(ge=-(2**63), lt=2**63),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]{1,19}$"}),
]
"""A 64-bit id: a long in Avro, text in JSON, never a float."""

AlertType = Literal["initial", "update", "retraction"]
AlertTense = Literal["current", "test", "injection"]


class AlertDetector(Contract):
    """What one out-of-distribution detector said."""

    name: str = Field(description="Detector, such as `mahalanobis`.")
    score: float = Field(description="Raw score; larger is stranger; comparable within one model only [1].")
    p_value: PValue = Field(description="Share of ordinary images of the survey that score at least as high [1].")


class ClassProbability(Contract):
    """How probable one class is."""

    class_name: str = Field(description="Class, such as `spiral`.")
    probability: float = Field(ge=0.0, le=1.0, description="Probability under the classifier [1].")


class Classification(Contract):
    """One classifier's record, in ELAsTiCC's form."""

    classifier_name: str = Field(description="Classifier.")
    classifier_version: str = Field(description="Its version: the digest of the model bundle.")
    classifier_parameters: dict[str, str] = Field(default_factory=dict, description="Its parameters, by name.")
    classifications: tuple[ClassProbability, ...] = Field(description="Every class, the most probable first.")


class AlertNearDuplicate(Contract):
    """An image that looks nearly the same."""

    image_id: str = Field(description="Its id.")
    distance: int = Field(description="Hamming distance of the 64-bit perceptual hashes [bit].")


class AlertProvenance(Contract):
    """From the bytes to the claim: what is needed to trace it and to repeat it."""

    original_sha256: str = Field(description="SHA-256 of the image as it came, hexadecimal.")
    cutout_sha256: str = Field(description="SHA-256 of the cutout, hexadecimal.")
    cutout_scale: float = Field(description="Cutout pixels per original pixel [1].")
    cutout_stretch: str = Field(description="How values became 8-bit RGB.")
    model_name: str = Field(description="Model bundle.")
    model_digest: str = Field(description="SHA-256 of the bundle's manifest, which names the digest of every file.")
    preprocessing_digest: str = Field(description="Digest of the preprocessing specification.")
    calibration_id: str = Field(description="Calibration revision, the false-alarm budget included.")
    calibration_survey: str = Field(description="Survey whose calibration served, or `pooled`.")
    execution_provider: str = Field(description="What computed it, such as `CPUExecutionProvider`.")
    analyzed_at: UtcTime = Field(description="When the model gave its verdict, UTC [us since 1970-01-01].")


class AlertLink(Contract):
    """Somewhere to look further."""

    rel: str = Field(description="What it leads to, such as `original`.")
    href: str = Field(description="URL.")


class Alert(Contract):
    """An image that is stranger than a stated share of ordinary ones; or the update or retraction of that claim."""

    schema_version: str = Field(description="Version of this schema, major.minor.")
    producer: str = Field(description="Program and version that made the alert.")
    event_id: str = Field(description="Id of this very message; the same id is the same message again.")
    alert_id: str = Field(description="Id of the claim; its updates and retractions carry the same one.")
    alert_type: AlertType = Field(
        description="`initial`, `update` (new figures for a standing claim) or `retraction` (no anomaly after all)."
    )
    alert_tense: AlertTense = Field(
        description="`current`: real sky; `test`: simulated sky; `injection`: never published."
    )
    published_at: UtcTime = Field(description="When this message was made, UTC [us since 1970-01-01].")

    image_id: str = Field(description="Id of the image, from the digest of its bytes; the key of the record.")
    object_name: str | None = Field(default=None, description="Object or file name, as the source gave it.")
    survey_object_id: Int64Id | None = Field(
        default=None, description="Number that the survey gave the object; text in JSON [1]."
    )
    survey: Slug = Field(description="Survey, lower case.")
    source: str = Field(description="What brought the image here, such as `sdss` or `folder`.")
    simulated: bool = Field(description="Whether the pixels are simulated.")
    ra_deg: RaDeg | None = Field(default=None, description="Right ascension, ICRS [deg].")
    dec_deg: DecDeg | None = Field(default=None, description="Declination, ICRS [deg].")
    observed_at: UtcTime | None = Field(
        default=None, description="When the sky was observed, UTC and not TAI [us since 1970-01-01]."
    )
    pixel_scale_arcsec: float | None = Field(default=None, description="Scale of the original [arcsec/pixel].")
    bands: tuple[str, ...] = Field(default=(), description="Photometric bands, as far as the source named them.")
    credit: str | None = Field(default=None, description="Whom to credit for the picture.")

    verdict: Verdict = Field(description="`anomaly`, or after a retraction `near_miss` or `ordinary`.")
    p_value: PValue = Field(description="Combined p-value: the share of ordinary images at least as strange [1].")
    false_alarms_per_1000: float = Field(
        description="False alarms that a threshold at this p-value lets through [per 1000 ordinary images]."
    )
    predicted_class: str = Field(description="Most probable class.")
    detectors: tuple[AlertDetector, ...] = Field(description="Every detector that was combined.")
    classifications: tuple[Classification, ...] = Field(description="Records of every classifier.")
    near_duplicates: tuple[AlertNearDuplicate, ...] = Field(
        default=(), description="Images that look nearly the same, known when the alert was made."
    )
    provenance: AlertProvenance = Field(description="Hashes and ids from the bytes to the claim.")
    cutout: Blob | None = Field(default=None, description="The picture that the model saw; base64 in JSON.")
    cutout_media_type: str | None = Field(default=None, description="Media type of `cutout`: `image/jpeg`.")
    cutout_width: int | None = Field(default=None, description="Width of `cutout` [pixel].")
    cutout_height: int | None = Field(default=None, description="Height of `cutout` [pixel].")
    links: tuple[AlertLink, ...] = Field(default=(), description="Where to look further.")


class Heartbeat(Event):
    """A sign of life at a constant rate, so that a listener can tell a silent sky from a dead line."""

    sequence: int = Field(description="Counts heartbeats since the notifier started; a gap is a lost heartbeat [1].")
    interval_s: float = Field(default=HEARTBEAT_INTERVAL_S, description="Time between heartbeats [s].")
    books: Books | None = Field(default=None, description="The balance; absent while the record store is away.")
    alerts: int | None = Field(default=None, description="Alerts ever raised, those of the simulated sky included [1].")


ALERT_AVRO_SCHEMA: Final[dict[str, Any]] = avro_schema(Alert, namespace=AVRO_NAMESPACE)
"""The Avro schema of `Alert`, as JSON values. Every message carries it."""
