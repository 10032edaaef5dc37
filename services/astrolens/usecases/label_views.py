"""What the API shows of people's answers."""

from datetime import datetime

from pydantic import Field

from astrolens.contracts.records import Answer
from astrolens.usecases.views import ImageCard, View


class LabelView(View):
    """The last answer on one image."""

    image: ImageCard
    answer: Answer
    user: str
    note: str | None
    tags: list[str]
    recorded_at: datetime


class LabelPage(View):
    """A page of answered images, the last answered first."""

    items: list[LabelView]
    next: str | None
    counts: dict[str, int] = Field(description="Images by answer.")
