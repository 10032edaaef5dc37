"""The documents of the record store, which is the source of truth for every image.

`pending` of a document holds events that its last writes caused and that are not published yet (the outbox).
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from astrolens.contracts.base import Contract, DecDeg, PValue, RaDeg, Slug, UtcTime
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.image_files import FileHeader, Origin, PixelQuality
from astrolens.contracts.morphology import Morphology
from astrolens.contracts.patch_maps import PatchMap
from astrolens.contracts.sky import unit_vector
from astrolens.contracts.tags import Tags
from astrolens.contracts.verdicts import Analysis, CalibrationFit, Verdict, with_rank_score

OBJECT_ID_KEY: Final = "object_id"
"""The key of `Observation.extra` with the survey's own number of the object."""
OBJECT_ID_KEYS: Final = (OBJECT_ID_KEY, "objid")
"""The keys that are read, in this order, without regard to case: records of older versions, and tables of SDSS, have
`objid`."""


MAX_BANDS: Final = 32
MAX_BAND_LENGTH: Final = 40
MAX_EXTRA: Final = 256
"""Entries of `Observation.extra`: the columns of a wide catalogue."""
MAX_EXTRA_KEY_LENGTH: Final = 100
MAX_EXTRA_VALUE_LENGTH: Final = 1000
MAX_EXTRA_LENGTH: Final = 32_000
"""Characters of all its keys and values together. These bounds hold where input is accepted; records of older versions
may exceed them and must still be read."""


class PendingEvent(Contract):
    """An event written together with the document that caused it; the outbox relay publishes it.

    `payload` is the event as JSON text, or base64 where `binary` says so (Avro).
    """

    event_id: str = Field(description="Unique among the pending events of its document.")
    published_id: str | None = Field(
        default=None, description="`event_id` of the published record, where it is another: one event on two topics."
    )
    topic: str
    key: str
    payload: str
    binary: bool = False
    content_type: str = "application/json"
    traceparent: str | None = Field(default=None, description="W3C trace context of what caused it, where traced.")


class Reason(Contract):
    """Why an image was rejected or dead-lettered: a code for statistics, a sentence for people."""

    code: Slug
    detail: str


class Outcome(StrEnum):
    """The outcome of an arrival."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REJECTED = "rejected"
    DEAD_LETTERED = "dead_lettered"


class ImageState(StrEnum):
    """The processing state of an accepted image."""

    INGESTED = "ingested"
    ANALYZED = "analyzed"
    DEAD_LETTERED = "dead_lettered"


class Answer(StrEnum):
    """A person's judgement of an image."""

    INTERESTING = "interesting"
    ARTEFACT = "artefact"
    ORDINARY = "ordinary"


class Position(Contract):
    """ICRS position with its unit vector.

    With the vector a cone search is six range conditions, which also hold at the poles and at RA = 0.
    """

    ra_deg: RaDeg
    dec_deg: DecDeg
    x: float = 0.0
    y: float = 0.0
    z: float = 0.0

    @model_validator(mode="before")
    @classmethod
    def _derive_vector(cls, value: Any) -> Any:
        if isinstance(value, dict) and "x" not in value:
            x, y, z = unit_vector(float(value["ra_deg"]), float(value["dec_deg"]))
            return {**value, "x": x, "y": y, "z": z}
        return value


class Observation(Contract):
    """Metadata of an image: of a receipt, as given by its source; of an image, with what its header adds."""

    survey: Slug = Field(default="unknown", description="Lower case; `unknown` uses the pooled calibration.")
    name: str | None = Field(default=None, max_length=200, description="Object or file name, for people.")
    position: Position | None = None
    pixel_scale_arcsec: float | None = Field(default=None, gt=0, description="Arcseconds a pixel of the original.")
    observed_at: UtcTime | None = None
    bands: tuple[str, ...] = ()
    credit: str | None = Field(default=None, max_length=500)
    url: str | None = Field(default=None, max_length=2000, description="URL of the original.")
    simulated: bool = False
    injected: bool = Field(default=False, description="A blind injection: never published on a public topic.")
    extra: dict[str, str] = Field(default_factory=dict, description="Further metadata, such as CSV columns.")


def truncate_extra(given: Mapping[str, str]) -> dict[str, str]:
    """`Observation.extra` within its bounds: long values lose their ends, and what is too much is left out."""
    extra: dict[str, str] = {}
    room = MAX_EXTRA_LENGTH
    for key, value in given.items():
        cut = value if len(value) <= MAX_EXTRA_VALUE_LENGTH else f"{value[: MAX_EXTRA_VALUE_LENGTH - 1]}…"
        room -= len(key) + len(cut)
        if len(extra) == MAX_EXTRA or room < 0:
            break
        if len(key) <= MAX_EXTRA_KEY_LENGTH:
            extra[key] = cut
    return extra


class Receipt(Contract):
    """One arrival and its outcome. The books count these documents."""

    receipt_id: str
    source: str
    batch: str = Field(description="Ingest run, or session of a source.")
    ref: str = Field(description="Identifier in the source: a file name, a URL or a number.")
    observation: Observation
    received_at: UtcTime
    outcome: Outcome = Outcome.RECEIVED
    sha256: str | None = Field(default=None, description="SHA-256 of the original, once it is stored.")
    size_bytes: int | None = None
    image_id: str | None = None
    reason: Reason | None = None
    settled_at: UtcTime | None = None
    pending: tuple[PendingEvent, ...] = ()


class Original(Contract):
    """The original file, unchanged; only the decoding sandbox reads it."""

    key: str
    sha256: str
    size_bytes: int
    media_type: str
    width: int
    height: int


class CutoutInfo(Contract):
    """The canonical 8-bit RGB picture that model, console and alerts use."""

    key: str
    sha256: str
    width: int
    height: int
    scale: float = Field(description="Cutout pixels per original pixel.")
    stretch: str = Field(description="How values became 8-bit RGB, such as `none` or `asinh q=8 ...`.")
    orientation: str | None = Field(default=None, description="Where north and east are, or why that is not known.")
    north_angle_deg: float | None = Field(
        default=None, description="Angle from up to north, counterclockwise; east is to the left of north."
    )


class NearDuplicate(Contract):
    """A visually nearly identical image; both stay in the archive."""

    image_id: str
    distance: int = Field(description="Hamming distance of the 64-bit perceptual hashes.")


class Label(Contract):
    """One answer of one person; `answer` None withdraws the last one."""

    label_id: str
    answer: Answer | None
    user: str
    recorded_at: UtcTime
    note: str | None = Field(default=None, max_length=2000)
    tags: Tags = ()


MAX_LATER_ARRIVALS: Final = 64
"""Later arrivals of one image whose knowledge is kept."""


class LaterArrival(Contract):
    """What a later arrival of the same bytes knew: it filled empty fields, and its other values are kept beside."""

    receipt_id: str
    source: str
    ref: str
    at: UtcTime
    filled: tuple[str, ...] = Field(default=(), description="Fields that it filled; `extra.x` is further metadata.")
    conflicting: dict[str, str] = Field(
        default_factory=dict, description="Its values, as text, of fields of which another value holds."
    )


class ImageRecord(Contract):
    """One image: its files, state, analysis and labels."""

    image_id: str
    receipt_id: str = Field(description="First arrival of the image; later ones are duplicates.")
    source: str
    batch: str
    observation: Observation
    origins: dict[str, Origin] = Field(
        default_factory=dict, description="Where the values of `observation` came from, by field; given ones win."
    )
    header: FileHeader | None = Field(default=None, description="What the file states, also where others hold.")
    later: tuple[LaterArrival, ...] = Field(
        default=(), description="Later arrivals of the same bytes that knew more, or something else."
    )
    quality: PixelQuality | None = Field(default=None, description="How much of it was measured.")
    original: Original
    cutout: CutoutInfo
    phash: str = Field(description="64-bit perceptual hash, 16 hexadecimal digits.")
    near_duplicates: tuple[NearDuplicate, ...] = ()
    object_id: str | None = Field(
        default=None, description="The object of the sky that it shows: images of one object have the same one."
    )
    state: ImageState = ImageState.INGESTED
    received_at: UtcTime | None = Field(default=None, description="Time of that arrival.")
    ingested_at: UtcTime
    offered_at: UtcTime = Field(description="When its analysis was last requested on the bus.")
    reason: Reason | None = None
    analysis: Analysis | None = None
    verdict: Verdict | None = None
    p_value: PValue | None = None
    rank_score: float | None = Field(default=None, description="Larger is stranger: what lists are sorted by.")
    predicted_class: str | None = None
    analyzed_at: UtcTime | None = None
    late_by: str | None = Field(
        default=None,
        description="Digest of the bundle that called it an anomaly when it was analysed again, where the one before "
        "did not: found by a second pass.",
    )
    morphology: Morphology | None = Field(default=None, description="Of candidates, some time after their analysis.")
    patch_map: PatchMap | None = Field(
        default=None, description="Where it is strange: of candidates, some time after their analysis."
    )
    crossmatch_status: CrossmatchStatus | None = Field(
        default=None, description="What the catalogues know; a copy from the image's cross-match, for lists."
    )
    label: Answer | None = None
    labeled_at: UtcTime | None = None
    labels: tuple[Label, ...] = ()
    pending: tuple[PendingEvent, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _with_rank_score(cls, value: Any) -> Any:
        return with_rank_score(value) if isinstance(value, dict) else value


AlertOccasion = Literal["possible-discovery", "no-discovery"]
"""A late answer of a catalogue: nothing is known at the place, or something is after all."""


class Delivery(Contract):
    """State of an alert's delivery on one channel."""

    channel: str = Field(description="Name without secrets, such as `mailto #1`.")
    state: Literal["waiting", "delivered", "failed"] = "waiting"
    attempts: int = 0
    error: str | None = None
    at: UtcTime | None = None
    claimed_at: UtcTime | None = Field(
        default=None, description="When the attempt began whose outcome is not recorded yet."
    )


class AlertMessage(Contract):
    """What one message of an alert said."""

    revision: int = Field(ge=0, description="0: the initial alert; each update and retraction adds one.")
    at: UtcTime
    alert_type: Literal["initial", "update", "retraction"]
    predicted_class: str
    verdict: Verdict
    p_value: PValue
    p_value_at_most: bool = False
    calibration_images: int | None = Field(default=None, ge=1)
    calibration_fit: CalibrationFit = "own"
    model_digest: str | None = None
    crossmatch_status: CrossmatchStatus | None = None
    occasion: AlertOccasion | None = None
    label: Answer | None = None
    labeled_by: str | None = None
    tags: Tags = ()


MAX_EARLIER_MESSAGES: Final = 50
"""Of an alert: with more, the oldest but the initial one go. An alert rarely has five."""


class AlertRecord(Contract):
    """An alert, its revisions and deliveries."""

    alert_id: str
    image_id: str
    alert_type: Literal["initial", "update", "retraction"] = "initial"
    alert_tense: Literal["current", "test", "injection", "withheld"] = "current"
    survey: str
    predicted_class: str
    verdict: Verdict
    p_value: PValue
    p_value_at_most: bool = Field(default=False, description="Whether the p-value is an upper bound; see `Analysis`.")
    calibration_images: int | None = Field(default=None, ge=1, description="Calibration images of the p-value.")
    calibration_fit: CalibrationFit = "own"
    rank_score: float | None = Field(default=None, description="Larger is stranger: messages are sorted by it.")
    topic: str | None = Field(description="Public topic; None if it must not be published.")
    raised_at: UtcTime
    revision: int = Field(
        default=0, description="Number of updates and retractions; each is written on condition of the previous number."
    )
    event_id: str | None = Field(default=None, description="Last published message; None if not public.")
    model_digest: str | None = Field(default=None, description="Model of the analysis in the last message.")
    calibration_id: str | None = None
    crossmatch_status: CrossmatchStatus | None = Field(
        default=None, description="What the catalogues said in the last message; None in alerts of older versions."
    )
    crossmatch_reason: str | None = Field(default=None, description="Why, as a sentence.")
    crossmatch_revision: int = Field(default=0, description="Revision of the cross-match in the last message.")
    occasion: AlertOccasion | None = Field(
        default=None, description="Why people are told of an update; None: the image is an anomaly again."
    )
    object_id: str | None = Field(default=None, description="The object of the sky in the last message.")
    seen_before: int = Field(default=0, ge=0, description="Public images of that object that came before this one.")
    late: bool = Field(
        default=False, description="Whether a second pass found it: an earlier bundle had not called it an anomaly."
    )
    label: Answer | None = Field(default=None, description="The image's label in the last message.")
    labeled_by: str | None = Field(default=None, description="Who gave that label.")
    tags: Tags = Field(default=(), description="The tags that came with that label.")
    updated_at: UtcTime | None = None
    statement: str | None = Field(default=None, description="Digest of what the last message told its readers.")
    confirmed_at: UtcTime | None = Field(default=None, description="When the same was last found again, untold.")
    earlier: tuple[AlertMessage, ...] = Field(
        default=(),
        description="Messages before the last, oldest first, at most 50; those of older versions were not kept.",
    )
    deliveries: tuple[Delivery, ...] = ()
    undelivered: bool = Field(default=False, description="Whether a delivery is still waiting.")
    pending: tuple[PendingEvent, ...] = ()

    @property
    def delivery_id(self) -> str:
        """Its id, as deliveries name what they are about."""
        return self.alert_id

    @property
    def last_message(self) -> AlertMessage:
        """The message that its own fields repeat."""
        same = AlertMessage.model_fields.keys() - {"at"}
        return AlertMessage(at=self.updated_at or self.raised_at, **{name: getattr(self, name) for name in same})

    @model_validator(mode="before")
    @classmethod
    def _with_rank_score(cls, value: Any) -> Any:
        return with_rank_score(value) if isinstance(value, dict) else value


class DeadLetter(Contract):
    """A Kafka record that could not be processed, with its original bytes."""

    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    key: str | None = Field(description="Base64.")
    body: str = Field(description="Base64 of the original bytes.")
    headers: tuple[tuple[str, str], ...] = Field(default=(), description="Names, and values in base64.")
    service: str
    error_type: str
    error: str
    dead_lettered_at: UtcTime
    state: Literal["open", "resent", "dropped"] = "open"
    note: str | None = None
