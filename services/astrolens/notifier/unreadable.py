"""Documents that cannot be validated: each is reported once, then skipped."""

from typing import Final

import structlog

from astrolens.platform.runtime.condition import Condition
from astrolens.platform.stores.collections import Collection

MAX_REMEMBERED: Final = 1000
"""Reported documents that are remembered. Of more, the oldest are forgotten and may be reported again."""

_MAX_ERROR_LENGTH: Final = 500
_log = structlog.get_logger(__name__)


class UnreadableDocuments:
    """Reports unreadable documents in the log and in the service's last errors, once per document and process."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self._reported: dict[tuple[Collection, str], None] = {}

    def report(self, collection: Collection, document_id: str, error: Exception | str) -> None:
        """Report a document, unless that has been done.

        Args:
            collection: Where it is.
            document_id: Its id.
            error: Why it cannot be used.
        """
        key = collection, document_id
        if key in self._reported:
            return
        self._reported[key] = None
        if len(self._reported) > MAX_REMEMBERED:
            del self._reported[next(iter(self._reported))]
        reason = str(error)[:_MAX_ERROR_LENGTH]
        self._condition.record_error(f"{collection.value} {document_id} cannot be read and is skipped: {reason}")
        _log.error(
            "a document cannot be read and is skipped", collection=collection.value, id=document_id, error=reason
        )
