"""Strimzi's resources read by Strimzi's own model: its definitions come with no package, but its Java classes do."""

import functools
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy_files import render

pytestmark = pytest.mark.timeout(900)

VERSION = "0.51.0"
READER = Path(__file__).with_name("strimzi") / "ReadResources.java"
_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>astrolens</groupId><artifactId>strimzi</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>io.strimzi</groupId><artifactId>api</artifactId><version>{VERSION}</version></dependency>
  </dependencies>
</project>
"""


@functools.cache
def jars() -> Path:
    """Strimzi's model with what it needs, fetched once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "astrolens" / f"strimzi-{VERSION}"
    if (cache / ".complete").exists():
        return cache / "jars"
    maven = shutil.which("mvn")
    if maven is None or shutil.which("java") is None:
        pytest.skip("no Java and Maven here, with which Strimzi's model comes")
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "pom.xml").write_text(_POM)
    command = [maven, "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"]
    done = subprocess.run(command, check=False, cwd=cache, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"Strimzi's model could not be fetched: {done.stdout[-300:]}")
    (cache / ".complete").touch()
    return cache / "jars"


def read(resources: list[dict[str, Any]], folder: Path) -> tuple[int, list[str]]:
    """Exit code and lines of the reader."""
    file = folder / "resources.yaml"
    file.write_text(yaml.safe_dump_all(resources))
    command = ["java", "-cp", f"{jars()}/*", str(READER), str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout.splitlines() or done.stderr.splitlines()


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_strimzi_knows_every_field_of_its_resources(overlay: str, tmp_path: Path) -> None:
    resources = render(f"k8s/overlays/{overlay}")
    ours = [each for each in resources if each["apiVersion"].startswith("kafka.strimzi.io/")]
    assert read(resources, tmp_path) == (0, [f"{len(ours)} resources read"])
    assert {each["kind"] for each in ours} == {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser"}


def test_wrong_fields_and_values_would_be_found(tmp_path: Path) -> None:
    resources = [each for each in render("k8s/overlays/prod") if each["kind"] in {"KafkaNodePool", "KafkaUser"}]
    copies = yaml.safe_load(yaml.safe_dump(resources))
    pool = next(each for each in copies if each["kind"] == "KafkaNodePool")
    pool["spec"]["rolls"] = pool["spec"].pop("roles")
    pool["spec"]["storage"]["volumes"][0]["siz"] = "1Gi"
    user = next(each for each in copies if each["kind"] == "KafkaUser")
    user["spec"]["authorization"]["acls"][0]["operations"] = ["Reed"]
    code, lines = read(copies, tmp_path)
    assert code == 1
    assert any("unknown [rolls]" in line for line in lines)
    assert any("unknown [siz]" in line for line in lines)
    assert any(line.endswith("Operations: unknown value") for line in lines)
