"""The tiny bundle, written once."""

from pathlib import Path

import pytest
from astrolens.inference.backbone import Backbone
from astrolens.inference.engine import Engine
from astrolens.science.bundle import Bundle
from astrolens.science.scoring import Scorer

from tests.unit.inference.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return write_tiny_bundle(Path(tmp_path_factory.mktemp("bundle")))


@pytest.fixture(scope="session")
def tiny_engine(tiny_bundle: Bundle) -> Engine:
    return Engine(bundle=tiny_bundle, scorer=Scorer(tiny_bundle), backbone=Backbone(tiny_bundle))
