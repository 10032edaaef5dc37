"""Opening a store at the start of a service: it may be starting as well."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from astrolens.platform.errors import TransientError
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.runtime.condition import Condition
from astrolens.platform.runtime.exit_codes import transient_as_configuration_error

_START_RETRY = RetryPolicy(timeout_s=30.0, max_wait_s=2.0)
_START_ISSUE = "start"
_log = structlog.get_logger(__name__)


async def open_with_retries(
    attempt: Callable[[], Awaitable[None]], *, condition: Condition, stopping: asyncio.Event
) -> None:
    """Open a store, for at most half a minute; the issue `start` says what is waited for.

    Raises:
        ConfigurationError: It did not answer in that time.
        TransientError: The service is to end.
    """

    def report(error: TransientError) -> None:
        if condition.set_issue(_START_ISSUE, str(error)):
            _log.warning("service waits to start", error=str(error))

    with transient_as_configuration_error(unless=stopping):
        await retry(attempt, retry_policy=_START_RETRY, stopping=stopping, on_failure=report)
    condition.clear_issue(_START_ISSUE)
