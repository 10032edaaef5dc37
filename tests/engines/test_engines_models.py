"""The model registry on a real MinIO and on MongoDB's protocol: the behaviour suite."""

from collections.abc import AsyncIterator

import pytest
from astrolens.platform.stores.images import ImageStore
from astrolens.platform.stores.mongo.store import MongoRecordStore
from astrolens.platform.stores.open import image_store
from astrolens.platform.stores.records import RecordStore

from tests.behaviour.model_registry import ModelRegistryBehaviour
from tests.engines.test_engines_s3 import options


class TestModelRegistryOnEngines(ModelRegistryBehaviour):
    @pytest.fixture
    async def records(self, mongodb_url: str) -> AsyncIterator[RecordStore]:
        store = MongoRecordStore(mongodb_url)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def images(self, stack: dict[str, str], bucket_url: str) -> AsyncIterator[ImageStore]:
        store = image_store(bucket_url, options(stack))
        await store.open()
        yield store
        await store.close()
