"""The settings of what is learned: rankings, survey models, retraining runs and the promotion of what they make."""

from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from astrolens.contracts.models import DEFAULT_SHADOW_IMAGES
from astrolens.platform.catalogue_settings import split_commas

TRAINING_LISTS: Final = ("training_sets", "protected_surveys")


class TrainingSettings(BaseSettings):
    """Settings of rankings, survey models, retraining and promotion, a part of `Settings`."""

    personal_rankings: bool = Field(
        default=False,
        description="Whether people who answer have interest rankings of their own beside the shared one.",
    )
    survey_model_images: int = Field(
        default=300, ge=50, le=2000, description="Images of a new survey that its survey model is fitted on."
    )
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
    training_backbone: str = Field(
        default="",
        description="Checkpoint that runs start from which name none: a folder in `backbones` of the home folder, or "
        "`owner/name` of the hub; empty: the promoted bundle.",
    )
    model_max_cost: float = Field(
        default=1.25, ge=1.0, le=1000.0, description="Largest cost of an image by a new bundle, times that of the last."
    )
    model_max_graph_mib: float = Field(
        default=30.0,
        ge=1.0,
        le=1000.0,
        description="Largest graph of a new bundle, MiB; one of the last's size passes.",
    )
    protected_surveys: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Comma-separated surveys whose calibration no new bundle may lose, beside those of the archive and "
        "of sources; `all`: every one that the bundle in use calibrates.",
    )
    model_promotion: Literal["person", "rule"] = Field(
        default="person",
        description="Who promotes a bundle whose gates passed and that was compared in shadow: a person, or the rule "
        "at once.",
    )
    shadow_images: int = Field(
        default=DEFAULT_SHADOW_IMAGES,
        ge=0,
        le=5000,
        description="Images on which a new bundle is compared in shadow; 0: only on request.",
    )

    @field_validator(*TRAINING_LISTS, mode="before")
    @classmethod
    def _split_sets(cls, value: Any) -> Any:
        return split_commas(value)
