"""What a comparison in shadow costs the stream: `python -m tests.bench.shadow`.

The packaged bundle answers a client that never pauses, in turns with and without a candidate beside it; the ratio of
one run is what counts, not the images a second.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from astrolens.inference.engine import Item
from astrolens.inference.loaded_model import load_model
from astrolens.inference.model_metrics import ModelMetrics
from astrolens.inference.shadow import ShadowRunner
from astrolens.platform.runtime.service import ServiceApp
from astrolens.platform.settings import PACKAGED_BUNDLE, load_settings
from astrolens.platform.signing import load_signer
from astrolens.science.bundle import MANIFEST, Bundle, write_bundle
from astrolens.science.simulation import simulate
from astrolens.usecases.model_promotion import record_settings_bundle
from astrolens.usecases.model_registry import ModelRegistry

CLIENTS = 3
REQUEST = 16
EVERY_S = 2.0


async def measure(home: Path, *, turns: int, seconds: float) -> None:
    """Print images a second of each turn, and the ratio of the medians."""
    settings = load_settings(home=home, sources=("none",), shadow_images=5000)
    app = ServiceApp(settings, service="model-server", port=None, with_bus=False)
    await app.records.open()
    await app.images.open()
    metrics = ModelMetrics(app.metrics)
    model = load_model(app, metrics, PACKAGED_BUNDLE)
    service = model.service
    service.start()
    candidate = home.parent / "candidate"
    contents = {path.name: path.read_bytes() for path in PACKAGED_BUNDLE.iterdir() if path.name != MANIFEST}
    manifest = Bundle.load(PACKAGED_BUNDLE).manifest.model_copy(update={"version": "candidate"})
    write_bundle(candidate, manifest, contents)
    registry = ModelRegistry(records=app.records, images=app.images)
    await record_settings_bundle(app.records, model.digest, at=datetime.now(UTC))
    signer = load_signer(settings.model_signing_key, create=True)
    await registry.publish(candidate, signer=signer, created_by="bench", gates={"passed": True, "gates": []})
    runner = ShadowRunner(
        records=app.records,
        images=app.images,
        settings=settings,
        metrics=metrics,
        serving=lambda: model.digest,
        queued=lambda: service.queued,
    )
    await runner.run_pass()
    pictures = [simulate(3, index, oddity_rate=0.02).jpeg for index in range(64)]
    shares: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(2 * turns):
        shadowed = bool(turn % 2)
        service.on_analyzed = runner.submit if shadowed else None
        comparing = asyncio.create_task(_compare(runner)) if shadowed else None
        shares[shadowed].append(await _stream(service.analyze, pictures, seconds, first=turn * 100_000))
        if comparing is not None:
            service.on_analyzed = None
            comparing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await comparing
        print(f"{'with' if shadowed else 'without'} a candidate: {shares[shadowed][-1]:.0f} images/s")
    ratio = statistics.median(shares[True]) / statistics.median(shares[False])
    record = runner._record
    compared, dropped = (record.images, record.dropped) if record else (0, 0)
    print(f"ratio {ratio:.3f}; compared {compared}, passed by {dropped}")
    runner.close()
    await service.close()
    await app.images.close()
    await app.records.close()


async def _compare(runner: ShadowRunner) -> None:
    while True:
        await runner.run_pass()
        await asyncio.sleep(EVERY_S)


async def _stream(analyze, pictures: list[bytes], seconds: float, *, first: int) -> float:
    """Images a second of clients that ask again as soon as they are answered."""
    begun, done = monotonic(), 0
    number = first

    async def client() -> None:
        nonlocal done, number
        while monotonic() - begun < seconds:
            asked = []
            for _ in range(REQUEST):
                number += 1
                asked.append(Item(f"{number:032x}", "simulated-sdss", pictures[number % len(pictures)]))
            await analyze(asked)
            done += REQUEST

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return done / (monotonic() - begun)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder) / "home", turns=given.turns, seconds=given.seconds))
