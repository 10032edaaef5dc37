"""Several model servers behind one name: each gets its share, and one that dies takes no image with it."""

import asyncio
import contextlib
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from astrolens.contracts.records import Reason
from astrolens.inference import rpc_server
from astrolens.inference.engine import Item, ItemError, ItemErrorCode, Outcome
from astrolens.inference.model_service import ModelDescription, ModelIdentity
from astrolens.inference.rpc_server import RpcServer
from astrolens.inference.similarity.index import UnknownImage
from astrolens.platform.errors import ModelUnavailable
from astrolens.platform.retry import RetryPolicy
from astrolens.rpc.model_client import CutoutRequest, ModelClient, UnknownToModel

IMAGE = "0" * 32
HASTY = RetryPolicy(initial_wait_s=0.02, max_wait_s=0.1, timeout_s=3.0)


class NamedModel:
    """Tells in every answer who gave it."""

    def __init__(self, name: str) -> None:
        self._name = name
        identity = ModelIdentity(name, "1", name, "p", "c", "CPU")
        self.description = ModelDescription(identity, ("spiral",), 8, ("msp",), 0.01, (), {}, "{}", "")
        self.index: list[str] = []
        self.served: tuple[object, ...] = ()

    async def analyze(self, items: Sequence[Item]) -> list[Outcome]:
        await asyncio.sleep(0.005)
        return [ItemError(ItemErrorCode.INVALID, self._name) for _ in items]

    async def like_image(self, image_id: str, k: int) -> list[tuple[str, float]]:
        if image_id != IMAGE:
            raise UnknownImage(image_id)
        return [("1" * 32, 0.9)][:k]


_running: list[RpcServer] = []


@pytest.fixture(autouse=True)
async def _ended() -> AsyncIterator[None]:
    # Whatever a test does: a server that outlives its loop would hold the process.
    yield
    while _running:
        await _running.pop().close(1.0)


async def serve(name: str, address: str = "127.0.0.1:0", *, loaded: bool = True) -> RpcServer:
    server = RpcServer(address)
    await server.start()
    _running.append(server)
    if loaded:
        await load(server, name)
    return server


async def load(server: RpcServer, name: str) -> None:
    model: Any = NamedModel(name)
    await server.serve(model)


@contextlib.asynccontextmanager
async def client(target: str, retry_policy: RetryPolicy = HASTY) -> AsyncIterator[ModelClient]:
    model = ModelClient(target, stopping=asyncio.Event(), retry_policy=retry_policy)
    try:
        yield model
    finally:
        await model.close()


async def ask(model: ModelClient) -> str:
    """Who answers one call."""
    (answer,) = await model.analyze([CutoutRequest(IMAGE, "sdss", b"")])
    assert isinstance(answer, Reason)
    return answer.detail


async def shares(model: ModelClient, calls: int = 20, answers: Counter[str] | None = None) -> Counter[str]:
    """Who answers these calls; counted into `answers` while they come."""
    counted = Counter() if answers is None else answers
    for _ in range(calls):
        counted[await ask(model)] += 1
    return counted


async def eventually(model: ModelClient, names: set[str], *, within_s: float = 60.0) -> Counter[str]:
    """The shares once exactly these servers have one."""
    deadline = time.monotonic() + within_s
    while True:
        found = await shares(model)
        if set(found) == names:
            return found
        assert time.monotonic() < deadline, f"{found}, not {names}"


@pytest.fixture
async def pair() -> tuple[RpcServer, RpcServer, str]:
    """Two servers and the target that names both."""
    first, second = await serve("first"), await serve("second")
    return first, second, f"ipv4:127.0.0.1:{first.port},127.0.0.1:{second.port}"


async def test_each_gets_its_share(pair: tuple[RpcServer, RpcServer, str]) -> None:
    async with client(pair[2]) as model:
        await eventually(model, {"first", "second"})
        assert min((await shares(model)).values()) >= 8


async def test_descriptions_and_similar_images_are_shared_too(pair: tuple[RpcServer, RpcServer, str]) -> None:
    async with client(pair[2]) as model:
        await eventually(model, {"first", "second"})
        described = Counter([(await model.describe()).summary["name"] for _ in range(20)])
        similar = Counter([(await model.similar(IMAGE, 3))[0] for _ in range(20)])
        assert set(described) == set(similar) == {"first", "second"}
        assert min((*described.values(), *similar.values())) >= 8
        with pytest.raises(UnknownToModel):
            await model.similar("2" * 32, 3)


async def test_one_that_loads_or_ends_gets_nothing() -> None:
    ready, loading = await serve("ready"), await serve("loading", loaded=False)
    nobody = RetryPolicy(initial_wait_s=0.01, max_wait_s=0.01, timeout_s=0.01)
    async with client(f"ipv4:127.0.0.1:{ready.port},127.0.0.1:{loading.port}", nobody) as model:
        assert set(await shares(model)) == {"ready"}  # with hardly a retry: it was never asked
        await load(loading, "loading")
        await eventually(model, {"ready", "loading"})
        async with asyncio.timeout(60):
            await ready.close(600.0)  # whoever watches its health does not hold it
        assert set(await shares(model)) == {"loading"}
        await loading.close(1.0)
        with pytest.raises(ModelUnavailable):
            await ask(model)


async def test_servers_without_a_model_are_one_sentence() -> None:
    loading = await serve("loading", loaded=False)
    async with client(f"127.0.0.1:{loading.port}", RetryPolicy(timeout_s=0.3)) as model:
        with pytest.raises(ModelUnavailable, match="has a model loaded yet"):
            await ask(model)
        for query in (model.ping(), model.describe(), model.similar(IMAGE, 1)):
            with pytest.raises(ModelUnavailable, match="has a model loaded yet"):
                await query


async def test_one_that_is_killed_loses_nothing_and_is_found_again() -> None:
    survivor = await serve("survivor")
    victim, port = started("victim")
    async with client(f"ipv4:127.0.0.1:{survivor.port},127.0.0.1:{port}") as model:
        await eventually(model, {"survivor", "victim"})
        answers: Counter[str] = Counter()
        workers = [asyncio.create_task(shares(model, 100, answers)) for _ in range(4)]
        while not answers["victim"]:
            await asyncio.sleep(0.001)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        await asyncio.gather(*workers)
        assert answers.total() == 400  # every call was answered, none was given up
        assert answers["victim"] > 0
        assert set(await shares(model)) == {"survivor"}
        again, _ = started("again", port)
        await eventually(model, {"survivor", "again"})
        again.kill()
        again.wait()


async def test_a_server_that_is_new_behind_the_name_gets_its_share_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    # A second instead of a minute; everything else as it is.
    hurried = {**dict(rpc_server._OPTIONS), "grpc.max_connection_age_ms": 1000}
    monkeypatch.setattr(rpc_server, "_OPTIONS", tuple(hurried.items()))
    async with names() as dns:
        first = await serve("first")
        dns.addresses = ["127.0.0.1"]
        nobody = RetryPolicy(initial_wait_s=0.01, max_wait_s=0.01, timeout_s=0.01)
        async with client(f"dns://127.0.0.1:{dns.port}/model-server.test:{first.port}", nobody) as model:
            assert set(await shares(model)) == {"first"}
            await serve("second", f"127.0.0.2:{first.port}")
            dns.addresses = ["127.0.0.1", "127.0.0.2"]
            await eventually(model, {"first", "second"}, within_s=30.0)
            dns.addresses = ["127.0.0.2"]
            await first.close(1.0)
            assert set(await shares(model)) == {"second"}


class Names(asyncio.DatagramProtocol):
    """A name server: any name leads to `addresses`."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.port = 0
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: Any) -> None:
        end = data.index(b"\0", 12) + 5
        kind = struct.unpack(">H", data[end - 4 : end - 2])[0]
        found = self.addresses if kind == 1 else []
        answers = b"".join(struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(one) for one in found)
        self._transport.sendto(
            data[:2] + struct.pack(">HHHHH", 0x8580, 1, len(found), 0, 0) + data[12:end] + answers, addr
        )


@contextlib.asynccontextmanager
async def names() -> AsyncIterator[Names]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(Names, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()


def started(name: str, port: int = 0) -> tuple["subprocess.Popen[str]", int]:
    """A server in a process of its own, and its port."""
    process = subprocess.Popen([sys.executable, __file__, name, str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        return process, int(process.stdout.readline())


async def _main(name: str, port: str) -> None:
    server = await serve(name, f"127.0.0.1:{port}")
    print(server.port, flush=True)
    await asyncio.sleep(300)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
