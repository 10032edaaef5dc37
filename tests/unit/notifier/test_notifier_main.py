"""The composition: what is consumed, what is refused at start, what is kept secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from astrolens.contracts import topics
from astrolens.contracts.alerts import HEARTBEAT_INTERVAL_S
from astrolens.notifier.main import create_app
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import load_settings
from pydantic import SecretStr

SECRET = "hunter2-Tr0ub4dor"

# One of Apprise's hundred plugins imports it.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def test_it_consumes_analyses_and_names_its_channels(tmp_path: Path) -> None:
    app = create_app(
        load_settings(
            home=tmp_path,
            events_url="kafka://127.0.0.1:9",
            notify_urls=(SecretStr(f"json://localhost/{SECRET}"), SecretStr(f"mailto://a:{SECRET}@example.org")),
        )
    )
    assert [consumer.topic for consumer in app.bus.consumers] == [topics.CANDIDATES_MATCHED, topics.LABELS_RECORDED]
    assert app.info == {"channels": ["json #1", "mailto #1"], "broker": "127.0.0.1:9"}
    assert SECRET not in json.dumps(app.info)
    assert not list(tmp_path.iterdir()), "building must open nothing"


def test_a_bad_notification_address_stops_the_start(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path, events_url="kafka://127.0.0.1:9", notify_urls=f"nosuch://{SECRET}")
    with pytest.raises(ConfigurationError, match="ASTROLENS_NOTIFY_URLS: address 1 of 1") as caught:
        create_app(settings)
    assert SECRET not in str(caught.value)


def test_what_must_not_be_done_twice_is_done_under_a_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(ServiceApp, "every", lambda _app, name, _work, **options: tasks.update({name: options}))
    urls = f"json://localhost/{SECRET} json://localhost/other"
    create_app(load_settings(home=tmp_path, events_url="kafka://127.0.0.1:9", notify_urls=urls))
    assert {name for name, options in tasks.items() if options.get("lease") is not None} == {
        "sweep for lost events",
        "deliveries to json #1",
        "deliveries to json #2",
    }
    # The heartbeat holds a lease of its own, which does not stop it while the record store is unreachable.
    assert tasks["public heartbeat"]["fixed_rate"]
    assert tasks["public heartbeat"]["interval_s"] == HEARTBEAT_INTERVAL_S
    assert tasks["deliveries to json #1"]["wake"] is not tasks["deliveries to json #2"]["wake"]
