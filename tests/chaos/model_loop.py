"""The whole life of a model on a running system under load: `python -m tests.chaos.model_loop [--kills]`.

A scripted person answers 150 images; a retraining run makes a challenger from them; its gates, its comparison in
shadow, promotion, swap, second pass, rollback and the second pass back follow, while pictures stream in and clients ask
by REST and gRPC all the time. Then a worse challenger must be refused, and a damaged, an unsigned and a stranger's
bundle. With `--kills` trainer, model server and the run's own process are killed with -9 at every step of it.

Exit code 1 where a request failed (but those to a killed model server), an image or answer was lost, an analysis names
no bundle or a mixture, an old bundle answered after a new one, or something was not refused.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from astrolens.contracts.training_runs import RunStep
from astrolens.platform.settings import PACKAGED_BUNDLE_DIGEST
from astrolens.platform.stores.collections import Collection
from astrolens.platform.stores.folder.store import FolderImageStore
from astrolens.platform.stores.paging import pages
from astrolens.platform.stores.records import Clause, Query
from astrolens.platform.stores.sqlite.store import SqliteRecordStore
from astrolens.science.simulation import simulate

from tests.chaos.loop_faults import (
    FAULTS,
    MODEL_SERVER,
    RUN,
    TRAINER,
    WAIT_TIMEOUT_S,
    Kills,
    lift_priority,
    progress_of,
    publish_faulty,
    run_process,
    with_stores,
    worsen_challenger,
)
from tests.chaos.loop_load import AnalysisLog, Person, Reader, Requests, RpcLoad, Stream, Worker
from tests.chaos.loop_report import conclude
from tests.e2e.conftest import galaxy_files
from tests.e2e.model_bundles import repack
from tests.e2e.system import System, running, wait_until

BUDGET: Final = 20.0
"""False alarms per 1,000."""
RUN_TIMEOUT_S: Final = 3600.0
"""Longest retraining run."""
_LOG_EVERY_S: Final = 2.0


@dataclass
class Loop:
    """One loop on one system.

    Attributes:
        system: It runs.
        requests: Every REST request of the loop goes through it.
        stream: The pictures.
        rpc: The gRPC client.
        log: Every published analysis.
        kills: What is killed.
        options: Of the retraining run.
        lift: Whether the run gets its share of a machine that others keep busy.
        report: What was found.
    """

    system: System
    requests: Requests
    stream: Stream
    rpc: RpcLoad
    log: AnalysisLog
    kills: Kills
    options: dict[str, Any]
    lift: bool
    report: dict[str, Any] = field(default_factory=dict)
    steps_s: dict[str, float] = field(default_factory=dict)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        print(f"{name} ...", flush=True)
        began = monotonic()
        yield
        self.steps_s[name] = round(monotonic() - began, 1)
        self.log.read()
        failed = len(self.requests.failures), len(self.rpc.failed_outside(self.kills.away))
        print(
            f"{name}: {self.steps_s[name]} s; {len(self.stream.sent)} images; so far {self.requests.made.total()} REST "
            f"requests, {failed[0]} failed, {self.rpc.asked} gRPC requests, {failed[1]} failed",
            flush=True,
        )

    def decide(self, path: str) -> None:
        """A person's decision about a model."""
        answer = self.requests.ask("POST", f"/api/models/{path}", json={"why": "the loop wants it"})
        assert answer is not None, self.requests.failures[-1]

    def wait(self, condition: Callable[[], Any], what: str, *, timeout_s: float = WAIT_TIMEOUT_S) -> Any:
        """Wait, bounded, and read the log of analyses meanwhile."""

        def looked() -> Any:
            self.log.read()
            return condition()

        return wait_until(looked, timeout_s=timeout_s, what=lambda: f"{what}\n{self.system.logs()}")

    def serving(self) -> str:
        """The bundle that answers, as the console says."""
        status = self.requests.ask("GET", "/api/status") or {}
        return str((status.get("model") or {}).get("digest"))

    # The steps, in their order.

    def answer(self, count: int) -> None:
        """Let the person answer."""
        person = Person(self.requests, self.stream)

        def disturb(done: int) -> None:
            if done == count // 4:
                self.kills.kill(TRAINER, "answers")
            if done == count // 2:
                self.kills.kill(MODEL_SERVER, "answers")

        person.answer(count, on_answer=disturb)
        self.report["answers"] = dict(person.given)

    def retrain(self, *, worsen: bool = False) -> dict[str, Any]:
        """One run, with kills at each of its steps; its record."""
        begun = self.requests.ask("POST", "/api/training/runs", json={"options": self.options})
        assert begun is not None, self.requests.failures[-1]
        run_id = begun["run"]["run_id"]
        digest = None
        places = [(step.value, victim) for step in RunStep for victim in (RUN, TRAINER, MODEL_SERVER)]
        if worsen:
            with self._working(run_id):
                digest = worsen_challenger(self.system, run_id)
            places = []
        elif not self.kills.wanted:
            places = []
        read_at = monotonic()
        deadline = read_at + RUN_TIMEOUT_S
        while True:
            run = (self.requests.ask("GET", f"/api/training/runs/{run_id}") or {}).get("run") or {}
            if run.get("state") not in {None, "queued", "running"}:
                break
            assert monotonic() < deadline, f"the run takes longer than {RUN_TIMEOUT_S} s\n{self.system.logs()}"
            if monotonic() - read_at > _LOG_EVERY_S:
                self.log.read()
                read_at = monotonic()
            sleep(0.02)  # some steps are short
            if self.lift and (process := run_process(self.system)) is not None:
                lift_priority(process)
            if places and progress_of(self.system, run_id).get("step") == places[0][0] and run_process(self.system):
                step, victim = places.pop(0)
                self.kills.kill(victim, step)
        assert run["state"] == "done", run
        assert digest is None or run["challenger"] == digest
        self.report.setdefault("kill places not met", []).extend(f"{step}: {victim}" for step, victim in places)
        return run

    @contextlib.contextmanager
    def _working(self, run_id: str) -> Iterator[None]:
        """Wait until the run's process is at work, with its share of the machine."""
        wait_until(lambda: progress_of(self.system, run_id), timeout_s=WAIT_TIMEOUT_S, what="a run at work")
        if self.lift and (process := run_process(self.system)) is not None:
            lift_priority(process)
        yield

    def shadow(self, digest: str) -> None:
        """The comparison beside the bundle in use."""

        def view() -> dict[str, Any]:
            found = self.requests.ask("GET", f"/api/models/{digest}") or {}
            return found.get("shadow") or {}

        self.wait(lambda: view().get("images"), "the first images in shadow")
        self.kills.kill(MODEL_SERVER, "shadow")
        self.kills.kill(TRAINER, "shadow")
        self.wait(lambda: view().get("finished_at"), "the end of the comparison", timeout_s=2 * WAIT_TIMEOUT_S)
        self.report["shadow"] = {
            name: view()[name]
            for name in ("images", "replayed", "dropped", "failed", "newly_anomalous", "no_longer_anomalous")
        }
        assert self.requests.ask("GET", f"/api/models/{digest}/diff") is not None

    def swap(self, path: str, digest: str, place: str) -> None:
        """Promote or roll back, and wait until the other bundle answers."""
        self.decide(path)
        self.kills.kill(MODEL_SERVER, place)
        self.kills.kill(TRAINER, place)
        self.wait(lambda: self.serving() == digest, f"{digest} in the status")
        known = len(self.rpc.stamps)
        self.wait(
            lambda: any(stamp[1] == digest for stamp in self.rpc.stamps[known:]), f"answers of {digest} over gRPC"
        )

    def second_pass(self, digest: str, place: str) -> None:
        """Wait until every image that came before is analysed by this bundle."""
        earlier = set(self.stream.sent)

        def behind() -> int:
            return sum(self.stamps_of(earlier, without=digest).values())

        total = behind()
        self.wait(lambda: behind() < 0.9 * total, "the first images of the second pass")
        self.kills.kill(MODEL_SERVER, place)
        self.wait(lambda: behind() < 0.5 * total, "half of the second pass", timeout_s=3 * WAIT_TIMEOUT_S)
        self.kills.kill(TRAINER, place)
        self.wait(lambda: behind() == 0, "the end of the second pass", timeout_s=3 * WAIT_TIMEOUT_S)
        late = self.requests.ask("GET", "/api/images", params={"late_by": digest, "limit": 1})
        self.report.setdefault("second passes", {})[place] = {
            "images": len(earlier),
            "analysed again": total,
            "late": (late or {}).get("total"),
        }

    def stamps_of(self, images: set[str], *, without: str | None = None) -> Counter[str]:
        """Analysed images by the bundle that judged them last."""

        async def read(records: SqliteRecordStore, _: FolderImageStore) -> Counter[str]:
            counts: Counter[str] = Counter()
            where = () if without is None else (Clause("analysis.model_digest", "ne", without),)
            query = Query(where=where, limit=500, fields=("state", "analysis.model_digest"))
            async for page in pages(records, Collection.IMAGES, query):
                for each in page:
                    if each["image_id"] in images:
                        counts[str((each["analysis"] or {}).get("model_digest"))] += 1
            return counts

        return with_stores(self.system, read)

    def refuse(self, place: Path) -> None:
        """Bundles that must not serve: each is promoted, refused by the model server, and taken back."""
        before = self.serving()
        refused = {}
        for number, (fault, words) in enumerate(FAULTS.items()):
            folder = place / fault
            digest = repack(folder, f"9.0.{number}")
            publish_faulty(self.system, folder, digest, fault)
            self.decide(f"{digest}/promote")

            def said(words: str = words) -> str | None:
                status = self.requests.ask("GET", "/api/status") or {"services": {}}
                detail = str(status["services"].get(MODEL_SERVER, {}).get("detail"))
                return detail if words in detail else None

            refused[fault] = self.wait(said, f"{words!r}")
            assert self.serving() == before
            self.decide("rollback")
            self.wait(self.system.all_ready, "no fault any more")
        self.report["refused bundles"] = refused


def run_loop(loop: Loop, place: Path, *, archive: int, answers: int) -> None:
    """The whole loop; what it found is in `loop.report`."""
    report, old = loop.report, PACKAGED_BUNDLE_DIGEST
    with loop.step("archive"):
        loop.wait(
            lambda: (loop.requests.ask("GET", "/api/status") or {}).get("analyzed", 0) >= archive,
            f"{archive} images",
            timeout_s=3 * WAIT_TIMEOUT_S,
        )
    with loop.step("answers"):
        loop.answer(answers)
    with loop.step("retraining"):
        run = loop.retrain()
    new = run["challenger"]
    report["run"] = {
        name: run[name] for name in ("attempts", "cpu_s", "champion", "challenger", "answers", "before", "after")
    }
    report["labels"] = {name: run["data"][name] for name in ("labels", "held_out", "origins")}
    report["gates"] = [
        f"{'passed' if gate['passed'] else 'FAILED'} {gate['name']}: {gate['detail']}" for gate in run["gates"]["gates"]
    ]
    assert run["champion"] == old
    assert run["gates"]["passed"], report["gates"]
    with loop.step("shadow"):
        loop.shadow(new)
    with loop.step("promotion and swap"):
        loop.swap(f"{new}/promote", new, "promotion")
    report["stamped after the swap"] = dict(loop.stamps_of(set(loop.stream.sent)))
    with loop.step("second pass"):
        loop.second_pass(new, "second pass")
    with loop.step("rollback and swap"):
        loop.swap("rollback", old, "rollback")
    with loop.step("second pass back"):
        loop.second_pass(old, "second pass back")
    with loop.step("a worse challenger"):
        worse = loop.retrain(worsen=True)
        report["worse challenger"] = [gate["name"] for gate in worse["gates"]["gates"] if not gate["passed"]]
        assert not worse["gates"]["passed"]
        found = loop.requests.ask("GET", f"/api/models/{worse['challenger']}") or {}
        assert found.get("state") == "refused", found
        answer = loop.requests.http.post(
            f"/api/models/{worse['challenger']}/promote", json={"why": "it must be refused"}
        )
        assert answer.status_code == 409, answer.text
    with loop.step("faulty bundles"):
        loop.refuse(place)


def main() -> int:
    """Run the loop, print its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", action="store_true", help="kill -9 at every step")
    parser.add_argument("--archive", type=int, default=900, help="images before the first answer")
    parser.add_argument("--answers", type=int, default=150)
    parser.add_argument("--rate", type=float, default=3.0, help="images a second that stream in all the time")
    parser.add_argument("--views", type=int, default=1000, help="pictures that the run trains on")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--shadow", type=int, default=150, help="images that are compared in shadow")
    parser.add_argument("--lift", action="store_true", help="let the run not wait for what else the machine does")
    arguments = parser.parse_args()
    settings = {
        "false_alarms_per_1000": str(BUDGET),
        "shadow_images": str(arguments.shadow),
        "retrain_after_labels": "0",
    }
    galaxies = galaxy_files()
    with tempfile.TemporaryDirectory(prefix="astrolens-loop-") as name:
        place = Path(name)
        with running(place / "home", **settings) as system, contextlib.ExitStack() as stack:
            requests = Requests(system.url)
            stream = Stream(requests, galaxies)
            info = {name: own["info"] for name, own in system.status()["services"].items()}
            cutouts = [path.read_bytes() for path in galaxies[:4]] or [
                simulate(15, index, oddity_rate=0.0).jpeg for index in range(4)
            ]
            loop = Loop(
                system=system,
                requests=requests,
                stream=stream,
                rpc=RpcLoad(info[MODEL_SERVER]["address"], cutouts),
                log=AnalysisLog(info["notifier"]["broker"]),
                kills=Kills(system, wanted=arguments.kills),
                options={"views": arguments.views, "epochs": arguments.epochs, "simulated": 100, "replay": 2000},
                lift=arguments.lift,
            )
            waits = 0
            while len(stream.sent) < arguments.archive:  # the first night, as fast as the pipeline takes it
                stream.send()
                if requests.told_to_wait > waits:
                    waits = requests.told_to_wait
                    sleep(1.0)
            workers = [
                stack.enter_context(Worker(stream.send, every_s=stream.a_request / arguments.rate)),
                stack.enter_context(Worker(Reader(requests).ask, every_s=0.5)),
                stack.enter_context(Worker(loop.rpc.ask, every_s=0.5)),
            ]
            try:
                run_loop(loop, place, archive=arguments.archive, answers=arguments.answers)
                stack.close()
                wrong = conclude(loop)
            except BaseException:
                print(json.dumps({**loop.report, "steps_s": loop.steps_s}, indent=2), flush=True)
                print("failed requests:", requests.failures[:10], flush=True)
                raise
            finally:
                loop.log.close()
            wrong += [f"a client ended: {worker.error!r}" for worker in workers if worker.error is not None]
            print(json.dumps({**loop.report, "wrong": wrong}, indent=2))
            return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
