"""Kafka on Kubernetes: declared topics, who may do what, and scaling that the partitions can carry."""

from typing import Any

import pytest
from astrolens.contracts import topics
from astrolens.inference import analyzer_main
from astrolens.ingestor import arrivals
from astrolens.notifier.main import INPUT_TOPIC
from astrolens.platform.bus import create_bus
from astrolens.platform.stores.open import record_store

from tests.deploy_files import load, of_kind, render, settings_of

pytestmark = pytest.mark.timeout(900)  # kustomize may have to be built, once

READS = {
    "ingestor": topics.IMAGES_SUBMITTED,
    "analyzer": topics.IMAGES_INGESTED,
    "crossref": topics.IMAGES_ANALYZED,
    "trainer": topics.LABELS_RECORDED,
    "notifier": INPUT_TOPIC,
}
ALSO_READS = {"crossref": [topics.IMAGES_ENRICHED], "notifier": [topics.LABELS_RECORDED]}
SCALED = {arrivals.SERVICE, analyzer_main.SERVICE}
"""What follows its backlog."""
SHARED_OUTBOX = tuple(
    topic for topic in topics.INTERNAL if topic not in {topics.CANDIDATES_MATCHED, topics.MODELS_PROMOTED}
)
"""Who has the images in its outbox publishes whatever event waits in them."""


@pytest.fixture(scope="module")
def dev() -> list[dict[str, Any]]:
    return render("k8s/overlays/dev")


@pytest.fixture(scope="module")
def prod() -> list[dict[str, Any]]:
    return render("k8s/overlays/prod")


def allowed(user: dict[str, Any], operation: str, kind: str, name: str) -> bool:
    """Whether Kafka's ACLs let a user do something."""
    for acl in user["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        matches = name == resource["name"]
        if resource["patternType"] == "prefix":
            matches = name.startswith(resource["name"])
        if resource["type"] == kind and matches and operation in acl["operations"]:
            return True
    return False


def everything() -> list[str]:
    """Every topic there may be, one public one for all."""
    names = [topic["name"] for topic in load("deploy/kafka/topics.yaml")["topics"]]
    return [*names, topics.alert_topic("sdss", "spiral"), topics.alert_json_topic("sdss", "spiral")]


def test_topics_are_the_declared_ones_and_safely_copied(prod: list[dict[str, Any]]) -> None:
    declared = {topic["name"]: topic for topic in load("deploy/kafka/topics.yaml")["topics"]}
    made = of_kind(prod, "KafkaTopic")
    assert set(made) == set(declared)
    for name, topic in made.items():
        assert topic["apiVersion"] == "kafka.strimzi.io/v1"
        assert topic["metadata"]["labels"]["strimzi.io/cluster"] in of_kind(prod, "Kafka")
        spec = topic["spec"]
        assert spec["partitions"] == declared[name]["partitions"]
        assert spec["replicas"] == 3
        assert spec["config"]["min.insync.replicas"] == 2
        assert spec["config"]["cleanup.policy"] == "delete"
        days = declared[name]["retention_days"]
        assert spec["config"]["retention.ms"] == (-1 if days == "forever" else days * 86_400_000)


def test_topics_that_come_by_themselves_are_like_the_declared_families(prod: list[dict[str, Any]]) -> None:
    config = of_kind(prod, "Kafka")["astrolens"]["spec"]["kafka"]["config"]
    for family in load("deploy/kafka/topics.yaml")["families"]:
        assert config["num.partitions"] == family["partitions"]
        assert config["log.retention.ms"] == family["retention_days"] * 86_400_000
    assert config["auto.create.topics.enable"] is True
    assert (config["default.replication.factor"], config["min.insync.replicas"]) == (3, 2)


def test_nobody_comes_in_without_a_name(prod: list[dict[str, Any]], dev: list[dict[str, Any]]) -> None:
    for resources in (prod, dev):
        kafka = of_kind(resources, "Kafka")["astrolens"]
        assert kafka["apiVersion"] == "kafka.strimzi.io/v1"
        spec = kafka["spec"]["kafka"]
        assert {(each["tls"], each["authentication"]["type"]) for each in spec["listeners"]} == {
            (True, "scram-sha-512")
        }
        assert spec["authorization"] == {"type": "simple"}
        assert set(kafka["spec"]["entityOperator"]) == {"topicOperator", "userOperator"}
        (pool,) = of_kind(resources, "KafkaNodePool").values()
        assert pool["spec"]["roles"] == ["controller", "broker"]


def test_dev_fits_one_broker(dev: list[dict[str, Any]]) -> None:
    (pool,) = of_kind(dev, "KafkaNodePool").values()
    assert pool["spec"]["replicas"] == 1
    assert pool["spec"]["storage"] == {"type": "ephemeral"}
    config = of_kind(dev, "Kafka")["astrolens"]["spec"]["kafka"]["config"]
    assert {value for name, value in config.items() if "replication" in name or "isr" in name} == {1}
    assert {topic["spec"]["replicas"] for topic in of_kind(dev, "KafkaTopic").values()} == {1}


def test_offsets_outlive_every_record(prod: list[dict[str, Any]]) -> None:
    config = of_kind(prod, "Kafka")["astrolens"]["spec"]["kafka"]["config"]
    days = [topic["retention_days"] for topic in load("deploy/kafka/topics.yaml")["topics"]]
    assert config["offsets.retention.minutes"] >= max(day for day in days if day != "forever") * 24 * 60


@pytest.mark.parametrize("service", sorted(READS))
def test_readers_may_read_their_topic_in_their_group_and_no_other(prod: list[dict[str, Any]], service: str) -> None:
    user = of_kind(prod, "KafkaUser")[service]
    settings = settings_of({"ASTROLENS_EVENTS_URL": "kafka://kafka:9092"})
    bus = create_bus(settings, service=service, records=record_store(settings.records_url))
    bus.consume(READS[service], load_event(READS[service]), _nothing)
    subscriber: Any
    (subscriber,) = bus.broker.subscribers
    assert allowed(user, "Read", "group", subscriber.group_id)
    read = [name for name in everything() if allowed(user, "Read", "topic", name)]
    assert read == [READS[service], *ALSO_READS.get(service, ())]
    assert all(allowed(user, "Write", "topic", topics.dead_letter_topic(name)) for name in read)


def load_event(topic: str) -> Any:
    from astrolens.contracts.events import BY_TOPIC

    return BY_TOPIC[topic]


async def _nothing(_: Any) -> list[Any]:
    return []


def test_writers_may_write_what_waits_in_their_outboxes(prod: list[dict[str, Any]]) -> None:
    users = of_kind(prod, "KafkaUser")
    for service in ("ingestor", "analyzer", "console"):
        assert all(allowed(users[service], "Write", "topic", name) for name in SHARED_OUTBOX)
    assert allowed(users["crossref"], "Write", "topic", topics.CANDIDATES_MATCHED)
    promoters = {name for name, user in users.items() if allowed(user, "Write", "topic", topics.MODELS_PROMOTED)}
    assert promoters == {"console", "trainer"}
    assert not [name for name in everything() if allowed(users["console"], "Read", "topic", name)]


def test_only_the_notifier_speaks_to_the_public(prod: list[dict[str, Any]]) -> None:
    public = [name for name in everything() if name.startswith(("astrolens.alerts", topics.HEARTBEAT))]
    assert len(public) == 3
    for name, user in of_kind(prod, "KafkaUser").items():
        may = [topic for topic in public if allowed(user, "Write", "topic", topic)]
        assert may == (public if name == "notifier" else [])
        makes = [topic for topic in everything() if allowed(user, "Create", "topic", topic)]
        assert makes == (public[-2:] if name == "notifier" else [])


def test_a_listener_may_read_alerts_and_nothing_else(prod: list[dict[str, Any]]) -> None:
    user = of_kind(prod, "KafkaUser")["alert-reader"]
    readable = [name for name in everything() if allowed(user, "Read", "topic", name)]
    assert readable == [
        topics.HEARTBEAT,
        topics.alert_topic("sdss", "spiral"),
        topics.alert_json_topic("sdss", "spiral"),
    ]
    for acl in user["spec"]["authorization"]["acls"]:
        assert set(acl["operations"]) <= {"Read", "Describe"}
    assert allowed(user, "Read", "group", "alert-reader.my-marshal")
    assert not allowed(user, "Read", "group", "astrolens-analyzer")


def test_whoever_scales_on_lag_is_named(prod: list[dict[str, Any]]) -> None:
    assert set(of_kind(prod, "ScaledObject")) == SCALED


@pytest.mark.parametrize("service", sorted(SCALED))
def test_services_scale_on_their_lag_and_never_beyond_the_partitions(prod: list[dict[str, Any]], service: str) -> None:
    spec = of_kind(prod, "ScaledObject")[service]["spec"]
    assert spec["scaleTargetRef"] == {"name": service}
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["topic"] == READS[service]
    assert trigger["metadata"]["consumerGroup"] == f"astrolens-{service}"
    partitions = of_kind(prod, "KafkaTopic")[READS[service]]["spec"]["partitions"]
    assert 2 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"] <= partitions
    assert int(trigger["metadata"]["lagThreshold"]) > 0


@pytest.mark.parametrize("service", sorted(SCALED))
def test_keda_logs_in_and_may_look_at_the_lag_only(prod: list[dict[str, Any]], service: str) -> None:
    (trigger,) = of_kind(prod, "ScaledObject")[service]["spec"]["triggers"]
    listeners = of_kind(prod, "Kafka")["astrolens"]["spec"]["kafka"]["listeners"]
    host, _, port = trigger["metadata"]["bootstrapServers"].partition(":")
    assert host == "astrolens-kafka-bootstrap.astrolens.svc"
    assert int(port) in {each["port"] for each in listeners}
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("scram_sha512", "enable")
    login = of_kind(prod, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]["spec"]
    (name,) = login["configMapTargetRef"]
    username = of_kind(prod, "ConfigMap")[name["name"]]["data"][name["key"]]
    secrets = {each["parameter"]: (each["name"], each["key"]) for each in login["secretTargetRef"]}
    assert secrets == {"password": (username, "password"), "ca": ("astrolens-cluster-ca-cert", "ca.crt")}
    user = of_kind(prod, "KafkaUser")[username]
    assert {tuple(acl["operations"]) for acl in user["spec"]["authorization"]["acls"]} == {("Describe",)}
    assert allowed(user, "Describe", "topic", trigger["metadata"]["topic"])
    assert allowed(user, "Describe", "group", trigger["metadata"]["consumerGroup"])


def test_who_scales_owns_the_number(prod: list[dict[str, Any]]) -> None:
    deployments = of_kind(prod, "Deployment")
    for service in SCALED:
        assert "replicas" not in deployments[service]["spec"]
    assert "replicas" not in deployments["model-server"]["spec"]
    spec = of_kind(prod, "HorizontalPodAutoscaler")["model-server"]["spec"]
    assert spec["scaleTargetRef"]["name"] == "model-server"
    assert spec["minReplicas"] >= 2
