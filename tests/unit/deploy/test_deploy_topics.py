"""The declared topics are those of the contracts, and everything written from them is what they say."""

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from astrolens.contracts import topics

from tests.deploy_files import ROOT, load

DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def declared() -> dict[str, Any]:
    return load("deploy/kafka/topics.yaml")


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("deploy_render", ROOT / "deploy/render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_topic_of_the_contracts_is_declared_and_no_other(declared: dict[str, Any]) -> None:
    names = [topic["name"] for topic in declared["topics"]]
    assert len(names) == len(set(names))
    wanted = {*topics.INTERNAL, *(topics.dead_letter_topic(name) for name in topics.INTERNAL), topics.HEARTBEAT}
    assert set(names) == wanted


def test_alert_families_cover_both_kinds_of_public_topic(declared: dict[str, Any]) -> None:
    prefixes = tuple(family["prefix"] for family in declared["families"])
    for name in (topics.alert_topic("sdss", "spiral"), topics.alert_json_topic("sdss", "spiral")):
        assert sum(name.startswith(prefix) for prefix in prefixes) == 1


def test_everything_is_kept_a_week_at_least_and_dead_letters_longer(declared: dict[str, Any]) -> None:
    for topic in (*declared["topics"], *declared["families"]):
        days = topic["retention_days"]
        assert days == "forever" or days >= 7
        if topic.get("name", "").endswith(".dlq"):
            assert days > 7
        assert topic["partitions"] >= 1


def test_labels_are_kept_for_ever(declared: dict[str, Any]) -> None:
    kept = {topic["name"]: topic["retention_days"] for topic in declared["topics"]}
    assert kept[topics.LABELS_RECORDED] == "forever"


def test_written_files_are_what_the_declarations_say(writer: ModuleType) -> None:
    written = writer.rendered()
    assert len(written) == 8
    stale = [str(path) for path, text in written.items() if path.read_text() != text]
    assert stale == [], "run `make manifests`"


def test_script_creates_every_topic_with_its_partitions_and_retention(declared: dict[str, Any], tmp_path: Path) -> None:
    tool = tmp_path / "kafka-topics.sh"
    tool.write_text('#!/bin/sh\necho "$@" >>"$CALLS"\n')
    tool.chmod(0o755)
    calls = tmp_path / "calls"
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(calls),
        "KAFKA_SERVERS": "kafka:9092",
        "KAFKA_REPLICAS": "1",
    }
    subprocess.run(["bash", str(ROOT / "deploy/kafka/create-topics.sh")], env=environment, check=True)
    lines = [dict(zip(words[0::2], words[1::2], strict=False)) for words in _arguments(calls)]
    made = {line["--topic"]: (int(line["--partitions"]), int(line["retention.ms"])) for line in lines}
    assert made == {
        topic["name"]: (
            topic["partitions"],
            -1 if topic["retention_days"] == "forever" else topic["retention_days"] * DAY_MS,
        )
        for topic in declared["topics"]
    }
    assert {line["--replication-factor"] for line in lines} == {"1"}


def _arguments(calls: Path) -> list[list[str]]:
    """Each call as name, value, name, value; `--config a=b` becomes `a`, `b`."""
    result = []
    for line in calls.read_text().splitlines():
        words = line.split()
        pairs: list[str] = []
        while words:
            word = words.pop(0)
            if word == "--config":
                pairs += words.pop(0).split("=")
            elif word in {"--create", "--if-not-exists"}:
                pairs += [word, "yes"]
            else:
                pairs += [word, words.pop(0)]
        assert pairs[0:2] == ["--bootstrap-server", "kafka:9092"]
        result.append(pairs)
    return result


def test_script_stops_without_a_server() -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "deploy/kafka/create-topics.sh")],
        env={"PATH": os.environ["PATH"]},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "host:port of a broker" in done.stderr
