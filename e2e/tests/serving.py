"""Pods that serve their own name over HTTP, Services in front of them, and what a Pod sees of both."""

import contextlib
import shlex
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from e2e.lab.netns import POD_GATEWAY
from e2e.tests.builders import make_container, make_pod
from e2e.tests.kube import Kube, KubeObject

PORT = 8080
OTHER_PORT = 8081
_SERVE = f"httpd -p {OTHER_PORT} -h /www && exec httpd -f -p {PORT} -h /www"


def make_server(name: str, node: str, *, app: str = "web", failures: int = 60, **spec: Any) -> KubeObject:
    """A Pod that serves its name at both ports, the first called `web`; Ready when it does, and until so many probes in
    a row have failed.
    """
    container = make_container(
        script=f"mkdir -p /www && echo $NAME > /www/index.html && {_SERVE}",
        env=[{"name": "NAME", "value": name}],
        ports=[{"name": "web", "containerPort": PORT}],
        readinessProbe={
            "httpGet": {"path": "/", "port": PORT},
            "periodSeconds": 1,
            "timeoutSeconds": 2,
            "failureThreshold": failures,
        },
    )
    pod = make_pod(name, node, container, **spec)
    pod["metadata"]["labels"] = {"app": app}
    return pod


def make_service(name: str, *, app: str | None = "web", target: int = PORT, **spec: Any) -> KubeObject:
    """A Service at port 80; without an app its endpoints are written by hand."""
    selector = {"selector": {"app": app}} if app else {}
    ports = [{"port": 80, "targetPort": target}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {**selector, "ports": ports, **spec},
    }


def make_endpoints(service: str, addresses: Iterable[str], port: int = PORT) -> KubeObject:
    """All endpoints of a Service that has no selector."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{service}-by-hand", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"port": port}],
    }


@dataclass(frozen=True, slots=True)
class Seat:
    """A container that looks at the network; its busybox resolves names through /etc/resolv.conf as programs do."""

    kube: Kube
    pod: str

    def run(self, script: str, *, check: bool = True) -> str:
        """What a script printed in there."""
        return self.kube.text("exec", self.pod, "--", "sh", "-c", script, check=check)

    def fetch(self, host: str, *, port: int = 80) -> str:
        """What HTTP gives there, once."""
        return self.run(f"timeout 10 wget -qO- http://{host}:{port}/").strip()

    def until_served(self, host: str, *, by: str = "", port: int = 80, seconds: int = 30) -> str:
        """The same, tried again until something answers (with these words): a Pod has nothing to wait on for that."""
        tries = f"timeout 2 wget -qO- http://{host}:{port}/ 2>/dev/null | grep {shlex.quote(by or '.')} && exit 0"
        return self.run(f"end=$(($(date +%s) + {seconds})); while [ $(date +%s) -lt $end ]; do {tries}; "
                        f"usleep 100000; done; echo nothing served {host}; exit 1").strip()  # fmt: skip

    def addresses(self, name: str, server: str = "") -> set[str]:
        """The IPv4 addresses that DNS has for a name; empty: none."""
        told = self.run(f"nslookup -type=a {name} {server}", check=False)
        _, _, answer = told.partition("\n\n")  # before it is which server was asked
        lines = [line.split() for line in answer.splitlines() if line.startswith("Address")]
        return {words[-1] for words in lines}


@dataclass(slots=True)
class Ordinary:
    """A server that is no Pod: on the gateway's address of the Pods' network."""

    port: int
    clients: list[str] = field(default_factory=list)
    """The addresses that its requests came from."""


@contextlib.contextmanager
def ordinary_server(says: str) -> Iterator[Ordinary]:
    """Serves until the block ends. Call it in the laboratory's network namespace."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ordinary.clients.append(self.client_address[0])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(says.encode() + b"\n")

        def log_message(self, *_: object) -> None:
            """pytest shows what is printed: nothing."""

    with ThreadingHTTPServer((POD_GATEWAY, 0), Handler) as server:
        ordinary = Ordinary(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield ordinary
        finally:
            server.shutdown()
            thread.join()
