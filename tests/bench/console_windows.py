"""What a window on the console costs: server time and bytes of each page, memory of a window, memory after many visits.

`python -m tests.bench.console_windows [--images 3000] [--windows 40] [--visits 500]`: the real console over a made-up
archive in a process of its own, windows that are NiceGUI's own socket protocol without a browser.
"""

import argparse
import ast
import asyncio
import html
import re
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import socketio

from tests.browser.conftest import serve

_CLIENT = re.compile(r"query: (\{.*?\}),\n")
SETTLED_S = 15.0
"""Windows that are closed are forgotten after `RECONNECT_S`."""


async def open_window(url: str, client: httpx.AsyncClient, path: str) -> socketio.AsyncClient:
    """Load a page and connect its socket, as a browser does."""
    found = _CLIENT.search((await client.get(path)).text)
    assert found is not None
    query = ast.literal_eval(html.unescape(found[1])) | {"document_id": "bench", "tab_id": str(time.monotonic_ns())}
    window = socketio.AsyncClient(reconnection=False)
    given = "&".join(
        f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in query.items()
    )
    await window.connect(f"{url}?{given}", socketio_path="/_nicegui_ws/socket.io", transports=["websocket"])
    return window


async def measure(url: str, process: psutil.Process, *, windows: int, visits: int) -> None:
    """Print the figures."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        images = (await client.get("/api/images?sort=strangeness&limit=2")).json()["items"]
        ids = [each["image_id"] for each in images]
        paths = ("/", "/gallery", "/triage", f"/image/{ids[0]}", f"/compare?ids={','.join(ids)}", "/model", "/system")
        print("page, median ms of 15, processor ms, document bytes")
        for path in paths:
            await client.get(path)
            times, begin = [], process.cpu_times()
            for _ in range(15):
                at = time.perf_counter()
                answer = await client.get(path)
                times.append(1000 * (time.perf_counter() - at))
            end = process.cpu_times()
            cpu_ms = 1000 * (end.user + end.system - begin.user - begin.system) / 15
            print(f"  {path.split('?')[0][:24]:24} {sorted(times)[7]:7.1f} {cpu_ms:7.1f} {len(answer.content):9,}")
        await asyncio.sleep(75)  # windows that never connected are forgotten after a minute
        for path in ("/system", "/gallery", "/model"):
            before = process.memory_info().rss
            opened = [await open_window(url, client, path) for _ in range(windows)]
            await asyncio.sleep(3)
            cost = (process.memory_info().rss - before) / windows / 2**20
            print(f"memory of a window on {path}: {cost:.2f} MiB ({windows} windows)")
            for window in opened:
                await window.disconnect()
            await asyncio.sleep(SETTLED_S)
        print("visits, RSS in MiB")
        for visit in range(visits):
            if visit % (visits // 5) == 0:
                await asyncio.sleep(SETTLED_S)
                print(f"  {visit:5} {process.memory_info().rss / 2**20:7.1f}")
            window = await open_window(url, client, paths[visit % len(paths)])
            await window.disconnect()
        await asyncio.sleep(SETTLED_S)
        print(f"  {visits:5} {process.memory_info().rss / 2**20:7.1f}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--visits", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, serve(Path(home), given.images) as console:
        port = int(console.url.rsplit(":", 1)[1])
        process = next(each for each in psutil.Process().children(recursive=True) if str(port) in each.cmdline())
        asyncio.run(measure(console.url, process, windows=given.windows, visits=given.visits))


if __name__ == "__main__":
    main()
