"""What must hold for every service that `astrolens serve` knows: a subscriber added later cannot forget it."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.runtime.services import service_named
from astrolens.platform.time_limits import POLL_INTERVAL_S
from faststream import AckPolicy

from tests.unit.platform.platform_fakes import settings

CONSUMING = ("ingestor", "analyzer", "crossref", "notifier")


def create(service: str, home: Path) -> ServiceApp:
    app = import_module(service_named(service).module).create_app(settings(home))
    assert isinstance(app, ServiceApp)
    return app


@pytest.mark.parametrize("service", CONSUMING)
def test_every_subscriber_redelivers_what_failed(service: str, tmp_path: Path) -> None:
    subscribers: list[Any] = list(create(service, tmp_path).bus.broker.subscribers)
    assert subscribers
    for subscriber in subscribers:
        assert subscriber.ack_policy is AckPolicy.NACK_ON_ERROR
        assert subscriber._connection_args["enable_auto_commit"] is False
        assert subscriber._connection_args["auto_offset_reset"] == "earliest"
        assert subscriber._connection_args["max_poll_interval_ms"] == POLL_INTERVAL_S * 1000
        # The first topic has the service's group, a second one its own.
        assert subscriber.group_id.startswith(f"astrolens-{service}")
    assert f"astrolens-{service}" in {subscriber.group_id for subscriber in subscribers}
    assert len({subscriber.group_id for subscriber in subscribers}) == len(subscribers)


@pytest.mark.parametrize("service", [*CONSUMING, "model-server"])
def test_building_a_service_opens_nothing(service: str, tmp_path: Path) -> None:
    create(service, tmp_path / "home")
    assert not (tmp_path / "home").exists()
