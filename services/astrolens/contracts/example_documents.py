"""One example of every document and event, by the name of its schema, for `schemas/examples/` and the golden tests."""

from functools import cache

from pydantic import BaseModel

from astrolens.contracts import alerts, events, examples, ids, records, status, topics, verdicts
from astrolens.contracts.model_examples import model, promotion, shadow


@cache
def by_name() -> dict[str, BaseModel]:
    """The examples by the name of their schema, as in `schemas.MODELS`."""
    made = {"producer": "astrolens-example/0.1.0", "occurred_at": examples.at(2)}
    pending = records.PendingEvent(
        event_id=ids.event_id(topics.IMAGES_SUBMITTED, examples.RECEIPT_ID),
        topic=topics.IMAGES_SUBMITTED,
        key=examples.RECEIPT_ID,
        payload=f'{{"receipt_id":"{examples.RECEIPT_ID}"}}',
    )
    return {
        "alerts/alert.v1": examples.alert(),
        "alerts/heartbeat.v1": alerts.Heartbeat(
            event_id=ids.event_id(topics.HEARTBEAT, "example", "17"),
            sequence=17,
            books=examples.books(),
            alerts=12,
            **made,
        ),
        "events/image-submitted.v1": events.ImageSubmitted(
            event_id=pending.event_id, receipt_id=examples.RECEIPT_ID, **made
        ),
        "events/image-ingested.v1": events.ImageIngested(
            event_id=ids.event_id(topics.IMAGES_INGESTED, examples.IMAGE_ID),
            image_id=examples.IMAGE_ID,
            survey="sdss",
            cutout_key=examples.image().cutout.key,
            cutout_sha256=examples.image().cutout.sha256,
            **made,
        ),
        "events/image-analyzed.v1": events.ImageAnalyzed(
            event_id=ids.event_id(
                topics.IMAGES_ANALYZED, examples.IMAGE_ID, examples.MODEL_DIGEST, examples.CALIBRATION_ID
            ),
            image_id=examples.IMAGE_ID,
            survey="sdss",
            model_digest=examples.MODEL_DIGEST,
            calibration_id=examples.CALIBRATION_ID,
            predicted_class="spiral",
            p_value=0.0025,
            verdict=verdicts.Verdict.ANOMALY,
            calibration_images=1199,
            rank_score=2.602,
            **made,
        ),
        "events/candidate-matched.v1": events.CandidateMatched.of(
            examples.crossmatch_record(), service="example", at=examples.at(3)
        ),
        "events/image-enriched.v1": events.ImageEnriched.of(
            examples.IMAGE_ID, examples.image().later[0], survey="sdss", service="example"
        ),
        "events/label-recorded.v1": events.LabelRecorded(
            event_id=ids.event_id(topics.LABELS_RECORDED, examples.image().labels[0].label_id),
            image_id=examples.IMAGE_ID,
            label_id=examples.image().labels[0].label_id,
            answer=records.Answer.INTERESTING,
            user="vera",
            tags=examples.image().labels[0].tags,
            **made,
        ),
        "events/model-promoted.v1": events.ModelPromoted.of(promotion(), service="example"),
        "events/calibration-revised.v1": events.CalibrationRevised.of(
            examples.survey_model(), service="example", at=examples.at(6)
        ),
        "records/receipt": records.Receipt(
            receipt_id=examples.RECEIPT_ID,
            source="folder",
            batch="run-1",
            ref="ngc-5194.jpeg",
            observation=examples.observation(),
            received_at=examples.at(0),
            sha256=examples.DIGEST,
            size_bytes=14_210,
            pending=(pending,),
        ),
        "records/image": examples.image(),
        "records/alert": records.AlertRecord(
            alert_id=examples.alert().alert_id,
            image_id=examples.IMAGE_ID,
            survey="sdss",
            predicted_class="spiral",
            verdict=verdicts.Verdict.ANOMALY,
            p_value=0.0025,
            calibration_images=1199,
            rank_score=2.602,
            topic=topics.alert_topic("sdss", "spiral"),
            raised_at=examples.at(3),
            crossmatch_status=examples.matched().status,
            crossmatch_reason=examples.matched().reason.detail,
            crossmatch_revision=1,
            deliveries=(records.Delivery(channel="mailto #1", state="delivered", attempts=1, at=examples.at(4)),),
        ),
        "records/dead-letter": records.DeadLetter(
            dead_letter_id=ids.derived_id("dead-letter", topics.IMAGES_INGESTED, "0", "41"),
            topic=topics.IMAGES_INGESTED,
            partition=0,
            offset=41,
            key=None,
            body="eyJub3QiOiAiYW4gZXZlbnQifQ==",
            service="analyzer",
            error_type="invalid-event",
            error="image_id: Field required",
            dead_lettered_at=examples.at(5),
        ),
        "records/service-status": status.ServiceStatus(
            service="notifier",
            instance="notifier-4711",
            pid=4711,
            version="0.1.0",
            started_at=examples.at(0),
            seen_at=examples.at(5),
            ready=True,
            state="running",
            processed=1100,
            lag=0,
        ),
        "records/source-status": status.SourceStatus(
            source="sdss",
            state="unreachable",
            detail="skyserver.sdss.org does not answer",
            delivered=40,
            rate_per_min=0.0,
            last_success_at=examples.at(1),
            next_try_at=examples.at(9),
            updated_at=examples.at(5),
        ),
        "records/books": examples.books(),
        "records/survey-model": examples.survey_model(),
        "records/crossmatch": examples.crossmatch_record(),
        "records/model": model(),
        "records/promotion": promotion(),
        "records/shadow": shadow(),
    }
