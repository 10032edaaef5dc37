"""What the trainer's service and the process of a run tell each other, as files in the run's folder.

The service writes `order.json` and starts the process; the process writes `progress.json` again and again, and
`outcome.json` once, before it ends. Torch is not needed to read or write them.
"""

from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from astrolens.contracts.base import Contract
from astrolens.contracts.training_runs import DataSummary, GateReport, RunFigures, RunStep, TrainingOptions

ORDER: Final = "order.json"
PROGRESS: Final = "progress.json"
OUTCOME: Final = "outcome.json"
LOG: Final = "log.txt"
BUNDLE: Final = "bundle"

NEEDED: Final = ("torch", "transformers", "onnx", "onnxruntime", "safetensors", "sklearn")
"""Packages of the extra `trainer` without which nothing is trained."""


class Bounds(Contract):
    """Bounds that a challenger keeps, whatever it finds."""

    max_cost: float = Field(default=1.25, description="Largest cost of an image, in units of the champion's.")
    max_graph_mib: float = Field(default=30.0, description="Largest graph, or the champion's size.")
    protected_surveys: tuple[str, ...] = Field(
        default=(), description="Surveys whose calibration must not be lost; `all`: every one of the champion's."
    )


class Order(Contract):
    """What the process is to do."""

    run_id: str
    options: TrainingOptions
    champion: Path = Field(description="Folder of the bundle of the settings; a promoted one goes before it.")
    false_alarms_per_1000: float
    sets: tuple[str, ...] = Field(default=(), description="Named sets, `kind:path[@survey]`.")
    backbones: Path = Field(default=Path("backbones"), description="Folder of the checkpoints that a run may name.")
    fetch_hosts: tuple[str, ...] = Field(default=(), description="Hosts that may be asked for a checkpoint.")
    bounds: Bounds = Field(default_factory=Bounds)
    memory_mib: int
    cpu_hours: float
    spent_cpu_s: float = Field(default=0.0, description="Processor time of the processes of this run before.")


class Progress(Contract):
    """How far the process is."""

    step: RunStep
    progress: float = Field(ge=0.0, le=1.0)
    cpu_s: float = Field(description="Processor time of the run's processes so far.")


class Outcome(Contract):
    """How it ended."""

    state: Literal["done", "failed"]
    failure: str | None = None
    champion: str | None = None
    challenger: str | None = None
    data: DataSummary | None = None
    changes: tuple[str, ...] = ()
    before: RunFigures | None = None
    after: RunFigures | None = None
    gates: GateReport | None = None


def write(folder: Path, name: str, content: Contract) -> None:
    """Write a file as a whole: a reader never sees half of it."""
    write_bytes(folder / name, content.model_dump_json().encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as a whole."""
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def read_progress(folder: Path) -> Progress | None:
    """The last progress; None before the first."""
    path = folder / PROGRESS
    return Progress.model_validate_json(path.read_bytes()) if path.is_file() else None


def read_outcome(folder: Path) -> Outcome | None:
    """The outcome; None as long as there is none."""
    path = folder / OUTCOME
    return Outcome.model_validate_json(path.read_bytes()) if path.is_file() else None
