"""The same port on both sides of a namespace (needs root, as the laboratory does)."""

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.lab import netns, ports, process

CHECKOUT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(name="namespace")
def _namespace() -> Iterator[str]:
    name = f"vcht-{os.getpid()}"
    netns.create(name, ["10.77.0.2"])
    yield name
    netns.delete(name)


@pytest.mark.parametrize("direction", ["--into", "--from"])
def test_bytes_and_ends_of_streams_pass_both_ways(namespace: str, tmp_path: Path, direction: str) -> None:
    (port,) = ports.free(1)
    listens_inside = direction == "--into"

    def listen() -> socket.socket:
        return socket.create_server(("127.0.0.1", port))

    # The ports are the same on both sides, so who listens where decides the direction.
    server = netns.inside(namespace, listen) if listens_inside else listen()
    ready = tmp_path / "ready"
    argv = [sys.executable, "-m", "e2e.lab.forward", direction, namespace, "--ready", str(ready), str(port)]
    forwarder = process.start("forward", argv, log=tmp_path / "log", namespace=None, env={"PYTHONPATH": str(CHECKOUT)})
    try:
        process.wait_ready(forwarder, ready.exists, timeout=20)
        threading.Thread(target=_shout_back, args=(server,), daemon=True).start()

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", port), timeout=10)

        client = connect() if listens_inside else netns.inside(namespace, connect)
        with contextlib.closing(client):
            client.sendall(b"hello" * 100_000)
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer == b"HELLO" * 100_000
    finally:
        process.stop(forwarder)
        server.close()


def test_nothing_leads_out_of_a_namespace(namespace: str) -> None:
    def attempt() -> None:
        socket.create_connection(("192.0.2.1", 80), timeout=5)

    with pytest.raises(OSError, match="unreachable"):
        netns.inside(namespace, attempt)


def test_a_thread_comes_back_from_a_namespace(namespace: str) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    with netns.entered(namespace):
        assert os.readlink("/proc/thread-self/ns/net") != before
    assert os.readlink("/proc/thread-self/ns/net") == before


def _shout_back(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        said = b"".join(iter(lambda: connection.recv(65536), b""))
        connection.sendall(said.upper())
