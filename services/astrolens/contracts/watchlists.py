"""What a person's watchlist has found: an image at one of its places. Private to the channels that the list names."""

from pydantic import Field

from astrolens.contracts.base import Contract, UtcTime
from astrolens.contracts.ids import derived_id
from astrolens.contracts.records import Delivery


class WatchHit(Contract):
    """An image at a place of a watchlist: a document of the record store. It is in no public topic, and no list."""

    hit_id: str
    watchlist: str = Field(description="Name of the list.")
    place: str = Field(description="Name of the place in it.")
    image_id: str
    separation_arcsec: float = Field(ge=0, description="Distance of the image from the place.")
    seen_before: bool = Field(description="Whether the image was there before the list.")
    raised_at: UtcTime = Field(description="When it was found.")
    revision: int = Field(default=0, description="As of an alert; a hit has only one.")
    deliveries: tuple[Delivery, ...] = ()
    undelivered: bool = Field(default=False, description="Whether a delivery is still waiting.")

    @property
    def delivery_id(self) -> str:
        """Its id, as deliveries name what they are about."""
        return self.hit_id


def watch_hit_id(watchlist: str, place: str, image: str) -> str:
    """The id of a hit: whoever finds it, and however often, it is one."""
    return derived_id("watch-hit", watchlist, place, image)
