"""Originals that MinIO may let go: tagged by the ingestor's pass, and no more once a person labels them."""

import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from astrolens.console.main import build_context
from astrolens.contracts.base import utc_now, utc_text
from astrolens.contracts.records import Answer
from astrolens.ingestor.retention import GRACE, Retention
from astrolens.platform.settings import Settings
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.s3.store import RULE, S3ImageStore
from astrolens.rpc.model_client import ModelClient
from astrolens.usecases.labelling import LabelRequest
from astrolens.usecases.model_status import ModelStatus

from tests.behaviour.image_store import JPEG

EXAMPLE = json.loads((Path(__file__).resolve().parents[2] / "schemas/examples/records/image.json").read_text())


class NoBus:
    """Publishes nothing."""

    async def release(self, collection: object, documents: object) -> None:
        return None

    async def publish(self, events: object) -> None:
        return None


async def test_a_labelled_original_loses_its_tag_and_the_server_reports_the_rule(
    engine_settings: dict[str, str], bucket_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        _env_file=None,
        home=tmp_path,
        images_url=bucket_url,
        s3_access_key=engine_settings["s3_access_key"],
        s3_secret_key=engine_settings["s3_secret_key"],
        s3_expire_ordinary_days=30,
    )
    records, images = record_store(settings.records_url), image_store(settings.images_url, settings.s3_options)
    assert isinstance(images, S3ImageStore)
    await records.open()
    await images.open()
    model_client = ModelClient(settings.inference_address)
    context = build_context(
        settings,
        records=records,
        images=images,
        releaser=NoBus(),
        publisher=NoBus(),
        model_client=model_client,
        model_status=ModelStatus(model_client),
    )
    keys = {}
    for name, verdict in (("a", "ordinary"), ("b", "ordinary"), ("c", "anomaly")):
        key = keys[name * 32] = f"originals/{name * 2}/{name * 64}"
        await images.put(key, name.encode(), media_type=JPEG)
        record = {
            **EXAMPLE,
            "image_id": name * 32,
            "original": {**EXAMPLE["original"], "key": key},
            "verdict": verdict,
            "analyzed_at": utc_text(utc_now() - GRACE - timedelta(hours=1)),
            "label": None,
            "labeled_at": None,
            "labels": [],
            "pending": [],
        }
        await records.insert(Collection.IMAGES, [record])

    bucket = urlsplit(bucket_url).path.strip("/")

    def tagged() -> set[str]:
        return {image for image, key in keys.items() if images._client.get_object_tags(bucket, key)}

    retention = Retention(records=records, originals=images, days=settings.s3_expire_ordinary_days)
    assert await retention.run_pass() == 2
    assert tagged() == {"a" * 32, "b" * 32}
    rules = images._client.get_bucket_lifecycle(bucket)
    assert rules is not None
    assert [(rule.rule_id, rule.expiration.days) for rule in rules.rules if rule.expiration] == [(RULE, 30)]

    await context.labelling.answer(LabelRequest(image_id="a" * 32, answer=Answer.ORDINARY), user="ada")
    assert tagged() == {"b" * 32}
    await context.reanalysis.analyze_again("b" * 32)
    assert tagged() == set()
    assert await Retention(records=records, originals=images, days=30).run_pass() == 0
    assert tagged() == set()
    await model_client.close()
    await images.close()
    await records.close()
