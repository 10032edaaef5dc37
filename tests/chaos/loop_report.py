"""What a loop of the model showed at its end, and what of it is wrong."""

import itertools
from collections import Counter
from typing import TYPE_CHECKING, Final

from astrolens.platform.settings import PACKAGED_BUNDLE_DIGEST

if TYPE_CHECKING:
    from tests.chaos.model_loop import Loop

EVENTS_TIMEOUT_S: Final = 120.0
SETTLED: Final = ("analyzed", "duplicates", "rejected")
"""What becomes of an image that was received."""


def conclude(loop: "Loop") -> list[str]:
    """Complete the report once nothing streams any more; what is wrong, one sentence each."""
    sent = set(loop.stream.sent)
    books = loop.system.wait_settled(len(sent))
    loop.wait(
        lambda: len(loop.log.stamps) >= books["analyzed"],
        f"an event of each of {books['analyzed']} analyses",
        timeout_s=EVENTS_TIMEOUT_S,
    )
    missing = sent - loop.system.images().keys()
    by_bundle = loop.stamps_of(sent)
    pairs = {stamp for stamps in loop.log.stamps.values() for stamp in stamps}
    bundles_of = {calibration: {own[0] for own in pairs if own[1] == calibration} for _, calibration in pairs}
    counts = Counter(len(stamps) for stamps in loop.log.stamps.values())
    answered = loop.system.http.get("/api/images", params={"label": "any", "limit": 1}).json()["total"]
    check = loop.system.cli("books", "--recount")
    outside = loop.rpc.failed_outside(loop.kills.away)
    loop.report |= {
        "steps_s": loop.steps_s,
        "rest requests": {
            "made": loop.requests.made.total(),
            "failed": len(loop.requests.failures),
            "asked to wait (429)": loop.requests.told_to_wait,
        },
        "grpc requests": {
            "made": loop.rpc.asked,
            "failed": len(outside),
            "failed while the model server was killed": len(loop.rpc.failures) - len(outside),
        },
        "images streamed": len(sent),
        "stamped at the end": dict(by_bundle),
        "published analyses": {
            "by bundle": dict(Counter(stamp[0][:12] for stamps in loop.log.stamps.values() for stamp in stamps)),
            "images by their number": dict(sorted(counts.items())),
            "calibrations": {calibration: min(own)[:12] for calibration, own in bundles_of.items()},
        },
        "books": {name: books[name] for name in ("received", "analyzed", "duplicates", "rejected", "dead_lettered")},
        "books agree": check.returncode == 0,
        "kills": dict(loop.kills.done),
        "kills together": loop.kills.done.total(),
        "ready again_s": loop.kills.back_s,
    }
    wrong = {
        f"REST requests failed: {loop.requests.failures[:5]}": bool(loop.requests.failures),
        f"gRPC requests failed: {outside[:5]}": bool(outside),
        # A picture that shows no object is rejected, and has no image.
        f"images lost: {sorted(missing)[:5]}": len(missing) != books["rejected"],
        f"books differ: {books}": books["received"] != sum(books[name] for name in SETTLED),
        f"`astrolens books --recount`: {check.stdout}": check.returncode != 0,
        f"answers lost: {answered}": answered != sum(loop.report["answers"].values()),
        f"analyses of another bundle: {by_bundle}": set(by_bundle) != {PACKAGED_BUNDLE_DIGEST},
        f"one calibration of several bundles: {bundles_of}": any(len(own) != 1 for own in bundles_of.values()),
        "an old bundle answered after a new one": mixed(loop.rpc.stamps, changes=2),
    }
    return [sentence for sentence, is_wrong in wrong.items() if is_wrong]


def mixed(stamps: list[tuple[float, str, str]], *, changes: int) -> bool:
    """Whether the answers change between bundles more often than these were swapped."""
    digests = [digest for _, digest, _ in stamps]
    return sum(one != two for one, two in itertools.pairwise(digests)) > changes
