"""What cannot work ends at the start with one sentence and exit code 2, within a bounded wait.

Every case is one service that is started and ends by itself; all of them run side by side, because each waits.
"""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from minio import MinioAdmin
from minio.credentials import StaticProvider
from pymongo import MongoClient

from tests.e2e.system import PORTS, System, free_port_block
from tests.engines.stack_control import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ENDS_WITHIN_S = 240.0
"""Half a minute of patience, and the start of every case at once on two busy cores."""
SECRET = "a-wrong-word"


@dataclass(frozen=True)
class Case:
    """Settings that cannot work, and what the sentence must say."""

    said: str
    service: str = "notifier"
    settings: dict[str, str] = field(default_factory=dict)


CASES = {
    "Kafka, wrong password": Case("refuses the log-in of ASTROLENS_KAFKA_USER", settings={"kafka_password": SECRET}),
    "Kafka, half a log-in": Case("ASTROLENS_KAFKA_USER is empty", settings={"kafka_user": ""}),
    "Kafka, nobody there": Case("127.0.0.1:9 did not answer", settings={"events_url": "kafka://127.0.0.1:9"}),
    "Kafka, a certificate that nobody vouches for": Case(
        "ASTROLENS_KAFKA_CA_FILE does not vouch", settings={"events_url": "{kafka_tls}", "kafka_tls": "true"}
    ),
    "Kafka, TLS where none is spoken": Case("does it want TLS or a log-in", settings={"kafka_tls": "true"}),
    "Kafka, a topic that is missing or hidden": Case(
        "does not let this user see the topic astrolens.candidates.matched.v1, astrolens.labels.recorded.v1: it is",
        settings={"kafka_user": "alerts", "kafka_password": "{alerts}"},
    ),
    "Kafka, no right to publish": Case(
        "does not let this user publish",
        service="console",
        settings={"kafka_user": "alerts", "kafka_password": "{alerts}"},
    ),
    "S3, wrong key": Case("ASTROLENS_S3_SECRET_KEY", settings={"s3_secret_key": SECRET}),
    "S3, nobody there": Case(
        "127.0.0.1:9/bucket does not answer", settings={"images_url": "s3+http://127.0.0.1:9/bucket"}
    ),
    "S3, a bucket that is missing": Case(
        "there is no bucket {bucket_address}, and these credentials may not create it",
        settings={"images_url": "{missing_bucket_url}", "s3_access_key": "{reader}", "s3_secret_key": "{reader_key}"},
    ),
    "MongoDB, wrong password": Case(
        "ASTROLENS_RECORDS_URL", settings={"records_url": f"mongodb://u:{SECRET}@{{mongodb}}/x?authSource=admin"}
    ),
    "MongoDB, nobody there": Case(
        "127.0.0.1:9 does not answer", settings={"records_url": f"mongodb://u:{SECRET}@127.0.0.1:9/x"}
    ),
    "MongoDB, an index that cannot be built": Case(
        "cannot build an index of images", settings={"records_url": "{clashing_url}"}
    ),
}


@dataclass(frozen=True)
class Ending:
    """How a service ended."""

    code: int
    words: str


@pytest.fixture(scope="module")
def known(stack: dict[str, str], engine_settings: dict[str, str], servers: Stack) -> Iterator[dict[str, str]]:
    """What the settings of the cases name."""
    name = f"refused-{uuid.uuid4().hex[:8]}"
    records, images = (urlsplit(engine_settings[each]) for each in ("records_url", "images_url"))
    clashing = urlunsplit(records._replace(path=f"/{name}"))
    with MongoClient[dict[str, Any]](clashing) as client:
        # Somebody's own index, with the keys of one of the store's.
        keys = [("state", 1), ("offered_at", 1), ("_id", 1)]
        client[name]["images"].create_index(keys, name="somebody's")
    credentials = StaticProvider(stack["ASTROLENS_S3_ACCESS_KEY"], stack["ASTROLENS_S3_SECRET_KEY"])
    admin = MinioAdmin(endpoint=servers.address("minio"), credentials=credentials, secure=False)
    admin.user_add(name, f"{name}-key")
    actions = ["s3:GetBucketLocation", "s3:ListBucket", "s3:GetObject", "s3:PutObject"]
    rights = {"Effect": "Allow", "Action": actions, "Resource": ["arn:aws:s3:::*"]}
    admin.policy_add(name, policy={"Version": "2012-10-17", "Statement": [rights]})
    admin.policy_set(name, user=name)
    yield {
        "kafka_tls": stack["STACK_KAFKA_TLS_URL"],
        "alerts": stack["STACK_ALERTS_PASSWORD"],
        "mongodb": servers.address("mongodb"),
        "bucket_address": f"{images.netloc}/{name}",
        "missing_bucket_url": urlunsplit(images._replace(path=f"/{name}")),
        "reader": name,
        "reader_key": f"{name}-key",
        "clashing_url": clashing,
        "fresh_url": urlunsplit(records._replace(path=f"/{name}-fresh")),
    }
    admin.user_remove(name)
    admin.policy_remove(name)


@pytest.fixture(scope="module")
def endings(
    known: dict[str, str], engine_settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Ending]]:
    """Every case at once."""
    first_port = free_port_block(PORTS * len(CASES))
    running: dict[str, subprocess.Popen[str]] = {}
    ended: dict[str, Ending] = {}
    try:
        for number, (name, case) in enumerate(CASES.items()):
            wrong = {key: value.format(**known) for key, value in case.settings.items()}
            own = {"port": str(first_port + PORTS * number), "records_url": known["fresh_url"]}
            system = System(tmp_path_factory.mktemp("refused") / "home", **{**engine_settings, **own, **wrong})
            running[name] = subprocess.Popen(
                [sys.executable, "-m", "astrolens.cli", "serve", case.service],
                env=system.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            system.http.close()
        deadline = time.monotonic() + ENDS_WITHIN_S
        for name, process in running.items():
            words, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
            ended[name] = Ending(process.returncode, words)
        yield ended
    finally:
        for process in running.values():
            process.kill()
            process.communicate()


@pytest.mark.parametrize("name", CASES)
def test_one_sentence_and_code_2(name: str, endings: dict[str, Ending], known: dict[str, str]) -> None:
    ending = endings[name]
    assert ending.code == 2, ending.words
    (sentence,) = [line for line in ending.words.splitlines() if line.startswith("astrolens: ")]
    print(f"{name}: {sentence}")
    assert CASES[name].said.format(**known) in sentence
    assert "Traceback" not in ending.words
    for secret in (SECRET, known["alerts"], known["reader_key"]):
        assert secret not in ending.words
