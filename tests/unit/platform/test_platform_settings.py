"""Settings: every variable is described, `.env.example` names them all, wrong ones get one sentence."""

from pathlib import Path

import pytest
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import Settings, load_settings
from astrolens.platform.stores.open import image_store, record_store

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ASTROLENS_{name.upper()}", raising=False)


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_env_example_names_every_setting_with_its_description() -> None:
    text = (ROOT / ".env.example").read_text()
    missing = [
        name
        for name, field in Settings.model_fields.items()
        if f"ASTROLENS_{name.upper()}=" not in text or (field.description or "") not in text
    ]
    assert missing == []
    named = {line.lstrip("# ").split("=")[0] for line in text.splitlines() if "=" in line and "ASTROLENS_" in line}
    assert named == {f"ASTROLENS_{name.upper()}" for name in Settings.model_fields}


def test_stores_live_in_the_home_folder_by_default(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    assert settings.records_url == f"sqlite:///{tmp_path}/records.sqlite"
    assert settings.images_url == f"file://{tmp_path}/images"


def test_lists_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLENS_SOURCES", "simulated, sdss")
    monkeypatch.setenv("ASTROLENS_NOTIFY_URLS", "json://a mailto://b")
    settings = load_settings()
    assert settings.sources == ("simulated", "sdss")
    assert [url.get_secret_value() for url in settings.notify_urls] == ["json://a", "mailto://b"]
    assert load_settings(sources="none").sources == ()


def test_a_wrong_value_is_named_without_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLENS_PORT", "99999")
    monkeypatch.setenv("ASTROLENS_TOKEN", "secret-token")
    with pytest.raises(ConfigurationError, match="ASTROLENS_PORT") as caught:
        load_settings()
    assert "secret-token" not in str(caught.value)


def test_the_broker_address_holds_no_password_and_none_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLENS_EVENTS_URL", "kafka://vera:hunter2hunter2@kafka:9092")
    with pytest.raises(ConfigurationError, match="ASTROLENS_KAFKA_PASSWORD") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("open_store", "url"),
    [
        (record_store, "postgres://x/y"),
        (record_store, "sqlite://host/file"),
        (record_store, "sqlite://"),
        (image_store, "ftp://x"),
        (image_store, "file://host/x"),
    ],
)
def test_a_url_without_an_adapter_is_one_sentence(open_store: object, url: str) -> None:
    with pytest.raises(ConfigurationError, match="ASTROLENS_"):
        open_store(url)  # type: ignore[operator]


def test_the_broker_address_needs_a_kafka_url() -> None:
    with pytest.raises(ConfigurationError, match="ASTROLENS_EVENTS_URL"):
        _ = load_settings(events_url="amqp://x").bootstrap_servers
    assert load_settings(events_url="kafka://a:1,b:2").bootstrap_servers == ["a:1", "b:2"]


def test_ports_follow_the_console_so_that_two_systems_need_one_setting() -> None:
    settings = load_settings(port=9000)
    derived = {getattr(settings, name) for name in type(settings).model_fields if name.endswith("_port")}
    assert derived == {9002, 9003, 9004, 9005, 9006, 9007}
    assert settings.inference_address == "127.0.0.1:9001"
    assert load_settings(port=9000, ingestor_port=7000).ingestor_port == 7000


@pytest.mark.parametrize("zero", [0, "0", " 0 "])
def test_a_zero_means_the_default(zero: object) -> None:
    settings = load_settings(port=9000, ingestor_port=zero, notifier_port=zero, redeliver_after_s=zero)
    assert (settings.ingestor_port, settings.notifier_port, settings.redeliver_after_s) == (9002, 9005, 20.0)


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RECORDS_URL", "IMAGES_URL", "INFERENCE_ADDRESS"):
        monkeypatch.setenv(f"ASTROLENS_{name}", "")
    settings = load_settings(home=tmp_path, port=9000)
    assert settings.records_url == f"sqlite:///{tmp_path}/records.sqlite"
    assert settings.images_url == f"file://{tmp_path}/images"
    assert settings.inference_address == "127.0.0.1:9001"


def test_work_is_redelivered_sooner_where_the_broker_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().redeliver_after_s == 20.0
    assert load_settings(events_url="kafka://a:1").redeliver_after_s == 3600.0
    assert load_settings(events_url="kafka://a:1", redeliver_after_s=7).redeliver_after_s == 7.0
    monkeypatch.setenv("ASTROLENS_EMBEDDED_BROKER", "1")
    assert load_settings(events_url="kafka://a:1").redeliver_after_s == 20.0


def test_a_wrong_value_is_one_problem_whatever_follows_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTROLENS_PORT", "99999")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert str(caught.value) == "wrong settings: ASTROLENS_PORT: Input should be less than or equal to 65535"


def test_the_home_folder_is_expanded_before_anything_follows_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("ASTROLENS_HOME", "~/sky")
    assert load_settings().records_url == "sqlite:////home/somebody/sky/records.sqlite"


def test_a_port_without_room_for_the_others_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="below 65528"):
        load_settings(port=65535)


def test_another_process_gets_exactly_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings(
        home=tmp_path, port=9000, sources="none", token="t0", notify_urls="json://a json://b", folder_path=tmp_path
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert load_settings() == settings


def test_a_password_in_a_store_url_is_not_shown(tmp_path: Path) -> None:
    shown = repr(load_settings(home=tmp_path, records_url="mongodb://user:hunter2@host/x", token="hunter3"))
    assert "hunter" not in shown
