"""What happens to a system while its model changes: pictures stream in, clients ask, a person answers."""

import json
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self

import grpc
import httpx
import numpy as np
from astrolens.contracts.ids import content_digest, image_id
from astrolens.contracts.records import Answer
from astrolens.contracts.topics import IMAGES_ANALYZED
from astrolens.rpc.v1 import inference_pb2 as pb
from astrolens.rpc.v1.inference_pb2_grpc import InferenceStub
from astrolens.science.cutouts import decode_cutout, encode_jpeg, make_cutout
from astrolens.science.oddities import KINDS_BY_NAME, draw_oddity
from astrolens.science.simulation import simulate
from confluent_kafka import Consumer

from tests.e2e.conftest import FEED_SURVEY

ODD_EVERY: Final = 16
"""One picture of so many has an oddity drawn on it."""
_ARTEFACTS: Final = frozenset({"artefact", "bright-star"})
READS: Final = (
    "/api/status",
    "/api/images?limit=20",
    "/api/images?limit=20&sort=strangeness",
    "/api/candidates?limit=20",
    "/api/models",
    "/api/training/runs",
    "/api/alerts?limit=20",
)


@dataclass(frozen=True)
class Picture:
    """A picture, and what a person who knows it would answer."""

    name: str
    data: bytes
    truth: Answer

    @property
    def image_id(self) -> str:
        """Its id in the archive."""
        return image_id(content_digest(self.data))


def picture(index: int, galaxies: list[Path]) -> Picture:
    """The n-th picture: a real galaxy where they are, a simulated one elsewhere, with a drawn oddity on some."""
    data = _galaxy(index, galaxies) if galaxies else simulate(15, index, oddity_rate=0.0).jpeg
    if index % ODD_EVERY:
        return Picture(f"galaxy-{index:05}.jpg", data, Answer.ORDINARY)
    rng = np.random.default_rng([15, index])
    drawn = draw_oddity(decode_cutout(make_cutout(data).jpeg), rng, strength=1.0)
    truth = Answer.ARTEFACT if KINDS_BY_NAME[drawn.kind].group in _ARTEFACTS else Answer.INTERESTING
    return Picture(f"{drawn.kind}-{index:05}.jpg", encode_jpeg(drawn.picture), truth)


def _galaxy(index: int, galaxies: list[Path]) -> bytes:
    """The n-th galaxy; beyond the last one all of them come again, turned by a right angle each time."""
    turns, place = divmod(index, len(galaxies))
    data = galaxies[place].read_bytes()
    return encode_jpeg(np.rot90(decode_cutout(make_cutout(data).jpeg), turns).copy()) if turns else data


class Requests:
    """A REST client that counts every request and tries none again."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=60)
        self.made: Counter[str] = Counter()
        self.failures: list[str] = []
        self.told_to_wait = 0
        """Answers that nothing was taken in because the pipeline is full: no failure, the pictures come again."""
        self._lock = threading.Lock()

    def ask(self, method: str, path: str, **arguments: Any) -> Any:
        """The JSON of an answer; None where the request failed, which is noted."""
        kind = f"{method} {path.partition('?')[0]}"
        fault = None
        try:
            answer = self.http.request(method, path, **arguments)
            if answer.is_success:
                return answer.json()
            if answer.status_code == 429 and "retry-after" in answer.headers:
                self.told_to_wait += 1
                return None
            fault = f"{kind}: {answer.status_code} {answer.text[:200]}"
        except httpx.HTTPError as error:
            fault = f"{kind}: {type(error).__name__} {error}"
        finally:
            with self._lock:
                self.made[kind] += 1
                if fault:
                    self.failures.append(fault)
        return None


class Worker:
    """Does one thing again and again in a thread, at a steady rate, until it is left."""

    def __init__(self, turn: Callable[[], None], *, every_s: float) -> None:
        self._turn = turn
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)

    def _run(self) -> None:
        due = monotonic()
        try:
            while not self._stop.is_set():
                self._turn()
                due = max(due + self._every_s, monotonic())
                self._stop.wait(due - monotonic())
        except BaseException as error:  # noqa: BLE001 - told by whoever looks at the worker
            self.error = error


@dataclass
class Stream:
    """Sends pictures, a few a request, and remembers them."""

    requests: Requests
    galaxies: list[Path]
    a_request: int = 4
    sent: dict[str, Picture] = field(default_factory=dict)
    next_index: int = 0

    def send(self) -> None:
        """One request with the next pictures."""
        last = self.next_index + self.a_request
        pictures = [picture(index, self.galaxies) for index in range(self.next_index, last)]
        answer = self.requests.ask(
            "POST",
            "/api/images",
            files=[("file", (each.name, each.data, "image/jpeg")) for each in pictures],
            data={"batch": "the-loop", "survey": FEED_SURVEY},
        )
        if answer is not None:
            self.next_index = last
            self.sent.update({each.image_id: each for each in pictures})


@dataclass
class Reader:
    """Asks for lists and numbers by turns, as open pages and scripts do."""

    requests: Requests
    turn: int = 0

    def ask(self) -> None:
        """One request."""
        self.requests.ask("GET", READS[self.turn % len(READS)])
        self.turn += 1


@dataclass
class RpcLoad:
    """Asks the model server by gRPC and tries nothing again."""

    address: str
    cutouts: list[bytes]
    asked: int = 0
    stamps: list[tuple[float, str, str]] = field(default_factory=list)
    """Time, bundle and calibration of each answer."""
    failures: list[tuple[float, float, str]] = field(default_factory=list)
    """When it was asked, when it failed, and how."""

    def __post_init__(self) -> None:
        self._channel = grpc.insecure_channel(
            self.address, options=(("grpc.max_reconnect_backoff_ms", 500), ("grpc.initial_reconnect_backoff_ms", 100))
        )
        self._stub = InferenceStub(self._channel)
        self._request = pb.AnalyzeManyRequest(items=[pb.Item(survey=FEED_SURVEY, cutout=jpeg) for jpeg in self.cutouts])

    def ask(self) -> None:
        """One request."""
        began = monotonic()
        self.asked += 1
        try:
            answer = self._stub.AnalyzeMany(self._request, timeout=60)
        except grpc.RpcError as error:
            self.failures.append((began, monotonic(), str(error.code())))
            return
        now = monotonic()
        self.stamps += [(now, answer.model.digest, each.result.calibration_id) for each in answer.outcomes]

    def failed_outside(self, away: list[tuple[float, float]]) -> list[str]:
        """Failures of requests that were not under way while the server was away."""
        return [
            why
            for began, ended, why in self.failures
            if not any(began <= end and ended >= start for start, end in away)
        ]


@dataclass
class AnalysisLog:
    """Every analysis that was published: bundle and calibration of each, in the order of its image."""

    broker: str
    stamps: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._consumer = Consumer(
            {"bootstrap.servers": self.broker, "group.id": "loop.analyses", "auto.offset.reset": "earliest"}
        )
        self._consumer.subscribe([IMAGES_ANALYZED])

    def read(self) -> None:
        """What came since."""
        for message in self._consumer.consume(500, timeout=0.5):
            if message.error():
                continue
            event = json.loads(message.value())
            if event["event_id"] not in self.seen:
                self.seen.add(event["event_id"])
                self.stamps[event["image_id"]].append((event["model_digest"], event["calibration_id"]))

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()


@dataclass
class Person:
    """Answers what the queue shows first, as the truth says."""

    requests: Requests
    stream: Stream
    given: Counter[str] = field(default_factory=Counter)

    def answer(self, count: int, *, on_answer: Callable[[int], None] = lambda _: None) -> None:
        """Answer so many images, the most useful first; before a ranking is learned, the strangest first.

        Raises:
            AssertionError: The queue is empty.
        """
        done = sum(self.given.values())
        while sum(self.given.values()) < done + count:
            shown = self._queue()
            assert shown, "nothing to answer is shown"
            for card in shown[: done + count - sum(self.given.values())]:
                truth = self.stream.sent[card["image_id"]].truth
                body = {"image_id": card["image_id"], "answer": truth.value}
                if self.requests.ask("POST", "/api/labels", json=body) is not None:
                    self.given[truth.value] += 1
                    on_answer(sum(self.given.values()) - done)

    def _queue(self) -> list[dict[str, Any]]:
        for sort in ("useful", "strangeness"):
            page = self.requests.ask("GET", "/api/images", params={"sort": sort, "limit": 10, "label": "none"})
            shown = [card for card in (page or {}).get("items", ()) if card["image_id"] in self.stream.sent]
            if shown:
                return shown
        return []


def cpu_s(pid: int) -> float:
    """Processor time of a process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
