"""What the API shows of an alert: what it says, who or what changed it last, and how far it got."""

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from astrolens.contracts.p_values import PValueWords, p_value_words
from astrolens.contracts.records import Answer, Delivery
from astrolens.contracts.verdicts import Verdict
from astrolens.usecases.views import AlertMessageView, Document, ListPage, Tense, View, alert_messages


class AlertView(View):
    """One alert with how far it got."""

    alert_id: str
    image_id: str
    alert_type: Literal["initial", "update", "retraction"]
    alert_tense: Tense
    survey: str
    predicted_class: str = Field(serialization_alias="class")
    verdict: Verdict
    p_value: float
    p_value_words: PValueWords
    topic: str | None = Field(description="The public Kafka topic; null where it must not be public.")
    object_id: str | None = Field(description="The object of the sky: alerts about its other images have the same one.")
    seen_before: int | None = Field(description="Images of that object that came before this one.")
    late: bool | None = Field(description="Whether a second pass through the archive found it.")
    raised_at: datetime
    updated_at: datetime | None = Field(description="When the last update or retraction was written.")
    update_reason: str | None = Field(description="Who or what caused it, as a sentence; null in an initial alert.")
    label: Answer | None = Field(description="What a person said of the image, in the last message.")
    labeled_by: str | None = Field(description="Who gave that answer.")
    tags: list[str] = Field(description="The free tags that came with it.")
    messages: list[AlertMessageView] = Field(description="All that it said, oldest first; the last repeats the above.")
    missing_messages: int = Field(description="Messages that are not kept: of older versions, and beyond fifty.")
    deliveries: list[Delivery]
    cutout_url: str
    image_url: str = Field(description="The console's page of the image.")

    @classmethod
    def of(cls, document: Document) -> Self:
        """The view of an `AlertRecord` document."""
        image = document["image_id"]
        own = {"cutout_url", "image_url", "p_value_words", "update_reason", "tags", "messages", "missing_messages"}
        messages = alert_messages(document)
        return cls(
            messages=messages,
            missing_messages=int(document.get("revision") or 0) + 1 - len(messages),
            update_reason=messages[-1].update_reason,
            tags=document.get("tags") or [],
            p_value_words=p_value_words(
                document["p_value"],
                at_most=bool(document.get("p_value_at_most")),
                fit=document.get("calibration_fit") or "own",
                older=document.get("calibration_images") is None,
            ),
            cutout_url=f"/api/images/{image}/cutout",
            image_url=f"/image/{image}",
            **{key: document.get(key) for key in cls.model_fields if key not in own},
        )


class AlertPage(ListPage):
    """A page of alerts."""

    items: list[AlertView]
