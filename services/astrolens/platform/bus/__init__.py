"""The event bus: at least once, in batches, nothing lost, nothing blocked by one bad record."""

from astrolens.platform.bus.consumer import OnRefused, Refusal
from astrolens.platform.bus.core import Bus, create_bus
from astrolens.platform.dead_letters import BreakerOpen

__all__ = ["BreakerOpen", "Bus", "OnRefused", "Refusal", "create_bus"]
