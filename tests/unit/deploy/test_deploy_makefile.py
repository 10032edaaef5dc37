"""The targets of the Makefile that people and containers rely on, as `make --dry-run` tells them."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
@pytest.mark.parametrize("trainer", ["yes", "no"])
def test_setup_compiles_what_services_import_and_not_torch(trainer: str, tmp_path: Path) -> None:
    told = subprocess.run(
        ["make", "--dry-run", "setup", f"TRAINER={trainer}", f"VENV={tmp_path / 'venv'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    installs = [line for line in told.stdout.splitlines() if "pip install" in line]
    compiling = [line for line in installs if "--compile-bytecode" in line]
    assert [line for line in compiling if "locks/services.txt" in line] == compiling[:1] == compiling
    assert any("locks/trainer.txt" in line for line in installs) == (trainer == "yes")
    assert "locks/trainer.txt" not in compiling[0]
    assert "compileall -q services/astrolens" in told.stdout
