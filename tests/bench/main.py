"""`make bench`: throughput and cost of the model server and of the whole pipeline, beside the incumbent's way.

Where `make stack` runs, the pipeline is measured on it too, in the same run, with what its servers cost.
Absolute figures belong to a machine on a day; the ratios of one run are what to compare. Nothing here passes or fails.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
from astrolens.contracts.ids import derived_id
from astrolens.rpc.v1 import inference_pb2, inference_pb2_grpc
from astrolens.science.cutouts import make_cutout

from tests.bench import formats
from tests.bench.measure import Meter
from tests.bench.pipeline import measured, runs, variables
from tests.e2e.conftest import feed_folder
from tests.e2e.system import System, wait_until
from tests.engines.stack_control import Stack

_CALL = 64
"""Images a call: what the analyzer sends."""

_CALLS_IN_FLIGHT = 3


def main() -> None:
    """Run everything and print a table, the ratios, and JSON for machines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1500, help="pictures through the pipeline")
    parser.add_argument("--incumbent-images", type=int, default=24, help="pictures through ViT-B/16")
    parser.add_argument("--stack", type=Path, help="stack.env of a running stack, to measure the pipeline on it too")
    parser.add_argument("--ingestors", type=int, default=1, help="measure the stack with 1 and with so many ingestors")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="astrolens-bench-") as scratch:
        pictures = feed_folder(Path(scratch) / "pictures", arguments.images)
        figures = {
            "cores": len(os.sched_getaffinity(0)),
            "incumbent": _incumbent(pictures, arguments.incumbent_images),
            "model_server": _model_server(Path(scratch) / "model", pictures),
            "pipeline": measured(Path(scratch) / "home", pictures, arguments.images),
        }
        if arguments.stack and runs(arguments.stack):
            for number in sorted({1, max(1, arguments.ingestors)}):
                name = "pipeline_on_stack" if number == 1 else f"{number}_ingestors_on_stack"
                home = Path(scratch) / name
                # What an earlier run left in the topics would meet services that know none of it.
                Stack(variables(arguments.stack)).purge()
                figures[name] = measured(home, pictures, arguments.images, stack=arguments.stack, ingestors=number)
    _report(figures)
    figures["decoding_ms"] = formats.measured()
    formats.report(figures["decoding_ms"])
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def _incumbent(pictures: Path, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.incumbent", str(pictures), str(count)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    figures = json.loads(answer.stdout)
    assert isinstance(figures, dict)
    return figures


@contextmanager
def _serving(home: Path) -> Iterator[tuple[int, str]]:
    """The model server alone; its process id and address."""
    system = System(home)
    address = f"127.0.0.1:{system.port + 1}"
    process = subprocess.Popen(
        [sys.executable, "-m", "astrolens.cli", "serve", "model-server"],
        env=system.environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=60)
        wait_until(lambda: describes(address), timeout_s=60, what="the model server answers", every_s=0.2)
        yield process.pid, address
    finally:
        process.terminate()
        process.wait(30)


def describes(address: str) -> inference_pb2.DescribeResponse | None:
    """What a model server says of itself; None while it does not serve."""
    with grpc.insecure_channel(address) as channel:
        try:
            answer = inference_pb2_grpc.InferenceStub(channel).Describe(inference_pb2.DescribeRequest(), timeout=5)
        except grpc.RpcError:
            return None
    assert isinstance(answer, inference_pb2.DescribeResponse)
    return answer


def _model_server(home: Path, pictures: Path) -> dict[str, Any]:
    cutouts = [make_cutout(path.read_bytes()).jpeg for path in sorted(pictures.iterdir())[:512]]
    with _serving(home) as (pid, address):
        asyncio.run(_call_all(address, cutouts[:128], "warm"))
        meter = Meter({"model-server": pid})
        meter.start()
        rounds = 4
        for number in range(rounds):
            asyncio.run(_call_all(address, cutouts, f"round{number}"))
        return meter.stop(rounds * len(cutouts)).as_row()


async def _call_all(address: str, cutouts: list[bytes], prefix: str) -> None:
    options = [("grpc.max_send_message_length", 64 * 2**20), ("grpc.max_receive_message_length", 64 * 2**20)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        stub = inference_pb2_grpc.InferenceStub(channel)
        places = asyncio.Semaphore(_CALLS_IN_FLIGHT)

        async def call(start: int) -> None:
            items = [
                inference_pb2.Item(
                    image_id=derived_id("bench", prefix, str(start + offset)), survey="sdss", cutout=cutout
                )
                for offset, cutout in enumerate(cutouts[start : start + _CALL])
            ]
            async with places:
                await stub.AnalyzeMany(inference_pb2.AnalyzeManyRequest(items=items), timeout=120)

        await asyncio.gather(*(call(start) for start in range(0, len(cutouts), _CALL)))


def _report(figures: dict[str, Any]) -> None:
    base = figures["incumbent"]
    print(f"{figures['cores']} cores")
    print(f"{'':22}{'images/s':>10}{'CPU-ms/image':>14}{'x incumbent':>13}{'CPU saved x':>13}")
    rows = [name for name in figures if name != "cores"]
    for name in rows:
        row = figures[name]
        speed = row["images_per_s"] / base["images_per_s"]
        saved = base["cpu_ms_per_image"] / row["cpu_ms_per_image"]
        print(f"{name:22}{row['images_per_s']:10.1f}{row['cpu_ms_per_image']:14.2f}{speed:13.1f}{saved:13.1f}")
    for name in rows[1:]:
        print(f"{name}: CPU-ms an image by process {figures[name]['cpu_ms_by_process']}")
    for name in rows:
        print(f"{name}: peak MiB by process {figures[name]['peak_mib']}")


if __name__ == "__main__":
    main()
