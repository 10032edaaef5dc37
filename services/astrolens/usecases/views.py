"""What the API shows of a document: compact for grids, whole for one image, never an embedding or an event."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from astrolens.contracts.alert_holds import alert_hold
from astrolens.contracts.alert_updates import update_reason
from astrolens.contracts.catalogues import CrossmatchStatus
from astrolens.contracts.morphology import Morphology
from astrolens.contracts.p_values import PValueWords, p_value_words
from astrolens.contracts.patch_maps import PatchMap
from astrolens.contracts.records import Answer, ImageState, Outcome, Reason
from astrolens.contracts.verdicts import Analysis, CalibrationFit, Verdict, calibration_fit_of
from astrolens.usecases.current_labels import answers_by_person, current_tags
from astrolens.usecases.p_value_views import (
    KindShare,
    PValueView,
    calibration_detail,
    combined_p_value,
    detector_p_values,
    top_kinds,
)
from astrolens.usecases.sky_positions import ArchiveLink, archive_links, position_texts

Document = dict[str, Any]


class View(BaseModel):
    """The base of every answer."""

    model_config = ConfigDict(frozen=True)


class ImageCard(View):
    """One image as a grid shows it."""

    image_id: str = Field(description="32 hexadecimal digits, from the digest of the original bytes.")
    name: str | None
    survey: str
    source: str
    state: ImageState
    verdict: Verdict | None = Field(description="None until it is analysed.")
    p_value: float | None = Field(
        description="Share of ordinary images that are as strange; never below 1/(n+1). A ranking only where "
        "`calibration_fit` is `pooled` or `does-not-fit`."
    )
    p_value_at_most: bool = Field(
        default=False, description="Above all n calibration images: the p-value is an upper bound."
    )
    calibration_fit: CalibrationFit | None = Field(
        default=None,
        description="Whose ordinary images; with `pooled` and `does-not-fit` the p-value is a ranking only.",
    )
    p_value_words: PValueWords | None = Field(default=None, description="The p-value for people; null as it is.")
    rank_score: float | None = Field(
        default=None, description="What `sort=strangeness` sorts by, larger is stranger; no probability."
    )
    predicted_class: str | None = Field(serialization_alias="class")
    crossmatch_status: CrossmatchStatus | None = Field(
        default=None, description="What the catalogues know; null for images that are no candidates."
    )
    label: Answer | None = Field(description="The last answer of a person that stands.")
    answers: dict[str, Answer] = Field(description="The answer of each person that stands; they may disagree.")
    tags: list[str] = Field(default=[], description="The tags of the answers that stand.")
    ra_deg: float | None = Field(description="Right ascension, ICRS, degrees.")
    dec_deg: float | None = Field(description="Declination, ICRS, degrees.")
    cutout_url: str = Field(description="JPEG, cacheable for ever.")
    width: int = Field(description="Width of the cutout, pixels.")
    height: int = Field(description="Height of the cutout, pixels.")
    scale_arcsec: float | None = Field(description="Arcseconds a pixel of the cutout.")
    simulated: bool
    injected: bool
    ingested_at: datetime
    analyzed_at: datetime | None
    labeled_at: datetime | None
    similar_to: int = Field(description="How many near-duplicates it is linked to.")
    object_id: str | None = Field(
        default=None, description="The object of the sky that it shows; its other images have the same one."
    )
    object_images: int | None = Field(
        default=None, description="Images of that object, where the list has one image an object."
    )
    distance_arcsec: float | None = Field(default=None, description="From the centre of the cone asked for.")
    interest: float | None = Field(
        default=None, description="0 to 1, where sorted by interest: share of the ranked images that interest less."
    )
    artefact_score: float | None = Field(
        default=None, description="0 to 1, where sorted by interest: how much like what people called artefacts."
    )

    @classmethod
    def of(cls, document: Document, *, distance_arcsec: float | None = None) -> Self:
        """The card of an `ImageRecord` document."""
        observation = document["observation"]
        position = observation.get("position") or {}
        cutout = document["cutout"]
        identity = document["image_id"]
        pixel = observation.get("pixel_scale_arcsec")
        budget = combined_p_value(document)
        return cls(
            image_id=identity,
            name=observation.get("name"),
            survey=observation["survey"],
            source=document["source"],
            state=document["state"],
            verdict=document.get("verdict"),
            p_value=document.get("p_value"),
            p_value_at_most=budget is not None and budget.at_most,
            calibration_fit=calibration_fit_of(document["analysis"]) if document.get("analysis") else None,
            p_value_words=None if budget is None else budget.words,
            rank_score=document.get("rank_score"),
            predicted_class=document.get("predicted_class"),
            crossmatch_status=document.get("crossmatch_status"),
            label=document.get("label"),
            answers=answers_by_person(document.get("labels") or ()),
            tags=current_tags(document.get("labels") or ()),
            ra_deg=position.get("ra_deg"),
            dec_deg=position.get("dec_deg"),
            cutout_url=f"/api/images/{identity}/cutout",
            width=cutout["width"],
            height=cutout["height"],
            scale_arcsec=pixel / cutout["scale"] if pixel and cutout.get("scale") else None,
            simulated=bool(observation.get("simulated")),
            injected=bool(observation.get("injected")),
            ingested_at=document["ingested_at"],
            analyzed_at=document.get("analyzed_at"),
            labeled_at=document.get("labeled_at"),
            similar_to=len(document.get("near_duplicates") or ()),
            object_id=document.get("object_id"),
            distance_arcsec=distance_arcsec,
        )


Tense = Literal["current", "test", "injection", "withheld"]


class ListPage(View):
    """What every page of a list says of the whole list."""

    next: str | None = Field(description="Give it as `after` to get the next page; null on the last.")
    total: int | None = Field(default=None, description="How many the list has on all its pages; null: not counted.")
    total_is_exact: bool = Field(
        default=True, description="Always below 10,000 where it was counted in time; false: `total` is about right."
    )


class ImagePage(ListPage):
    """A page of images and the cursor of the next."""

    items: list[ImageCard]


class ProvenanceStep(View):
    """One link of the chain from the bytes that came to what was said of them."""

    step: str = Field(examples=["original", "cutout", "model", "calibration", "verdict", "label", "alert"])
    id: str = Field(description="Hash or id that names this step's result.")
    detail: str
    at: datetime | None = None


class AlertMessageView(View):
    """One message of an alert: what it said, and who or what caused it."""

    revision: int = Field(description="0: the initial alert; each update and retraction adds one.")
    at: datetime
    alert_type: Literal["initial", "update", "retraction"]
    predicted_class: str = Field(serialization_alias="class")
    verdict: Verdict
    p_value: float
    p_value_words: PValueWords
    update_reason: str | None = Field(description="Who or what caused it, as a sentence; null in an initial alert.")
    label: Answer | None
    labeled_by: str | None
    tags: list[str]
    model_digest: str | None

    @classmethod
    def of(cls, document: Document, before: Document | None = None) -> Self:
        """The view of an `AlertMessage` document, or of the last message in an `AlertRecord` document.

        Args:
            document: The message.
            before: The message before it, where it is known.
        """
        own = {"revision", "at", "p_value_words", "update_reason", "tags"}
        return cls(
            revision=document.get("revision") or 0,
            at=document.get("at") or document.get("updated_at") or document["raised_at"],
            update_reason=update_reason(document, before),
            p_value_words=p_value_words(
                document["p_value"],
                at_most=bool(document.get("p_value_at_most")),
                fit=document.get("calibration_fit") or "own",
                older=document.get("calibration_images") is None,
            ),
            tags=document.get("tags") or [],
            **{key: document.get(key) for key in cls.model_fields if key not in own},
        )


def alert_messages(alert: Document) -> list[AlertMessageView]:
    """The messages of an `AlertRecord` document, oldest first; older versions kept the last one only."""
    documents = [*(alert.get("earlier") or ()), alert]
    return [AlertMessageView.of(own, before) for before, own in zip([None, *documents], documents, strict=False)]


class ImageDetail(View):
    """All that is known of one image: the fields of its record, without embedding, and what follows from them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    image_id: str
    card: ImageCard = Field(description="As grids show it.")
    budget: PValueView | None = Field(description="The p-value as a false-alarm rate, where it promises one.")
    morphology: Morphology | None = Field(
        default=None,
        description="Of the object in the cutout; only candidates are measured, some time after the analysis.",
    )
    patch_map: PatchMap | None = Field(
        default=None, description="Where it is strange; only candidates get a map, some time after the analysis."
    )
    detector_budgets: dict[str, PValueView] = Field(description="The p-value of each detector, by its name.")
    kinds: list[KindShare] = Field(
        description="The most probable kinds of strangeness; empty where the model does not tell them."
    )
    provenance: list[ProvenanceStep] = Field(description="From the bytes that came to the alert, every id and hash.")
    alert_id: str | None = Field(description="The alert about it, where one was raised.")
    alert_type: Literal["initial", "update", "retraction"] | None = Field(
        description="What was last said of it in an alert."
    )
    alert_updated_at: datetime | None = Field(description="When, where that was an update or a retraction.")
    alert_update_reason: str | None = Field(description="Who or what caused it, where it was.")
    alert_messages: list[AlertMessageView] = Field(description="All that it said, oldest first, as far as known.")
    alert_tense: Tense | None = Field(
        description="`current` and `test` (the simulated sky) are public, `injection` and `withheld` (data that the "
        "survey has not released) never."
    )
    alert_hold: str | None = Field(description="Why an anomaly raises no alert; null where it does.")
    position_texts: list[str] = Field(description="In degrees, sexagesimal, and as an IAU name; empty without one.")
    archive_links: list[ArchiveLink] = Field(description="Archives, each centred on the position.")

    @classmethod
    def of(cls, document: Document, alert: Document | None) -> Self:
        """The detail of an `ImageRecord` document and its alert, if any."""
        record = {key: value for key, value in document.items() if key != "pending"}
        position = document["observation"].get("position")
        analysis = document.get("analysis") or {}
        messages = alert_messages(alert) if alert else []
        return cls(
            **record,
            card=ImageCard.of(document),
            budget=combined_p_value(document),
            detector_budgets=detector_p_values(analysis),
            kinds=top_kinds(analysis.get("kinds") or {}),
            provenance=provenance(document, alert),
            alert_id=alert["alert_id"] if alert else None,
            alert_type=alert["alert_type"] if alert else None,
            alert_updated_at=alert.get("updated_at") if alert else None,
            alert_update_reason=messages[-1].update_reason if messages else None,
            alert_messages=messages,
            alert_tense=alert.get("alert_tense", "current") if alert else None,
            alert_hold=_alert_hold(document),
            position_texts=position_texts(position["ra_deg"], position["dec_deg"]) if position else [],
            archive_links=archive_links(position["ra_deg"], position["dec_deg"]) if position else [],
        )


def _alert_hold(document: Document) -> str | None:
    analysis = document.get("analysis")
    if not analysis or document.get("verdict") != Verdict.ANOMALY.value:
        return None
    return alert_hold(Analysis.model_validate(analysis))


def provenance(document: Document, alert: Document | None) -> list[ProvenanceStep]:
    """Every id and hash between an image's bytes and what was said of it, in order."""
    original, cutout = document["original"], document["cutout"]
    steps = [
        ProvenanceStep(
            step="arrival", id=document["receipt_id"], detail=f"from {document['source']}, batch {document['batch']}"
        ),
        ProvenanceStep(
            step="original",
            id=original["sha256"],
            detail=f"{original['media_type']}, {original['width']}×{original['height']} px, {original['size_bytes']} B",
        ),
        ProvenanceStep(
            step="cutout",
            id=cutout["sha256"],
            detail=f"{cutout['width']}×{cutout['height']} px, stretch {cutout['stretch']}"
            + (f", {cutout['orientation']}" if cutout.get("orientation") else ""),
            at=document["ingested_at"],
        ),
    ]
    if analysis := document.get("analysis"):
        words = p_value_words(
            analysis["p_value"],
            at_most=bool(analysis.get("p_value_at_most")),
            fit=calibration_fit_of(analysis),
            in_burst=analysis.get("burst_survey") is not None,
        )
        steps += [
            ProvenanceStep(step="preprocessing", id=analysis["preprocessing_digest"], detail="pixels to model input"),
            ProvenanceStep(
                step="model",
                id=analysis["model_digest"],
                detail=f"{analysis['model_name']} on {analysis['execution_provider']}",
            ),
            ProvenanceStep(step="calibration", id=analysis["calibration_id"], detail=calibration_detail(analysis)),
            ProvenanceStep(
                step="verdict",
                id=analysis["verdict"],
                detail=f"{words.figure}, class {analysis['predicted_class']}",
                at=analysis["analyzed_at"],
            ),
        ]
    steps += [
        ProvenanceStep(
            step="label", id=label["label_id"], detail=f"{label['answer'] or 'taken back'} by {label['user']}", at=at
        )
        for label in document.get("labels") or ()
        if (at := label["recorded_at"])
    ]
    steps += [
        ProvenanceStep(step="later arrival", id=later["receipt_id"], detail=_later_words(later), at=later["at"])
        for later in document.get("later") or ()
    ]
    if alert:
        topic = alert.get("topic") or "not public"
        steps.append(
            ProvenanceStep(
                step="alert", id=alert["alert_id"], detail=f"{alert['alert_type']}, {topic}", at=alert["raised_at"]
            )
        )
    return steps


def _later_words(later: Document) -> str:
    """What a later arrival of the same bytes added or contradicted, in words."""
    parts = [f"gave {', '.join(later['filled'])}"] if later.get("filled") else []
    parts += [
        f"says {field} {value!r}, another value holds" for field, value in (later.get("conflicting") or {}).items()
    ]
    return f"{later['source']} {later['ref']}: {'; '.join(parts)}"


class SimilarImage(View):
    """A neighbour in the model's space."""

    cosine_similarity: float = Field(description="1 is the same direction in the embedding space.")
    image: ImageCard


class SimilarImages(View):
    """The images most like one, most similar first."""

    image_id: str
    model_digest: str
    items: list[SimilarImage]


class ReceiptView(View):
    """One arrival and what became of it."""

    receipt_id: str
    source: str
    batch: str
    ref: str = Field(description="What the source calls it: a file name, a URL, a number.")
    outcome: Outcome
    reason: Reason | None = Field(description="Why it was rejected or dead-lettered.")
    image_id: str | None
    name: str | None
    survey: str
    size_bytes: int | None = Field(description="Bytes of the original.")
    sha256: str | None
    received_at: datetime
    settled_at: datetime | None

    @classmethod
    def of(cls, document: Document) -> Self:
        """The view of a `Receipt` document."""
        observation = document["observation"]
        return cls(
            name=observation.get("name"),
            survey=observation["survey"],
            **{key: document.get(key) for key in cls.model_fields if key not in {"name", "survey"}},
        )


class ReceiptPage(ListPage):
    """A page of arrivals, newest first."""

    items: list[ReceiptView]
