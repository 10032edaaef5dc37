"""The alerts of a whole pipeline, read from Kafka over SCRAM by a partner's tools: kcat, librdkafka, fastavro.

The stack's user `alerts` may read public topics in groups named `alerts-...`, and nothing else.
"""

import io
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import confluent_kafka
import fastavro
import pytest
from astrolens.contracts import topics
from confluent_kafka import KafkaError

from tests.chaos.kills import Launch, feed
from tests.e2e.conftest import feed_folder
from tests.engines.stack_control import ROOT, Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PICTURES = 120
PATIENCE_S = 30.0
SCHEMA = json.loads((ROOT / "schemas/alerts/alert.v1.avsc").read_text())


@pytest.fixture(scope="module")
def alerts(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Image by alert of a run whose alerts lie in their topics."""
    pictures = feed_folder(tmp_path_factory.mktemp("alerts-feed") / "pictures", PICTURES)
    with launch() as system:
        found: dict[str, str] = feed(system, pictures)["alerts"]
    assert found
    return found


@pytest.fixture
def consumer_options(servers: Stack) -> dict[str, Any]:
    """A consumer of the user `alerts`."""
    return {
        **servers.alerts_options(),
        "group.id": f"alerts-{uuid.uuid4().hex[:8]}",
        "auto.offset.reset": "earliest",
        "topic.metadata.refresh.interval.ms": 1_000,
        "allow.auto.create.topics": False,
    }


def decoded(packet: bytes) -> dict[str, Any]:
    """An alert read by the published schema, whatever schema it was written with."""
    (alert,) = fastavro.reader(io.BytesIO(packet), reader_schema=SCHEMA)
    assert isinstance(alert, dict)
    return alert


def test_librdkafka_reads_every_alert_once(alerts: dict[str, str], consumer_options: dict[str, Any]) -> None:
    consumer = confluent_kafka.Consumer(consumer_options)
    consumer.subscribe(["^astrolens\\.alerts\\..*"])
    found: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + PATIENCE_S
    try:
        while len(found) < len(alerts) and time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is None or message.error() is not None:
                continue
            alert = decoded(message.value() or b"")
            assert message.topic() == topics.alert_topic("sdss", alert["predicted_class"])
            assert alert["alert_id"] not in found
            found[alert["alert_id"]] = alert
    finally:
        consumer.close()
    assert {key: alert["image_id"] for key, alert in found.items()} == alerts
    one = next(iter(found.values()))
    assert one["cutout"][:2] == b"\xff\xd8"
    assert 0 <= one["p_value"] <= 0.05
    assert {detector["name"] for detector in one["detectors"]} >= {"msp", "energy", "mahalanobis"}


Kcat = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def kcat(servers: Stack, tmp_path: Path) -> Kcat:
    """Runs kcat as the user `alerts`; its password is in a file, not among the arguments.

    Debian 12 gives it librdkafka 2.0, whose SCRAM no Kafka since 4.0 lets in (mended in 2.6.1): here it takes the
    library that comes with confluent-kafka.
    """
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed (Debian: apt-get install kcat)")
    (library,) = Path(confluent_kafka.__file__).parents[1].glob("confluent_kafka.libs/librdkafka*.so*")
    (tmp_path / "librdkafka.so.1").symlink_to(library)
    options = {name: value for name, value in servers.alerts_options().items() if name != "log_level"}
    configuration = tmp_path / "kcat.conf"
    configuration.write_text("".join(f"{name}={value}\n" for name, value in options.items()))

    def run(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["kcat", "-F", str(configuration), *arguments],
            env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
            input=stdin,
            capture_output=True,
            timeout=240,
            check=False,
        )

    return run


def test_kcat_reads_every_alert(alerts: dict[str, str], kcat: Kcat) -> None:
    listed = json.loads(kcat("-L", "-J").stdout)
    public = [topic["topic"] for topic in listed["topics"] if topic["topic"].startswith("astrolens.alerts.")]
    assert not {topic["topic"] for topic in listed["topics"]} & set(topics.INTERNAL)
    found: dict[str, str] = {}
    for topic in public:
        result = kcat("-C", "-q", "-t", topic, "-o", "beginning", "-e", "-f", "%R%s")
        assert result.returncode == 0, result.stderr
        for alert in map(decoded, _packets(result.stdout)):
            found[alert["alert_id"]] = alert["image_id"]
    assert found == alerts


def test_kcat_is_refused_elsewhere(alerts: dict[str, str], kcat: Kcat) -> None:
    for arguments in (
        ["-C", "-t", topics.IMAGES_ANALYZED, "-e"],
        ["-C", "-G", "astrolens-notifier", topics.alert_topic("sdss", "smooth")],
        ["-P", "-t", topics.alert_topic("sdss", "smooth")],
    ):
        result = kcat(*arguments, stdin=b"forged")
        assert result.returncode != 0
        assert b"authorization failed" in result.stderr, result.stderr
        assert not result.stdout


def _packets(stream: bytes) -> list[bytes]:
    """Packets of which each comes after its length."""
    packets: list[bytes] = []
    while stream:
        length = int.from_bytes(stream[:4], "big")
        packets.append(stream[4 : 4 + length])
        stream = stream[4 + length :]
    return packets


@pytest.mark.parametrize("topic", [*topics.INTERNAL, topics.dead_letter_topic(topics.IMAGES_INGESTED)])
def test_internal_topics_cannot_be_read(topic: str, consumer_options: dict[str, Any]) -> None:
    assert _first_error({**consumer_options, "allow.auto.create.topics": True}, topic) in {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    }


def test_a_group_of_others_cannot_be_joined(alerts: dict[str, str], consumer_options: dict[str, Any]) -> None:
    options = {**consumer_options, "group.id": "astrolens-notifier"}
    assert _first_error(options, topics.alert_topic("sdss", "smooth")) == KafkaError.GROUP_AUTHORIZATION_FAILED


@pytest.mark.parametrize(
    "topic", [topics.alert_topic("sdss", "smooth"), topics.IMAGES_ANALYZED, topics.HEARTBEAT, "somebody-elses"]
)
def test_nothing_can_be_published(topic: str, servers: Stack) -> None:
    outcomes: list[KafkaError | None] = []
    producer = confluent_kafka.Producer({**servers.alerts_options(), "message.timeout.ms": 15_000})
    producer.produce(topic, b"forged", on_delivery=lambda error, _: outcomes.append(error))
    assert producer.flush(PATIENCE_S) == 0
    (error,) = outcomes
    assert error is not None
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def _first_error(options: dict[str, Any], topic: str) -> int:
    """What the first answer other than silence refuses."""
    consumer = confluent_kafka.Consumer(options)
    consumer.subscribe([topic])
    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(1.0)
            if message is not None:
                error = message.error()
                assert error is not None, f"{topic} was read"
                return int(error.code())
    finally:
        consumer.close()
    raise AssertionError(f"{topic}: neither read nor refused for {PATIENCE_S:g} s")
