"""docker-compose.yml: every service, path, port, variable, secret and health command is the code's."""

import copy
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from astrolens.commands.serve import SERVICES
from astrolens.platform.server import HEALTH_PATHS

from tests.deploy_files import ROOT, http_port, load, settings_of

TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = load("docker-compose.yml")
ALL: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in ALL.items() if "build" in service}
ENGINES = {name: service for name, service in ALL.items() if "build" not in service}
ONE_SHOT = {"kafka-topics", "mongodb-initiate", "minio-initiate"}


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Its variables with secrets replaced by `secret` and defaults filled in, as compose would."""

    def fill(text: str) -> str:
        text = re.sub(r"\$\{[A-Z0-9_]+:\?[^}]*\}", "secret", text)
        return re.sub(r"\$\{[A-Z0-9_]+:-([^}]*)\}", r"\1", text)

    return {name: fill(str(value)) for name, value in service.get("environment", {}).items()}


def service_of(name: str) -> str:
    return str(OURS[name]["build"]["args"]["SERVICE"])


def test_every_service_runs_and_the_gpu_model_server_stands_in_for_the_other() -> None:
    assert {service_of(name) for name in OURS} == set(SERVICES)
    assert set(OURS) == {*SERVICES, "model-server-gpu"}
    assert OURS["model-server-gpu"]["networks"]["internal"]["aliases"] == ["model-server"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_build_arguments_are_the_dockerfiles(name: str) -> None:
    build = OURS[name]["build"]
    arguments = set(re.findall(r"^ARG (\w+)", (ROOT / build["dockerfile"]).read_text(), re.MULTILINE))
    assert set(build["args"]) <= arguments
    assert (ROOT / f"locks/images/{build['args']['EXTRA']}.txt").is_file()
    assert OURS[name]["image"] == f"astrolens/{name}:0.1.0"


@pytest.mark.parametrize("name", sorted(OURS))
def test_variables_are_settings_and_lead_to_the_engines(name: str) -> None:
    settings = settings_of(environment(OURS[name]))
    assert settings.bootstrap_servers == ["kafka:9092"]
    records, images = urlsplit(settings.records_url), urlsplit(settings.images_url)
    assert (records.scheme, records.hostname, records.port) == ("mongodb", "mongodb", 27017)
    assert (images.scheme, images.hostname, images.port, images.path) == ("s3+http", "minio", 9000, "/astrolens")
    assert images.username is None, "the keys have settings of their own"
    host, _, port = settings.inference_address.rpartition(":")
    assert host == ("0.0.0.0" if service_of(name) == "model-server" else "model-server")
    assert port == "8081"


@pytest.mark.parametrize("name", sorted(OURS))
def test_containers_are_confined(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["tmpfs"][0].startswith("/tmp:")
    assert service["restart"] == "unless-stopped"
    assert not service.get("privileged")
    assert [volume.split(":")[1] for volume in service["volumes"]] == ["/var/lib/astrolens"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_health_commands_are_the_images(name: str) -> None:
    kind, python, script, path = OURS[name]["healthcheck"]["test"]
    assert kind == "CMD"
    assert f'"{python}", "{script}"' in (ROOT / "deploy/Dockerfile").read_text()
    assert path in HEALTH_PATHS


def test_a_container_has_longer_to_stop_than_its_service_takes() -> None:
    for service in OURS.values():
        grace_s = int(service["stop_grace_period"].removesuffix("s"))
        assert grace_s > settings_of(environment(service)).shutdown_grace_s


def test_model_servers_threads_are_its_share_of_the_processor() -> None:
    for name in ("model-server", "model-server-gpu"):
        settings = settings_of(environment(OURS[name]))
        assert str(settings.inference_threads) == OURS[name]["deploy"]["resources"]["limits"]["cpus"]


@pytest.mark.parametrize("name", sorted(ALL))
def test_everything_is_bounded_checked_and_pinned(name: str) -> None:
    service = ALL[name]
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    assert re.search(r":(?!latest)[A-Za-z]*\.?v?\d", service["image"]), "a version, not a moving name"
    assert name in ONE_SHOT or service["healthcheck"]["test"]


def test_one_shots_give_up_and_their_engine_is_healthy_first() -> None:
    for name in ONE_SHOT:
        assert ALL[name]["restart"] == "on-failure:5"
        (engine,) = ALL[name]["depends_on"]
        assert engine == name.removesuffix("-topics").removesuffix("-initiate")
        assert ALL[name]["depends_on"][engine] == {"condition": "service_healthy"}
        assert ALL[name]["image"] == ALL[engine]["image"]
    for service in OURS.values():
        assert service["depends_on"] == {name: {"condition": "service_completed_successfully"} for name in ONE_SHOT}


def test_profiles() -> None:
    profiles = {name: service["profiles"] for name, service in ALL.items() if "profiles" in service}
    assert profiles == {
        "model-server-gpu": ["gpu"],
        "prometheus": ["observability"],
        "grafana": ["observability"],
    }
    device = ALL["model-server-gpu"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert device["capabilities"] == ["gpu"]


def test_every_mounted_file_is_there_and_read_only_and_every_volume_declared() -> None:
    used = set()
    for service in ALL.values():
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), source
                assert mode == ["ro"]
            else:
                used.add(source)
            assert target.startswith("/")
    assert used == set(COMPOSE["volumes"])
    assert {network for service in ALL.values() for network in service["networks"]} == set(COMPOSE["networks"])


def test_only_this_machine_reaches_published_ports_and_stores_are_not_published() -> None:
    published = {name: service["ports"] for name, service in ALL.items() if "ports" in service}
    assert set(published) == {"console", "kafka", "prometheus", "grafana"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert COMPOSE["networks"]["internal"] == {"internal": True}
    # A port is not published on a network that leads nowhere.
    assert all("outside" in ALL[name]["networks"] for name in published)
    # Who fetches from surveys or sends to people needs the outside as well; nobody else has it.
    with_outside = {name for name, service in ALL.items() if "outside" in service["networks"]}
    assert with_outside == {*published, "ingestor", "notifier"}
    console = settings_of(environment(ALL["console"]))
    assert ALL["console"]["ports"] == [f"127.0.0.1:8080:{http_port('console', console)}"]
    assert "ASTROLENS_TOKEN" in ALL["console"]["environment"], "off loopback the console wants one"


def test_no_secret_has_a_default_and_all_are_made_by_the_script(tmp_path: Path) -> None:
    asked = set(re.findall(r"\$\{([A-Z0-9_]+):\?run deploy/make-env\.sh\}", TEXT))
    secretive = re.compile(r"PASSWORD|TOKEN|(?<!ACCESS_)KEY|SECRET")  # S3 calls a user name an access key
    for service in ALL.values():
        for name, value in service.get("environment", {}).items():
            if secretive.search(name):
                assert re.fullmatch(r"\$\{[A-Z0-9_]+:\?[^}]+\}", str(value)), name
    assert not re.search(r"\$\{[A-Z0-9_]*(PASSWORD|TOKEN|KEY|SECRET)[A-Z0-9_]*(:-|\})", TEXT)

    copy_of_script = tmp_path / "deploy" / "make-env.sh"
    copy_of_script.parent.mkdir()
    copy_of_script.write_text((ROOT / "deploy/make-env.sh").read_text())
    (tmp_path / ".env").write_text("MONGO_PASSWORD=mine\n")
    for _ in range(2):
        subprocess.run(["bash", str(copy_of_script)], check=True, env={"PATH": os.environ["PATH"]}, capture_output=True)
    made = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    assert set(made) == asked
    assert made.pop("MONGO_PASSWORD") == "mine"
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_scripts_read_only_variables_that_they_are_given() -> None:
    given = {name: set(service.get("environment", {})) for name, service in ALL.items()}
    asks = {
        "kafka-topics": (ROOT / "deploy/kafka/create-topics.sh", r"\$\{(\w+):\?"),
        "mongodb": (ROOT / "deploy/mongodb/start.sh", r"\$\{(\w+):\?"),
        "mongodb-initiate": (ROOT / "deploy/mongodb/initiate.js", r"process\.env\.(\w+)"),
        "minio-initiate": (ROOT / "deploy/minio/initiate.sh", r"\$\{(\w+):\?"),
    }
    for name, (script, pattern) in asks.items():
        asked = set(re.findall(pattern, script.read_text()))
        assert asked
        assert asked <= given[name]
        assert f"./{script.relative_to(ROOT)}" in {volume.split(":")[0] for volume in ALL[name]["volumes"]}


def test_user_database_and_bucket_are_the_same_on_both_sides() -> None:
    settings = settings_of(environment(ALL["console"]))
    records, images = urlsplit(settings.records_url), urlsplit(settings.images_url)
    mongo = (ROOT / "deploy/mongodb/initiate.js").read_text()
    assert f'user: "{records.username}"' in mongo
    assert f'getSiblingDB("{records.path.strip("/")}")' in mongo
    assert records.query == "replicaSet=rs0"
    assert '_id: "rs0"' in mongo
    assert 'host: "mongodb:27017"' in mongo
    assert "--replSet rs0" in (ROOT / "deploy/mongodb/start.sh").read_text()
    minio = (ROOT / "deploy/minio/initiate.sh").read_text()
    assert f"mc mb --ignore-existing local{images.path}" in minio
    assert settings.s3_access_key is not None
    assert f"mc admin user add local {settings.s3_access_key.get_secret_value()} " in minio


def test_broker_is_kraft_and_makes_alert_topics_as_declared() -> None:
    kafka = environment(ALL["kafka"])
    assert kafka["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert not any("ZOOKEEPER" in name for name in kafka)
    declared = load("deploy/kafka/topics.yaml")
    families = {(family["partitions"], family["retention_days"]) for family in declared["families"]}
    assert families == {(int(kafka["KAFKA_NUM_PARTITIONS"]), int(kafka["KAFKA_LOG_RETENTION_MS"]) // 86_400_000)}
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "true"
    longest = max(topic["retention_days"] for topic in declared["topics"] if topic["retention_days"] != "forever")
    assert int(kafka["KAFKA_OFFSETS_RETENTION_MINUTES"]) >= longest * 24 * 60
    assert "SERVICES://kafka:9092" in kafka["KAFKA_ADVERTISED_LISTENERS"]


def test_a_wrong_variable_would_be_found() -> None:
    broken = copy.deepcopy(environment(ALL["console"]))
    broken["ASTROLENS_TOPKEN"] = "secret"
    with pytest.raises(AssertionError, match="no setting reads"):
        settings_of(broken)
