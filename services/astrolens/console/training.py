"""Whether training is installed beside the services, without importing it."""

from importlib.util import find_spec
from typing import Final

from pydantic import Field

from astrolens.usecases.views import View

_NEEDED: Final = ("torch", "transformers", "onnx", "sklearn")


class TrainingStatus(View):
    """Whether `make train` can run here."""

    available: bool
    detail: str = Field(description="What it takes to train, or what is missing and how to add it.")


def training_status() -> TrainingStatus:
    """What this installation can train with."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if not missing:
        return TrainingStatus(available=True, detail="`make train` trains and calibrates a bundle on this machine.")
    return TrainingStatus(
        available=False,
        detail=f"Training is not installed here ({', '.join(missing)} missing): run `make setup` without TRAINER=no "
        "to add it; it takes 5.6 GB of disk.",
    )
