"""What counts as an answer of a service."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from astrolens.local import liveness


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """A port whose listener answers these bytes to one request; None: it accepts and is silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                if answer is not None:
                    connection.sendall(answer)
                else:
                    connection.recv(4096)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@pytest.mark.parametrize(
    ("answer", "alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        (b"nonsense", False),
        (b"", False),
        (None, False),
    ],
)
def test_only_an_answer_shows_life(answer: bytes | None, alive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "PROBE_TIMEOUT_S", 0.2 if answer is None else 10.0)
    with answering(answer) as port:
        assert liveness.probe("127.0.0.1", port) is alive


def test_a_closed_port_shows_no_life() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not liveness.probe("127.0.0.1", port)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as port:
        assert liveness.probe("127.0.0.1", port)
