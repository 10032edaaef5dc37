"""Time limits that depend on each other, in seconds. Each bounds the ones before it.

docs/architecture.md lists them, and `tests/unit/platform/test_platform_time_limits.py` holds their order, that page,
and the probes of the deployment against this module. A limit on which no other depends stays where it is used.
"""

from typing import Final

STORE_OPERATION_S: Final = 15.0
"""One call of a record store with all its retries, and one read from an image store."""
STORE_CONNECT_S: Final = 3.0
"""Connection to an image store."""
STORE_TRIES: Final = 3
"""Attempts of one call of an image store."""
IMAGE_OPERATION_S: Final = STORE_TRIES * (STORE_CONNECT_S + STORE_OPERATION_S)
"""One call of an image store with all its retries."""
PUBLISH_S: Final = 15.0
"""Acknowledgement of the records that are published together."""

MODEL_CALL_S: Final = 60.0
"""One call of the model server: 128 images of a large backbone on one core."""
MODEL_RETRY_S: Final = 20.0
"""No call of the model server begins later after the first: long enough for its restart. The bus retries later."""
DOWNLOADS_S: Final = 120.0
"""Downloads of one batch. What is late waits for the next sweep."""

HANDLER_S: Final = 180.0
"""One call of a handler: its downloads or its calls of the model server, and its stores."""
BATCH_RETRY_S: Final = 240.0
"""No call of a handler for a batch, and no dead letter, begins later after the first: the batch is then read again."""
STUCK_AFTER_S: Final = 240.0
"""`/livez` fails when records wait and nothing has happened for so long. A handler that runs to its limit is alive."""
POLL_INTERVAL_S: Final = 480.0
"""Kafka takes the partitions of a consumer that has not polled for so long. A batch has ended before; a process that
hangs has been restarted before."""

SHUTDOWN_GRACE_S: Final = 15.0
"""Default of `ASTROLENS_SHUTDOWN_GRACE_S`: a graceful shutdown."""
FORCED_EXIT_S: Final = 5.0
"""So long after the grace period a thread ends the process: a blocked call could stop the event loop for ever."""
KILL_AFTER_S: Final = 7.0
"""So long after the grace period the supervisor kills a process: its forced exit comes first, and disks may be slow."""
