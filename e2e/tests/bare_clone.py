"""Clones that the tests make themselves, with govc and no operator: to time a clone, and to see that clones differ.

The test plays the provider: it says who the clone is, holds the client certificate that the agent's port demands, and
asks the guest's kubelet through it. No Pod is fed. The addresses lie outside the virtual nodes' ranges.
"""

import base64
import hashlib
import http.client
import itertools
import json
import os
import secrets
import ssl
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trustme

from e2e.lab.simulator import FOLDER
from e2e.tests.kube import NeverHappened
from e2e.tests.running_lab import RunningLab

PORT = 10350
_ASK_EVERY = 0.02
T = TypeVar("T")
_addresses = itertools.cycle(range(206, 251))


class Provider:
    """A client CA, and a client certificate by it."""

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.ca_pem = self._authority.cert_pem.bytes().decode()
        self._certificate = self._authority.issue_cert(common_name="test-provider")

    def tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # the agent's certificate is its own; who it is, is told by its fingerprint
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["http/1.1"])
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder) / "client.pem"
            pem.write_bytes(self._certificate.private_key_and_cert_chain_pem.bytes())
            context.load_cert_chain(pem)
        return context


@dataclass(slots=True)
class BareClone:
    """One clone of a parent, and when it got how far (seconds after the clone was asked for)."""

    lab: RunningLab
    provider: Provider
    name: str
    address: str
    asked: float
    times: dict[str, float] = field(default_factory=dict)

    def fingerprint(self, *, timeout: float = 120) -> str:
        """SHA-256 of the agent's certificate, as soon as the agent answers."""
        certificate = self._until(self._certificate, timeout)
        assert certificate is not None
        self.times.setdefault("agent", time.monotonic() - self.asked)
        return hashlib.sha256(certificate).hexdigest()

    def kubelet_healthy(self, *, timeout: float = 120) -> None:
        """Returns when the guest's kubelet says that it is."""
        self._until(self._healthz, timeout)
        self.times.setdefault("kubelet", time.monotonic() - self.asked)

    def destroy(self) -> None:
        self.lab.govc("vm.destroy", self.name)

    def _until(self, ask: Callable[[], T], timeout: float) -> T:
        """Asked again until it answers: there is nothing to be notified by before the guest has a network."""
        deadline = time.monotonic() + timeout
        why = "no answer"
        while time.monotonic() < deadline:
            try:
                if answer := ask():
                    return answer
            except (OSError, http.client.HTTPException) as error:
                why = str(error)
            time.sleep(_ASK_EVERY)
        raise NeverHappened(f"{self.name} at {self.address}: nothing within {timeout} s ({why})")

    def _connection(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self.address, PORT, timeout=10, context=self.provider.tls())

    def _certificate(self) -> bytes | None:
        connection = self._connection()
        try:
            connection.connect()
            assert isinstance(connection.sock, ssl.SSLSocket)
            return connection.sock.getpeercert(binary_form=True)
        finally:
            connection.close()

    def _healthz(self) -> bool:
        connection = self._connection()
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        finally:
            connection.close()


def make(lab: RunningLab, provider: Provider, guest: str, name: str) -> BareClone:
    """Clones the parent of that kind of guest, and tells the clone who it is."""
    number = next(_addresses)
    address = f"10.77.0.{number}"
    identity = {
        "cloneId": secrets.token_hex(16),
        "pod": {"namespace": "none", "name": name, "uid": str(uuid.uuid4())},
        "node": lab.node(guest),
        "hostname": name,
        "address": f"{address}/24",
        "gateway": "10.77.0.1",
        "nameservers": [],
        "podNetwork": {
            "addresses": [f"10.78.0.{number}/24"],
            "gateways": ["10.78.0.1"],
            "isolation": "Pod",
            "denied": ["10.77.0.0/24"],
        },
        "time": time.time(),
        "seed": base64.b64encode(os.urandom(64)).decode(),
        "clientCA": provider.ca_pem,
    }
    asked = time.monotonic()
    lab.govc(
        *("vm.instantclone", "-vm", lab.parent(guest)),
        *("-folder", FOLDER, "-e", "vch.parent=", "-e", "guestinfo.vch.parent=", "-e", "guestinfo.vch.report="),
        *("-e", f"guestinfo.vch.identity={json.dumps(identity)}", name),
    )
    lab.govc("device.connect", "-vm", name, "ethernet-0", "ethernet-1")
    clone = BareClone(lab, provider, name, address, asked)
    clone.times["cloned"] = time.monotonic() - asked
    return clone
