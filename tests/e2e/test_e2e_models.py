"""Promotion and rollback on the running system, under load and under kills."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from astrolens.platform.settings import PACKAGED_BUNDLE_DIGEST
from astrolens.platform.signing import load_signer
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.records import Clause, Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.rpc.v1.inference_pb2_grpc import InferenceStub
from astrolens.usecases.model_registry import ModelRegistry

from tests.e2e.conftest import FEED_SURVEY, feed_folder
from tests.e2e.model_bundles import repack
from tests.e2e.system import System, running, wait_until

pytestmark = pytest.mark.e2e

PICTURES = 60


@dataclass
class Load:
    """A client that asks the model server without pause and without trying again."""

    address: str
    cutouts: list[bytes]
    stamps: list[tuple[str, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with grpc.insecure_channel(self.address) as channel:
            stub = InferenceStub(channel)
            request = pb.AnalyzeManyRequest(items=[pb.Item(survey=FEED_SURVEY, cutout=jpeg) for jpeg in self.cutouts])
            while not self.stop.is_set():
                try:
                    answer = stub.AnalyzeMany(request, timeout=30)
                except grpc.RpcError as error:
                    self.failures.append(str(error))
                    continue
                self.stamps += [(answer.model.digest, each.result.calibration_id) for each in answer.outcomes]

    def __enter__(self) -> Self:
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(60)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("models") / "home", false_alarms_per_1000="50", shadow_images="0") as system:
        yield system


def models(system: System) -> dict[str, dict[str, Any]]:
    found = system.http.get("/api/models").raise_for_status().json()
    return {item["digest"]: item for item in found["items"]}


def decide(system: System, path: str) -> None:
    system.http.post(f"/api/models/{path}", json={"why": "the test wants it"}).raise_for_status()


def publish(system: System, folder: Path, *, key: Path | None = None) -> None:
    """As `astrolens models publish`, without the start of a process."""

    async def run() -> None:
        records, images = SqliteRecordStore(system.home / "records.sqlite"), FolderImageStore(system.home / "images")
        await records.open()
        await images.open()
        signer = load_signer(key or system.home / "keys" / "model-signing.key", create=True)
        await ModelRegistry(records=records, images=images).publish(folder, signer=signer, created_by="test")
        await records.close()
        await images.close()

    asyncio.run(run())


def serving(system: System) -> str:
    return str(system.status()["model"].get("digest"))


def command(system: System, *arguments: str) -> str:
    result = system.cli(*arguments)
    assert result.returncode == 0, f"{arguments}: {result.stdout}\n{result.stderr}\n{system.logs()}"
    return result.stdout


def wait_serving(system: System, digest: str) -> None:
    wait_until(lambda: serving(system) == digest, timeout_s=90, what=lambda: f"{digest} serves\n{system.logs()}")


def model_server_detail(system: System) -> str:
    return str(system.status()["services"]["model-server"].get("detail"))


@pytest.mark.timeout(600)
def test_a_bundle_is_promoted_under_load_and_every_answer_names_one_model(system: System, tmp_path: Path) -> None:
    pictures = feed_folder(tmp_path / "pictures", PICTURES)
    command(system, "ingest", str(pictures), "--survey", FEED_SURVEY, "--wait")
    digest = repack(tmp_path / "stricter", "9.0.0")
    command(system, "models", "publish", str(tmp_path / "stricter"))
    found = models(system)
    assert (found[digest]["state"], found[PACKAGED_BUNDLE_DIGEST]["state"]) == ("candidate", "promoted")

    more = feed_folder(tmp_path / "more", 2 * PICTURES)
    cutouts = [path.read_bytes() for path in sorted(pictures.iterdir())[:8]]
    address = system.status()["services"]["model-server"]["info"]["address"]
    with Load(address, cutouts) as load:
        wait_until(lambda: load.stamps, timeout_s=60, what="the first answer under load")
        assert system.cli("ingest", str(more), "--survey", FEED_SURVEY).returncode == 0
        command(system, "models", "promote", digest[:12], "--why", "the test wants it")
        wait_until(lambda: load.stamps[-1][0] == digest, timeout_s=90, what=lambda: f"a swap\n{system.logs()}")
        count = len(load.stamps)
        wait_until(lambda: len(load.stamps) > count + 16, timeout_s=60, what="answers of the new model")
    assert load.failures == []
    order = [stamp[0] for stamp in load.stamps]
    assert set(order) == {PACKAGED_BUNDLE_DIGEST, digest}
    assert PACKAGED_BUNDLE_DIGEST not in order[order.index(digest) :]
    # Each answer is of one bundle with the calibration of that bundle.
    calibrations = {model: {stamp[1] for stamp in load.stamps if stamp[0] == model} for model in set(order)}
    assert all(len(each) == 1 for each in calibrations.values())
    assert calibrations[digest] != calibrations[PACKAGED_BUNDLE_DIGEST]

    status = system.wait_settled(3 * PICTURES)
    assert (status["analyzed"], status["dead_lettered"]) == (2 * PICTURES, 0)
    found = models(system)
    assert (found[digest]["state"], found[PACKAGED_BUNDLE_DIGEST]["state"]) == ("promoted", "retired")
    wait_serving(system, digest)  # the status follows the server by a heartbeat
    assert [change["why"] for change in found[digest]["history"]][-1] == "the test wants it"


def stamped(system: System, digest: str) -> list[str]:
    """Images that are analysed by this bundle, and by no other."""

    async def run() -> list[str]:
        records = SqliteRecordStore(system.home / "records.sqlite")
        await records.open()
        try:
            query = Query(where=(Clause("analysis.model_digest", "eq", digest),), limit=1000, fields=("state",))
            found = (await records.find(Collection.IMAGES, query)).documents
        finally:
            await records.close()
        return [each["image_id"] for each in found if each["state"] == "analyzed"]

    return asyncio.run(run())


@pytest.mark.timeout(600)
def test_kills_between_promotion_swap_and_second_pass_lose_nothing(system: System) -> None:
    before = serving(system)
    decide(system, "rollback")
    system.kill("model-server", "trainer")
    wait_until(system.all_ready, timeout_s=120, what=lambda: f"all services again\n{system.logs()}")
    wait_serving(system, PACKAGED_BUNDLE_DIGEST)
    decide(system, f"{before}/promote")
    wait_serving(system, before)
    system.kill("model-server", "analyzer")
    wait_until(system.all_ready, timeout_s=120, what=lambda: f"all services again\n{system.logs()}")
    wait_serving(system, before)
    # The second pass looks at the whole archive once more; what only this bundle flags is a list of its own.
    wait_until(lambda: len(stamped(system, before)) > 0, timeout_s=90, what=lambda: f"a second pass\n{system.logs()}")
    system.kill("analyzer", "trainer")
    wait_until(
        lambda: len(stamped(system, before)) == 2 * PICTURES,
        timeout_s=120,
        what=lambda: f"{len(stamped(system, before))} of {2 * PICTURES} analysed again\n{system.logs()}",
        every_s=0.5,
    )
    status = system.wait_settled(3 * PICTURES)
    assert (status["analyzed"], status["dead_lettered"], status["received"]) == (2 * PICTURES, 0, 3 * PICTURES)
    late = system.http.get("/api/images", params={"late_by": before, "limit": 200}).raise_for_status().json()["items"]
    assert late
    assert {card["verdict"] for card in late} == {"anomaly"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", ["damaged", "stranger"])
def test_what_must_not_serve_is_refused_and_the_old_model_goes_on(system: System, tmp_path: Path, fault: str) -> None:
    before = serving(system)
    digest = repack(tmp_path / "bad", f"9.0.1-{fault}")
    publish(system, tmp_path / "bad", key=tmp_path / "stranger.key" if fault == "stranger" else None)
    if fault == "damaged":
        stored = system.home / "images" / "models" / digest[:2] / digest
        shutil.copyfile(tmp_path / "bad" / "model_card.md", stored)
    decide(system, f"{digest}/promote")
    reason = {"damaged": "have another SHA-256", "stranger": "which is not trusted here"}[fault]
    wait_until(
        lambda: reason in model_server_detail(system),
        timeout_s=60,
        what=lambda: f"{reason!r} in {model_server_detail(system)!r}\n{system.logs()}",
    )
    assert serving(system) == before
    decide(system, "rollback")
    wait_until(system.all_ready, timeout_s=60, what=lambda: f"no fault any more: {model_server_detail(system)}")
    assert serving(system) == before
