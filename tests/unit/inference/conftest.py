"""The tiny bundle, written once, and a survey's world around it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine
from astrolens.science.bundle import Bundle
from astrolens.science.scoring import Scorer

from tests.unit.inference.survey_world import SurveyWorld
from tests.unit.inference.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="session")
def tiny_engine(tiny_bundle: Bundle) -> Engine:
    return Engine(bundle=tiny_bundle, scorer=Scorer(tiny_bundle), backbone=Backbone(tiny_bundle))


@pytest.fixture
async def world(tmp_path: Path, tiny_bundle: Bundle) -> AsyncIterator[SurveyWorld]:
    world = SurveyWorld(tmp_path, tiny_bundle)
    await world.open()
    yield world
    await world.close()
