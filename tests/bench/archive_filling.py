"""Puts a large archive into stores, in blocks; filling can stop anywhere and go on."""

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial

from astrolens.contracts.records import ImageState
from astrolens.platform.retry import RetryPolicy, retry
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.images import ImageStore, cutout_key
from astrolens.platform.stores.records import RecordStore

from tests.bench import archive
from tests.bench.archive import SAMPLE, Block, Model, block, image_id
from tests.browser import sky


def blocks(count: int, *, start: int = 0) -> Iterator[tuple[int, int]]:
    """Number and size of the blocks that hold images `start` to `count`; `start` is rounded down to a block."""
    for number in range(start // archive.BLOCK, -(-count // archive.BLOCK)):
        yield number, min(archive.BLOCK, count - number * archive.BLOCK)


async def fill(
    records: RecordStore,
    model: Model,
    count: int,
    *,
    report: Callable[[str], None] = lambda _: None,
    limit_s: float = 3_600.0,
) -> float:
    """Put an archive of `count` images into an open record store; what is there already stays.

    Returns:
        Images put a second; 0 where all were there.

    Raises:
        TimeoutError: It took longer than `limit_s`; calling again goes on.
    """
    present = (await records.tally(Collection.IMAGES, "state")).get((ImageState.ANALYZED.value,), 0)
    if present >= count:
        return 0.0
    began = said = time.monotonic()
    done = 0
    # The last block may be there in part, with its receipts or alerts missing: it is put again.
    for number, size in blocks(count, start=max(0, present - archive.BLOCK)):
        # A server that writes its checkpoint may not answer for a while; what is there already stays.
        put = partial(_put, records, block(model, number, size))
        await retry(put, retry_policy=RetryPolicy(timeout_s=300.0), stopping=asyncio.Event())
        done += size
        now = time.monotonic()
        if now - began > limit_s:
            raise TimeoutError(f"{number * archive.BLOCK + size:,} of {count:,} images in {now - began:.0f} s")
        if now - said > 10:
            report(f"{number * archive.BLOCK + size:,} of {count:,} images, {done / (now - began):,.0f}/s")
            said = now
    return done / (time.monotonic() - began)


async def _put(records: RecordStore, documents: Block) -> None:
    await asyncio.gather(
        records.insert(Collection.ALERTS, documents.alerts),
        records.insert(Collection.RECEIPTS, documents.receipts),
        records.insert(Collection.IMAGES, documents.images),
    )


async def put_sample(images: ImageStore, count: int) -> None:
    """Cutout files of the newest images, and of no others: pictures are not measured."""
    pool = sky.pictures(64)
    newest = range(max(0, count - SAMPLE), count)
    objects = [(cutout_key(image_id(index)), pool[index % len(pool)], "image/jpeg") for index in newest]
    await images.put_many(objects)
