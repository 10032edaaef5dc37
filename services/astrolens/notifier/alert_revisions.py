"""What is to become of the alert about one image."""

from dataclasses import dataclass
from typing import Final

from astrolens.contracts.alerts import AlertType
from astrolens.contracts.crossmatch import Crossmatch, CrossmatchRecord, not_asked
from astrolens.contracts.records import AlertRecord, ImageRecord
from astrolens.contracts.verdicts import Analysis
from astrolens.notifier import lifecycle

_NOBODY_ASKED: Final = not_asked("not-asked", "the crossref service has not asked the catalogues")


@dataclass(frozen=True)
class AlertRevision:
    """One alert to raise, update or retract.

    Attributes:
        image, analysis: What the alert is about, as the record store holds it.
        matched: What the catalogues said of its place; None where they were not asked, in spite of a long wait.
        alert_type: What becomes of the alert.
        current: The alert as it is, None where there is none yet.
    """

    image: ImageRecord
    analysis: Analysis
    matched: CrossmatchRecord | None
    alert_type: AlertType
    current: AlertRecord | None

    @property
    def found(self) -> Crossmatch:
        """What the catalogues said, as a message tells it."""
        return _NOBODY_ASKED if self.matched is None or self.matched.crossmatch is None else self.matched.crossmatch

    @property
    def is_unchanged(self) -> bool:
        """Whether the last message told the same: an update would be no news."""
        if self.current is None or self.alert_type != "update":
            return False
        return lifecycle.is_unchanged(self.current, lifecycle.statement_of(self.image, self.analysis, self.found))
