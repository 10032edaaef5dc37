"""Interest rankings: in which order people may want to see images, learned from their answers.

A ranking stands beside the p-value, never instead of it: it promises no rate of false alarms. There is one document for
each ranking; each change of it has a higher version.
"""

from typing import Final, Self

from pydantic import Field, model_validator

from astrolens.contracts.base import Contract, UtcTime

SHARED_RANKING: Final = "shared"
"""The ranking that is learned from everybody's answers."""
MAX_RANKED: Final = 5000
"""Images in a ranking: candidates, those that people answered, and a sample of the others."""
MAX_QUEUED: Final = 200
"""Images in the order that is most useful to answer."""


def personal_ranking(user: str) -> str:
    """The name of the ranking that is learned from one person's answers."""
    return f"user:{user}"


class RankingRecord(Contract):
    """One ranking. `interest`, `artefact` and `image_ids` are columns of the same length, most interesting first."""

    ranking: str = Field(description="Its name: `shared`, or `user:` and the user's name.")
    version: int = Field(ge=1, description="Number of times it was learned.")
    learned_at: UtcTime
    last_answer_at: UtcTime | None = Field(default=None, description="The newest answer that it knows.")
    model_digest: str = Field(description="The bundle whose embeddings and scores were read.")
    answers: dict[str, int] = Field(default_factory=dict, description="Images by the answer that was learned from.")
    image_ids: tuple[str, ...]
    interest: tuple[float, ...] = Field(description="0 to 1: the share of the ranked images that interest less.")
    artefact: tuple[float, ...] = Field(
        description="0 to 1, how much like an artefact: a score of a classifier with equal classes, no calibrated rate."
    )
    queue: tuple[int, ...] = Field(
        default=(), description="Rows of unanswered images in the order that is most useful to answer."
    )
    prefers: tuple[str, ...] = Field(default=(), description="Kinds of strangeness that its first images have more of.")
    avoids: tuple[str, ...] = Field(default=(), description="Kinds of strangeness that its first images have less of.")

    @model_validator(mode="after")
    def _columns(self) -> Self:
        if not len(self.image_ids) == len(self.interest) == len(self.artefact):
            raise ValueError("image_ids, interest and artefact differ in length")
        if any(not 0 <= row < len(self.image_ids) for row in self.queue):
            raise ValueError("queue names rows that are not there")
        return self
