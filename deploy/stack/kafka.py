"""Apache Kafka: one broker that is its own controller, with users (SCRAM), TLS and ACLs."""

import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from deploy.stack.install import java, kafka_jars, keytool
from deploy.stack.layout import Layout, write_private
from deploy.stack.server import Server, StackError

HEAP = "-Xmx512m"
_ASK_S = 5.0
_PUBLIC = ("astrolens.alerts.", "astrolens.alerts-json.", "astrolens.heartbeat.")
"""What the user `alerts` may read, and nothing else."""


def server(layout: Layout) -> Server:
    """The broker, its storage formatted and its keys made."""
    jars = kafka_jars(layout)
    folder = layout.data("kafka")
    folder.mkdir(exist_ok=True, mode=0o700)
    _make_certificate(layout)
    properties = folder / "server.properties"
    write_private(properties, _properties(layout))
    if not (folder / "data" / "meta.properties").exists():
        _format(layout, jars, properties)
    return Server(
        name="kafka",
        command=[java(), HEAP, *_logging(), "-cp", f"{jars}/*", "kafka.Kafka", str(properties)],
        state=layout.state,
        healthy=lambda: _answers(layout),
        start_timeout_s=90.0,
    )


def certificate(layout: Layout) -> Path:
    """What vouches for the broker."""
    return layout.data("kafka") / "ca.pem"


def grant(layout: Layout) -> None:
    """Give each user its rights: `astrolens` what the services need, `alerts` reading what is public."""
    everything, read, describe = AclOperation.ALL, AclOperation.READ, AclOperation.DESCRIBE
    wanted = [
        ("astrolens", ResourceType.TOPIC, "astrolens.", everything),
        ("astrolens", ResourceType.GROUP, "astrolens-", everything),
        ("alerts", ResourceType.GROUP, "alerts-", read),
        *(("alerts", ResourceType.TOPIC, prefix, right) for prefix in _PUBLIC for right in (read, describe)),
    ]
    bindings = [
        AclBinding(kind, name, ResourcePatternType.PREFIXED, f"User:{user}", "*", right, AclPermissionType.ALLOW)
        for user, kind, name, right in wanted
    ]
    admin = _admin(layout)  # it must outlive its answers
    try:
        for outcome in admin.create_acls(bindings, request_timeout=_ASK_S * 2).values():
            outcome.result(_ASK_S * 2)
    except KafkaException as error:
        raise StackError(f"Kafka did not take the rights of its users: {error}") from error


def _admin(layout: Layout) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": f"127.0.0.1:{layout.kafka_port}",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "admin",
            "sasl.password": layout.secrets["admin"],
            "log_level": 0,
        }
    )


def _answers(layout: Layout) -> bool:
    try:
        return bool(_admin(layout).list_topics(timeout=_ASK_S).brokers)
    except KafkaException:
        return False


def _format(layout: Layout, jars: Path, properties: Path) -> None:
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    users: list[str] = []
    for name in ("admin", "astrolens", "alerts"):
        users += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={layout.secrets[name]}]"]
    tool = [java(), "-cp", f"{jars}/*", *_logging(), "kafka.tools.StorageTool"]
    _call([*tool, "format", "-t", cluster, "-c", str(properties), *users])


def _make_certificate(layout: Layout) -> None:
    if certificate(layout).exists():
        return
    store = layout.data("kafka") / "keystore.p12"
    store.unlink(missing_ok=True)
    common = ["-alias", "kafka", "-keystore", str(store), "-storepass", layout.secrets["keystore"]]
    names = ["-dname", "CN=localhost", "-ext", "SAN=ip:127.0.0.1,dns:localhost", "-ext", "bc=ca:true"]
    kind = ["-storetype", "PKCS12", "-keyalg", "RSA", "-keysize", "2048", "-validity", "3650"]
    _call([keytool(), "-genkeypair", *common, *kind, *names])
    _call([keytool(), "-exportcert", "-rfc", *common, "-file", str(certificate(layout))])


def _properties(layout: Layout) -> str:
    folder, secret = layout.data("kafka"), layout.secrets
    login = (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="admin" password="{secret["admin"]}";'
    )
    values: dict[str, Any] = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{layout.controller_port}",
        "listeners": f"LOGIN://127.0.0.1:{layout.kafka_port},TLS://127.0.0.1:{layout.kafka_tls_port},"
        f"CONTROLLER://127.0.0.1:{layout.controller_port}",
        "advertised.listeners": f"LOGIN://127.0.0.1:{layout.kafka_port},TLS://127.0.0.1:{layout.kafka_tls_port}",
        "listener.security.protocol.map": "LOGIN:SASL_PLAINTEXT,TLS:SASL_SSL,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "LOGIN",
        "controller.listener.names": "CONTROLLER",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.login.scram-sha-512.sasl.jaas.config": login,
        "listener.name.tls.scram-sha-512.sasl.jaas.config": login,
        "ssl.keystore.type": "PKCS12",
        "ssl.keystore.location": folder / "keystore.p12",
        "ssl.keystore.password": secret["keystore"],
        "ssl.key.password": secret["keystore"],
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Nobody but the broker itself reaches the controller's port without a log-in: it is on loopback.
        "super.users": "User:admin;User:ANONYMOUS",
        "log.dirs": folder / "data",
        # Defaults of topics that come by themselves: the alert topics, one a survey and class (topics.yaml).
        "auto.create.topics.enable": "true",
        "num.partitions": 3,
        "log.retention.hours": 14 * 24,
        "default.replication.factor": 1,
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _logging() -> list[str]:
    return ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]


def _call(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
    if result.returncode:
        # The command itself holds passwords: only what it said is told.
        raise StackError(f"{Path(command[0]).name} failed:\n{(result.stderr or result.stdout).strip()[-1000:]}")
