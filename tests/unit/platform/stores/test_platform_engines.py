"""URLs and settings of the real engines: what is wrong is one sentence, and no secret is in it."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from astrolens.platform.bus.access import kafka_access
from astrolens.platform.bus.topics import declared_topics
from astrolens.platform.errors import ConfigurationError
from astrolens.platform.settings import S3Options, Settings, load_settings
from astrolens.platform.stores.mongo.store import MongoRecordStore
from astrolens.platform.stores.open import image_store, record_store
from astrolens.platform.stores.s3.store import S3ImageStore, lifecycle

ROOT = Path(__file__).resolve().parents[4]


def settings(home: Path, **overrides: Any) -> Settings:
    return Settings(_env_file=None, home=home, events_url="kafka://a:1,b", **overrides)


def test_urls_choose_the_engine() -> None:
    assert isinstance(record_store("mongodb://u:p@h:1/db"), MongoRecordStore)
    assert isinstance(record_store("mongodb+srv://u:p@h/db"), MongoRecordStore)
    assert isinstance(image_store("s3+http://key:s%2Fecret@h:1/bucket"), S3ImageStore)
    assert isinstance(image_store("s3+https://h/bucket?region=eu", S3Options("key", "secret")), S3ImageStore)


@pytest.mark.parametrize("url", ["s3+http://k:hidden@/bucket", "s3+http://k:hidden@h", "s3+http://k:hidden@h/a/b"])
def test_an_incomplete_s3_url_is_one_sentence(url: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port/bucket") as caught:
        image_store(url)
    assert "hidden" not in str(caught.value)


def test_s3_without_credentials_names_the_settings() -> None:
    with pytest.raises(ConfigurationError, match="ASTROLENS_S3_ACCESS_KEY"):
        image_store("s3+http://h/bucket")


def test_options_are_not_shown() -> None:
    assert "secret" not in repr(S3Options("key", "secret"))


def test_the_life_cycle_rule_asks_for_mark_and_prefix() -> None:
    (rule,) = lifecycle(30).rules
    assert rule.rule_filter is not None
    assert rule.rule_filter.and_operator is not None
    assert rule.rule_filter.and_operator.prefix == "originals/"
    assert dict(rule.rule_filter.and_operator.tags or {}) == {"astrolens": "expendable"}


def test_the_life_cycle_rule_stands_beside_the_rules_of_others() -> None:
    other = lifecycle(3).rules[0]
    assert [rule.expiration.days for rule in lifecycle(30, others=[other]).rules if rule.expiration] == [3, 30]


async def test_a_link_names_the_public_host_and_asks_no_server() -> None:
    store = image_store("s3+http://key:hidden@minio:1/bucket?region=eu", S3Options(public_url="https://s3.example:444"))
    link = await store.link("originals/ab/cd", media_type="image/fits", expires_s=600.0, filename="cd.fits")
    assert link is not None
    parts = urlsplit(link)
    asked = parse_qs(parts.query)
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "s3.example:444", "/bucket/originals/ab/cd")
    assert asked["response-content-disposition"] == ['attachment; filename="cd.fits"']
    assert asked["response-content-type"] == ["image/fits"]
    assert asked["X-Amz-Expires"] == ["600"]
    assert "/eu/s3/" in asked["X-Amz-Credential"][0]
    assert "hidden" not in link
    shown = await store.link("cutouts/ab/cd.jpg", media_type="image/jpeg", expires_s=600.0)
    assert shown is not None
    assert "content-disposition" not in shown
    await store.close()


@pytest.mark.parametrize(
    "value", ["minio:9000", "https://u:p@h", "https://h/bucket", "https://h; script-src *", "ftp://h"]
)
def test_a_public_address_is_an_origin_and_nothing_else(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigurationError, match="ASTROLENS_S3_PUBLIC_URL"):
        load_settings(home=tmp_path, s3_public_url=value)


def test_pages_get_pictures_from_elsewhere_only_where_a_store_gives_links(tmp_path: Path) -> None:
    public = {"s3_public_url": "https://S3.example/"}
    assert settings(tmp_path, **public).picture_origin == ""
    assert settings(tmp_path, images_url="s3+http://h/b", **public).picture_origin == "https://s3.example"


def test_kafka_without_login_or_tls(tmp_path: Path) -> None:
    access = kafka_access(settings(tmp_path))
    assert (access.addresses, access.client_options()) == ([("a", 1), ("b", 9092)], {})


@pytest.mark.parametrize(
    ("mechanism", "tls", "protocol"),
    [("SCRAM-SHA-512", False, "SASL_PLAINTEXT"), ("SCRAM-SHA-256", True, "SASL_SSL"), ("PLAIN", True, "SASL_SSL")],
)
def test_kafka_with_a_login(tmp_path: Path, mechanism: str, tls: bool, protocol: str) -> None:
    access = kafka_access(
        settings(tmp_path, kafka_user="u", kafka_password="hidden", kafka_mechanism=mechanism, kafka_tls=tls)
    )
    options = access.client_options()
    assert (options["sasl_mechanism"], options["security_protocol"]) == (mechanism, protocol)
    assert (options["ssl_context"] is not None) == tls
    assert "hidden" not in repr(access)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kafka_user": "u"}, "ASTROLENS_KAFKA_PASSWORD is not set"),
        ({"kafka_password": "hidden"}, "ASTROLENS_KAFKA_USER is empty"),
        ({"kafka_ca_file": "/absent.pem"}, "ASTROLENS_KAFKA_TLS is not true"),
        ({"kafka_ca_file": "/absent.pem", "kafka_tls": True}, "no readable PEM certificates"),
    ],
)
def test_half_a_configuration_is_one_sentence(tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        kafka_access(settings(tmp_path, **wrong))
    assert "hidden" not in str(caught.value)


def test_declared_topics_are_read_with_their_retention() -> None:
    declared = {topic.name: topic for topic in declared_topics(ROOT / "deploy/kafka/topics.yaml")}
    assert declared["astrolens.labels.recorded.v1"].retention_ms == -1
    assert declared["astrolens.images.ingested.v1"].retention_ms == 7 * 24 * 3600 * 1000
    assert all(topic.partitions >= 1 for topic in declared.values())


@pytest.mark.parametrize("content", ["", "topics: 3", "topics: [{name: x}]", ":\n  -"])
def test_a_topics_file_that_is_none_is_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "topics.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=r"topics\.yaml"):
        declared_topics(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        declared_topics(tmp_path / "absent.yaml")
