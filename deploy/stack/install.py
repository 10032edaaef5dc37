"""Installing with the ordinary clients of each registry, into a cache, once a version."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deploy.stack.layout import (
    KAFKA_VERSION,
    MINIO_VERSION,
    SECANTUS_PYTHON_VERSION,
    SECANTUS_RUST_VERSION,
    SLF4J_VERSION,
    Layout,
)
from deploy.stack.server import StackError

_INSTALL_S = 1_800.0

_RUST = (1, 95)
"""The oldest compiler that the MongoDB-wire server was compiled with. It declares 1.98 but uses nothing of it."""

_POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>astrolens</groupId><artifactId>stack</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId>
      <version>{SLF4J_VERSION}</version></dependency>
  </dependencies>
</project>
"""


def kafka_jars(layout: Layout) -> Path:
    """The folder of Kafka's jars."""

    def fetch(folder: Path) -> None:
        (folder / "pom.xml").write_text(_POM)
        _run([_program("mvn", "Maven"), "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=jars"], folder)

    return _once(layout.cache / f"kafka-{KAFKA_VERSION}", fetch) / "jars"


def minio_program(layout: Layout) -> Path:
    """The MinIO server, compiled here: two to three minutes, once."""

    def build(folder: Path) -> None:
        go = _program("go", "Go")
        _run([go, "install", f"github.com/minio/minio@{MINIO_VERSION}"], folder, {"GOBIN": str(folder)})

    return _once(layout.cache / f"minio-{MINIO_VERSION}", build) / "minio"


def secantus_program(layout: Layout) -> Path:
    """The MongoDB-wire server: compiled where there is Rust (`ASTROLENS_STACK_MONGODB=python`: not even then).

    Raises:
        StackError: It cannot be installed, or the variable is neither `rust` nor `python`.
    """
    kind = os.environ.get("ASTROLENS_STACK_MONGODB") or ("rust" if _can_compile_rust() else "python")
    match kind:
        case "rust":
            return _secantus_in_rust(layout)
        case "python":
            return _secantus_in_python(layout)
    raise StackError(f"ASTROLENS_STACK_MONGODB is {kind!r}: take rust or python, or leave it out")


def _can_compile_rust() -> bool:
    if any(shutil.which(program) is None for program in ("cargo", "cmake", "cc")):
        return False
    told = subprocess.run(["cargo", "--version"], capture_output=True, text=True, timeout=60, check=False)  # noqa: S607
    found = re.match(r"cargo (\d+)\.(\d+)", told.stdout)
    return found is not None and (int(found[1]), int(found[2])) >= _RUST


def _secantus_in_rust(layout: Layout) -> Path:
    """Compiled here with the WiredTiger that it brings: five and a half minutes on two cores, once."""

    def build(folder: Path) -> None:
        cargo = _program("cargo", "Rust")
        command = [cargo, "install", "-q", "secantus-mdb", "--version", SECANTUS_RUST_VERSION, "--root", str(folder)]
        _run([*command, "--locked", "--ignore-rust-version"], folder)

    return _once(layout.cache / f"secantus-mdb-{SECANTUS_RUST_VERSION}", build) / "bin" / "secantusd-rs"


def _secantus_in_python(layout: Layout) -> Path:
    """In a virtual environment of its own."""

    def create(folder: Path) -> None:
        python = folder / "venv" / "bin" / "python"
        _run([sys.executable, "-m", "venv", str(folder / "venv")], folder)
        _run([str(python), "-m", "pip", "install", "-q", f"SecantusDB=={SECANTUS_PYTHON_VERSION}"], folder)

    # A virtual environment knows its own path, so it is made in place.
    place = _once(layout.cache / f"secantusdb-{SECANTUS_PYTHON_VERSION}", create, movable=False)
    return place / "venv" / "bin" / "secantusd-py"


def java() -> str:
    """The Java program."""
    return _program("java", "Java 17")


def keytool() -> str:
    """Java's maker of keys."""
    return _program("keytool", "Java 17")


def _once(folder: Path, make: Callable[[Path], None], *, movable: bool = True) -> Path:
    """Make a folder whole or not at all."""
    done = folder / ".complete"
    if done.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-")) if movable else folder
    aside.mkdir(exist_ok=True)
    try:
        make(aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    (aside / ".complete").touch()
    if movable:
        aside.rename(folder)
    return folder


def _program(name: str, what: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise StackError(f"the stack needs {what}: there is no program {name!r} on the PATH")
    return path


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    result = subprocess.run(  # noqa: S603 - fixed programs
        list(command),
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
        check=False,
    )
    if result.returncode:
        words = (result.stderr or result.stdout).strip().splitlines()[-10:]
        raise StackError(f"{command[0]} failed with {result.returncode}:\n" + "\n".join(words))
