"""One example of every document and event, for `schemas/examples/` and the golden tests."""

from base64 import b64decode
from datetime import UTC, datetime
from functools import cache

from astrolens.contracts import (
    alerts,
    catalogues,
    crossmatch,
    ids,
    image_files,
    records,
    status,
    survey_models,
    verdicts,
)
from astrolens.contracts.morphology import Morphology, MorphologyQuality
from astrolens.contracts.patch_maps import PATCH_MAP_SIDE, PatchMap, patch_cells

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_PREPROCESSING = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
MODEL_DIGEST = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"
CALIBRATION_ID = "sdss-2026-11-01-a10"
IMAGE_ID = ids.image_id(DIGEST)
RECEIPT_ID = ids.receipt_id("folder", "run-1", "ngc-5194.jpeg")
_CUTOUT_JPEG = b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7gYKB"
    "TmCNl4x9lnN+gXz/wAALCAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAX/xAAZEAACAwEAAAAAAAAAAAAAAAACBQADBBL/2gAI"
    "AQEAAD8AhrFx7rOQhmuPDZycLGJ4bOghmxPdZ0c//9k="
)
"""A faint round galaxy, 16 x 16 pixels, to keep the example short."""
_PATCH_CELLS, _PATCH = patch_cells(
    [
        4.0 / (1.0 + (row - 4) ** 2 + (column - 9) ** 2)
        for row in range(PATCH_MAP_SIDE)
        for column in range(PATCH_MAP_SIDE)
    ]
)


def at(minute: int) -> datetime:
    """That minute of the night of the examples."""
    return datetime(2026, 11, 1, 4, minute, 30, 250_000, tzinfo=UTC)


@cache
def analysis() -> verdicts.Analysis:
    """The analysis of the example image."""
    return verdicts.Analysis(
        model_name="first-light",
        model_digest=MODEL_DIGEST,
        preprocessing_digest=_PREPROCESSING,
        calibration_id=CALIBRATION_ID,
        calibration_survey="sdss",
        execution_provider="CPUExecutionProvider",
        class_probabilities={"smooth": 0.03, "spiral": 0.91, "edge-on": 0.02, "irregular": 0.04},
        predicted_class="spiral",
        detectors={
            "msp": verdicts.DetectorResult(score=0.09, p_value=0.21),
            "energy": verdicts.DetectorResult(score=-3.25, p_value=0.012),
            "mahalanobis": verdicts.DetectorResult(score=412.5, p_value=0.0008, at_most=True),
        },
        p_value=0.0025,
        calibration_images=1199,
        rank_score=2.602,
        kinds={"blend": 0.72, "double-core": 0.11},
        verdict=verdicts.Verdict.ANOMALY,
        embedding="ADwAQABC",
        analyzed_at=at(2),
    )


@cache
def survey_model() -> survey_models.SurveyModelRecord:
    """The state of a survey that the bundle does not know and that was learned."""
    return survey_models.SurveyModelRecord(
        survey="decals",
        state=survey_models.SurveyState.READY,
        since=at(6),
        reason="a survey model was fitted on its first 300 images",
        known=False,
        model_digest=MODEL_DIGEST,
        images=312,
        images_needed=300,
        revision=survey_models.SurveyRevision(
            digest=DIGEST,
            key=f"survey-models/{DIGEST[:2]}/{DIGEST}",
            size_bytes=1_250_000,
            model_digest=MODEL_DIGEST,
            images=300,
            images_digest=_PREPROCESSING,
            format=2,
            fitted_at=at(6),
        ),
        strangest=(IMAGE_ID,),
        version=2,
    )


@cache
def observation() -> records.Observation:
    """The observation of the example image."""
    return records.Observation(
        survey="sdss",
        name="NGC 5194",
        position=records.Position(ra_deg=202.4696, dec_deg=47.1952),
        pixel_scale_arcsec=0.396,
        observed_at=datetime(2003, 3, 30, 8, 15, tzinfo=UTC),
        bands=("g", "r", "i"),
        credit="SDSS collaboration",
        url="https://skyserver.sdss.org/dr17/SkyServerWS/ImgCutout/getjpeg?ra=202.4696&dec=47.1952&scale=0.396",
        extra={"object_id": "587722984435351614"},
    )


@cache
def image() -> records.ImageRecord:
    """An analysed image."""
    result = analysis()
    return records.ImageRecord(
        image_id=IMAGE_ID,
        receipt_id=RECEIPT_ID,
        source="folder",
        batch="run-1",
        observation=observation(),
        original=records.Original(
            key=f"originals/{DIGEST[:2]}/{DIGEST}",
            sha256=DIGEST,
            size_bytes=14_210,
            media_type="image/jpeg",
            width=423,
            height=423,
        ),
        cutout=records.CutoutInfo(
            key=f"cutouts/{IMAGE_ID[:2]}/{IMAGE_ID}.jpg",
            sha256=ids.content_digest(_CUTOUT_JPEG),
            width=16,
            height=16,
            scale=0.038,
            stretch="none",
            orientation="as stored: its header gives no position",
        ),
        origins={"position": "given", "pixel_scale_arcsec": "given", "observed_at": "given", "bands": "given"},
        header=image_files.FileHeader(notes=("The format has no header with a position.",)),
        quality=image_files.PixelQuality(significance=6.2),
        later=(
            records.LaterArrival(
                receipt_id=ids.receipt_id("upload", "run-2", "ngc-5194.jpeg"),
                source="upload",
                ref="ngc-5194.jpeg",
                at=at(7),
                filled=("credit",),
                conflicting={"name": "M 51"},
            ),
        ),
        phash="c3d4e5f60718293a",
        near_duplicates=(records.NearDuplicate(image_id=ids.image_id(_PREPROCESSING), distance=3),),
        state=records.ImageState.ANALYZED,
        ingested_at=at(1),
        offered_at=at(1),
        analysis=result,
        verdict=result.verdict,
        p_value=result.p_value,
        rank_score=result.rank_score,
        predicted_class=result.predicted_class,
        analyzed_at=result.analyzed_at,
        morphology=Morphology(
            method="statmorph",
            version=1,
            quality=MorphologyQuality.SUSPECT,
            concentration=2.71,
            asymmetry=0.21,
            smoothness=0.06,
            gini=0.54,
            m20=-1.79,
            sersic_index=0.99,
            sersic_quality=MorphologyQuality.GOOD,
            ellipticity=0.18,
            half_light_radius_px=4.2,
            sn_per_pixel=5.15,
            ring_score=0.62,
            measured_at=at(4),
        ),
        patch_map=PatchMap(
            version=1,
            model_digest=MODEL_DIGEST,
            codebook=_PREPROCESSING,
            codebook_survey="sdss",
            codebook_images=300,
            cells=_PATCH_CELLS,
            strangest=_PATCH,
            measured_at=at(4),
        ),
        label=records.Answer.INTERESTING,
        labeled_at=at(9),
        labels=(
            records.Label(
                label_id=ids.derived_id("label", IMAGE_ID, "1"),
                answer=records.Answer.INTERESTING,
                user="vera",
                recorded_at=at(9),
                note="tidal bridge to the companion",
                tags=("tidal tail", "pair"),
            ),
        ),
    )


@cache
def matched() -> crossmatch.Crossmatch:
    """What the catalogues said of the place of the example image; one did not answer."""
    return crossmatch.sum_up(
        (
            catalogues.CatalogueAnswer(
                catalogue="simbad",
                required=True,
                status=catalogues.MatchStatus.MATCHED,
                radius_arcsec=120.0,
                answered_at=at(2),
                release="SIMBAD4",
                counterparts=(
                    catalogues.Counterpart(
                        name="M 51",
                        object_type="GiP",
                        ra_deg=202.469575,
                        dec_deg=47.195258,
                        separation_arcsec=0.22,
                        chance_probability=0.0004,
                        major_axis_arcsec=822.0,
                        minor_axis_arcsec=708.0,
                        redshift=0.001534,
                        references=4321,
                        link="https://simbad.cds.unistra.fr/simbad/sim-id?Ident=M%2051",
                    ),
                ),
            ),
            catalogues.CatalogueAnswer(
                catalogue="ned",
                required=True,
                status=catalogues.MatchStatus.FAILED,
                detail="ned.ipac.caltech.edu answers 503 Service Unavailable",
                radius_arcsec=120.0,
            ),
        )
    )


@cache
def crossmatch_record() -> crossmatch.CrossmatchRecord:
    """The cross-match of the example image, which is asked again because one catalogue did not answer."""
    result = analysis()
    return crossmatch.CrossmatchRecord(
        image_id=IMAGE_ID,
        survey="sdss",
        position=observation().position,
        observed_at=observation().observed_at,
        model_digest=result.model_digest,
        calibration_id=result.calibration_id,
        predicted_class=result.predicted_class,
        verdict=result.verdict,
        analyzed_at=result.analyzed_at,
        status=matched().status,
        crossmatch=matched(),
        revision=1,
        tries=1,
        created_at=at(2),
        matched_at=at(2),
        next_try_at=at(3),
    )


@cache
def alert() -> alerts.Alert:
    """The alert about the example image."""
    record, result, observed = image(), analysis(), observation()
    alert_id = ids.alert_id(IMAGE_ID)
    return alerts.Alert(
        schema_version=alerts.ALERT_SCHEMA_VERSION,
        producer="astrolens-notifier/0.1.0",
        event_id=ids.event_id("alerts", alert_id, "0"),
        alert_id=alert_id,
        alert_type="initial",
        alert_tense="current",
        published_at=at(3),
        image_id=IMAGE_ID,
        object_name=observed.name,
        survey_object_id=587722984435351614,
        survey=observed.survey,
        source=record.source,
        simulated=False,
        ra_deg=202.4696,
        dec_deg=47.1952,
        observed_at=observed.observed_at,
        pixel_scale_arcsec=observed.pixel_scale_arcsec,
        bands=observed.bands,
        credit=observed.credit,
        verdict=result.verdict,
        p_value=result.p_value,
        p_value_at_most=result.p_value_at_most,
        calibration_images=result.calibration_images,
        calibration_fit=result.calibration_fit,
        rank_score=result.rank_score,
        kinds=tuple(alerts.AlertKind(kind=kind, probability=share) for kind, share in result.kinds.items()),
        false_alarms_per_1000=2.5,
        predicted_class=result.predicted_class,
        detectors=tuple(
            alerts.AlertDetector(name=name, score=detector.score, p_value=detector.p_value, at_most=detector.at_most)
            for name, detector in result.detectors.items()
        ),
        classifications=(
            alerts.Classification(
                classifier_name=result.model_name,
                classifier_version=result.model_digest,
                classifications=tuple(
                    alerts.ClassProbability(class_name=name, probability=probability)
                    for name, probability in sorted(
                        result.class_probabilities.items(), key=lambda item: item[1], reverse=True
                    )
                ),
            ),
        ),
        crossmatch_status=matched().status,
        crossmatch_reason=matched().reason.detail,
        crossmatch_revision=1,
        possible_discovery=matched().possible_discovery,
        literature_references=matched().references,
        catalogues=matched().answers,
        object_id=ids.object_id(ids.image_id(_PREPROCESSING)),
        sightings=(
            alerts.AlertSighting(
                image_id=ids.image_id(_PREPROCESSING),
                survey="sdss",
                observed_at=observed.observed_at,
                verdict=result.verdict,
                separation_arcsec=1.25,
                alert_id=ids.alert_id(ids.image_id(_PREPROCESSING)),
            ),
        ),
        near_duplicates=(alerts.AlertNearDuplicate(image_id=ids.image_id(_PREPROCESSING), distance=3),),
        provenance=alerts.AlertProvenance(
            original_sha256=DIGEST,
            cutout_sha256=record.cutout.sha256,
            cutout_scale=record.cutout.scale,
            cutout_stretch=record.cutout.stretch,
            model_name=result.model_name,
            model_digest=result.model_digest,
            preprocessing_digest=result.preprocessing_digest,
            calibration_id=result.calibration_id,
            calibration_survey=result.calibration_survey,
            execution_provider=result.execution_provider,
            analyzed_at=result.analyzed_at,
        ),
        cutout=_CUTOUT_JPEG,
        cutout_media_type="image/jpeg",
        cutout_width=record.cutout.width,
        cutout_height=record.cutout.height,
        links=(alerts.AlertLink(rel="original", href=str(observed.url)),),
    )


@cache
def books() -> status.Books:
    """Balanced books."""
    return status.Books(received=1200, analyzed=1100, duplicates=60, rejected=25, dead_lettered=1, in_flight=14)
