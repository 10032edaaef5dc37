"""The settings of retraining: what it reads, what it may take, and when it is due by itself."""

from typing import Annotated, Any, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from astrolens.platform.catalogue_settings import split_commas

TRAINING_LISTS: Final = ("training_sets",)


class TrainingSettings(BaseSettings):
    """Settings of retraining runs, a part of `Settings`."""

    training_sets: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Comma-separated sets of labelled pictures to train and measure on, `kind:path[@survey]`; kinds: "
        "galaxies, packs, folder, galaxy10, galaxy-zoo.",
    )
    retrain_after_labels: int = Field(
        default=150, ge=0, le=100_000, description="Newly answered images after which the model is retrained; 0: never."
    )
    retrain_every_days: float = Field(
        default=0.0, ge=0, le=366, description="Days from one retraining to the next; 0: no schedule."
    )
    training_memory_mib: int = Field(
        default=6144, ge=512, le=1_048_576, description="Memory of a retraining run's process, MiB."
    )
    training_cpu_hours: float = Field(
        default=8.0, gt=0, le=1000, description="Processor time of a retraining run's process, hours."
    )

    @field_validator(*TRAINING_LISTS, mode="before")
    @classmethod
    def _split_sets(cls, value: Any) -> Any:
        return split_commas(value)
