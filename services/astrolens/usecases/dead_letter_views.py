"""What the API shows of dead letters."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from astrolens.usecases.views import Document, ListPage, View


class DeadLetterView(View):
    """A record that could not be used; kept whole."""

    dead_letter_id: str
    topic: str
    partition: int
    offset: int
    service: str
    error_type: str
    error: str
    state: Literal["open", "resent", "dropped"]
    note: str | None
    dead_lettered_at: datetime
    key: str | None = Field(description="Base64.")
    body: str = Field(description="Base64 of the original bytes.")
    headers: list[tuple[str, str]]

    @classmethod
    def of(cls, document: Document) -> Self:
        """The view of a `DeadLetter` document."""
        return cls(**{key: document.get(key) for key in cls.model_fields})


class DeadLetterPage(ListPage):
    """A page of dead letters, newest first."""

    items: list[DeadLetterView]
