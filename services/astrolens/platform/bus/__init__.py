"""The event bus: at least once, in batches, nothing lost, nothing blocked by one bad record."""

from astrolens.platform.bus.bus import Bus, create_bus
from astrolens.platform.bus.consumer import OnRefused, Refusal
from astrolens.platform.bus.dead_letters import TooManyDeadLetters

__all__ = ["Bus", "OnRefused", "Refusal", "TooManyDeadLetters", "create_bus"]
