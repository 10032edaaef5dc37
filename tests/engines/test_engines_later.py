"""The faults of a wrong setting, come later: the services degrade, say why, wait, and go on by themselves."""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from astrolens.contracts import topics
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from minio import Minio
from pymongo import MongoClient

from tests.chaos.kills import SETTINGS
from tests.e2e.conftest import FEED_SURVEY, feed_folder
from tests.e2e.system import System, running, wait_until
from tests.engines.health import readiness, sentences
from tests.engines.stack_control import Stack

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

PICTURES = 20
REPORTED_WITHIN_S = 60.0
WELL_WITHIN_S = 120.0
_ASK_S = 20.0
WORD, ANOTHER_WORD = "the-right-word", "another-word"


class Grants:
    """A user of the test's own at Kafka and at MongoDB, whose passwords can be changed under the services.

    At Kafka it may read and write topics, but not create them.
    """

    def __init__(self, servers: Stack, records_url: str) -> None:
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.records_url = records_url
        self.kafka = AdminClient(servers.admin_options())
        self.mongodb: MongoClient[dict[str, Any]] = MongoClient(records_url)

    def make(self, word: str) -> None:
        """Make the user."""
        self.kafka_password(word)
        self.mongodb.admin.command("createUser", self.name, pwd=word, roles=["root"])
        kinds = {
            ResourceType.TOPIC: (AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE),
            ResourceType.GROUP: (AclOperation.READ, AclOperation.DESCRIBE),
        }
        prefixes = {ResourceType.TOPIC: "astrolens.", ResourceType.GROUP: "astrolens-"}
        rights = [
            AclBinding(
                kind,
                prefixes[kind],
                ResourcePatternType.PREFIXED,
                f"User:{self.name}",
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for kind, operations in kinds.items()
            for operation in operations
        ]
        _done(self.kafka.create_acls(rights))

    def kafka_password(self, word: str) -> None:
        """Give the user this password at Kafka."""
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        _done(self.kafka.alter_user_scram_credentials([UserScramCredentialUpsertion(self.name, info, word.encode())]))

    def mongodb_password(self, word: str) -> None:
        """Give the user this password at MongoDB."""
        self.mongodb.admin.command("updateUser", self.name, pwd=word)

    def end(self) -> None:
        """Forget the user."""
        gone = UserScramCredentialDeletion(self.name, ScramMechanism.SCRAM_SHA_512)
        _done(self.kafka.alter_user_scram_credentials([gone]))
        self.mongodb.admin.command("dropUser", self.name)
        self.mongodb.close()


def _done(answers: dict[Any, Any]) -> None:
    for answer in answers.values():
        answer.result(_ASK_S)


@pytest.fixture
def grants(servers: Stack, engine_settings: dict[str, str]) -> Iterator[Grants]:
    grants = Grants(servers, engine_settings["records_url"])
    grants.make(WORD)
    yield grants
    grants.end()


@pytest.fixture
def system(
    servers: Stack,
    engine_settings: dict[str, str],
    grants: Grants,
    mongodb_url: str,
    bucket_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """A system of that user."""
    parts = urlsplit(mongodb_url)
    host = parts.netloc.rpartition("@")[2]
    own = {
        "kafka_user": grants.name,
        "kafka_password": WORD,
        "records_url": urlunsplit(parts._replace(netloc=f"{grants.name}:{WORD}@{host}")),
        "images_url": bucket_url,
    }
    servers.purge()
    with running(tmp_path_factory.mktemp("later") / "home", **{**engine_settings, **own, **SETTINGS}) as system:
        yield system


def test_what_goes_wrong_later_is_told_and_waited_for(
    system: System,
    servers: Stack,
    grants: Grants,
    stack: dict[str, str],
    bucket_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    before = system.pids()
    bucket = urlsplit(bucket_url).path.strip("/")
    minio = Minio(
        servers.address("minio"), stack["ASTROLENS_S3_ACCESS_KEY"], stack["ASTROLENS_S3_SECRET_KEY"], secure=False
    )

    def told(what: str, *services: str) -> Callable[[], bool]:
        def asked() -> bool:
            now = readiness(system)
            words = {service: sentences(now, service) for service in services}
            assert WORD not in str(now)
            return all(what in each for each in words.values())

        return asked

    def goes_wrong(what: str, *services: str) -> None:
        began = time.monotonic()
        wait_until(
            told(what, *services),
            timeout_s=REPORTED_WITHIN_S,
            what=lambda: f"{services} say {what!r}: {readiness(system)}\n{system.logs()}",
        )
        print(f"{what!r} told after {time.monotonic() - began:.1f} s")

    def comes_right() -> None:
        began = time.monotonic()
        wait_until(
            lambda: not any(readiness(system).values()),
            timeout_s=WELL_WITHIN_S,
            what=lambda: f"well again: {readiness(system)}\n{system.logs()}",
        )
        assert system.pids() == before, system.logs()
        print(f"well after {time.monotonic() - began:.1f} s")

    minio.remove_bucket(bucket)
    goes_wrong("there is no such bucket", "console", "ingestor", "analyzer", "notifier")
    minio.make_bucket(bucket)
    comes_right()

    grants.kafka_password(ANOTHER_WORD)
    servers.stop("kafka")  # connections that are open stay logged in
    servers.start("kafka")
    goes_wrong("refuses the log-in of ASTROLENS_KAFKA_USER", "console", "ingestor", "analyzer", "notifier")
    grants.kafka_password(WORD)
    comes_right()

    grants.mongodb_password(ANOTHER_WORD)
    servers.stop("mongodb")
    servers.start("mongodb")
    goes_wrong("refuses the user name or password", "console", "ingestor", "analyzer", "notifier")
    grants.mongodb_password(WORD)
    comes_right()

    known = grants.kafka.list_topics(topics.IMAGES_INGESTED, timeout=_ASK_S).topics[topics.IMAGES_INGESTED]
    _done(grants.kafka.delete_topics([topics.IMAGES_INGESTED]))
    try:
        pictures = feed_folder(tmp_path_factory.mktemp("later-feed") / "pictures", PICTURES)
        result = system.cli("ingest", str(pictures), "--survey", FEED_SURVEY)
        assert result.returncode == 0, result.stdout + result.stderr
        # The one publishes to it, the other reads it.
        goes_wrong(topics.IMAGES_INGESTED, "ingestor", "analyzer")
    finally:
        _done(grants.kafka.create_topics([NewTopic(topics.IMAGES_INGESTED, len(known.partitions), 1)]))
    comes_right()
    assert system.wait_settled(PICTURES, timeout_s=WELL_WITHIN_S)["analyzed"] == PICTURES
    assert system.pids() == before
