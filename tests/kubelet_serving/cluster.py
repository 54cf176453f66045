"""An API server of Services, EndpointSlices, one Node and a signer, as far as serving the kubelet API is concerned."""

import asyncio
import base64
import copy
import datetime
from collections.abc import AsyncIterator
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import Encoding

from provider import errors

REQUESTS = "certificatesigningrequests"


class FakeCluster:
    """`kube.client.KubeClient`. Addresses are given out in order; `taken` are somebody else's."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.objects: dict[tuple[str, str], dict] = {}  # by plural and name
        self.taken: set[str] = set()
        self.node: dict | None = None
        self.signs = asyncio.Event()
        self.signs.set()
        self.fenced = asyncio.Event()  # the Lease is lost
        self.written: list[str] = []
        self._changed = asyncio.Event()
        self._version = 0
        self._addresses = iter(f"10.96.0.{number}" for number in range(7, 100))
        self._watchers: dict[str, list[asyncio.Queue[dict]]] = {}

    def service(self) -> dict:
        return self.objects["services", "vch-a"]

    def endpoint(self) -> tuple[str, int]:
        found = self.objects["endpointslices", "vch-a"]
        return found["endpoints"][0]["addresses"][0], found["ports"][0]["port"]

    def change(self, plural: str, name: str, thing: dict | None) -> None:
        """Somebody else writes or deletes."""
        before = self.objects.pop((plural, name), None)
        self._version += 1
        event = {"type": "DELETED", "object": before}
        if thing is not None:
            stored = copy.deepcopy(thing)
            stored["metadata"]["resourceVersion"] = str(self._version)
            self.objects[plural, name] = stored
            event = {"type": "MODIFIED", "object": stored}
        self._changed.set()
        for watcher in self._watchers.get(plural, ()):
            watcher.put_nowait(event)

    async def until_there(self, plural: str, name: str) -> None:
        async with asyncio.timeout(10):
            while (plural, name) not in self.objects:
                self._changed.clear()
                await self._changed.wait()

    async def request(
        self, method: str, url_path: str, *, body: Any = None, query: Any = None, headers: Any = None, **_: Any
    ) -> dict:
        await asyncio.sleep(0)
        if method != "GET":
            if self.fenced.is_set():
                raise errors.LeaseLost("another replica's")
            self.written.append(f"{method} {url_path}")
        segments = url_path.strip("/").split("/")
        if REQUESTS in segments:
            return await self._certificates(method, segments, body)
        if segments[-2] == "nodes":
            return self._found(self.node)
        if method == "PATCH":
            return self._applied(segments[-2], segments[-1], body)
        if segments[-1] in ("services", "endpointslices"):
            items = [thing for (plural, _), thing in self.objects.items() if plural == segments[-1]]
            return {"items": copy.deepcopy(items), "metadata": {"resourceVersion": str(self._version)}}
        return self._found(self.objects.get((segments[-2], segments[-1])))

    async def stream(self, url_path: str, **_: Any) -> AsyncIterator[dict]:
        plural = url_path.rpartition("/")[2]
        if plural == REQUESTS:
            await self.signs.wait()
            yield {"type": "MODIFIED", "object": self._signed()}
            return
        queue: asyncio.Queue[dict] = asyncio.Queue()
        self._watchers.setdefault(plural, []).append(queue)
        while True:
            yield await queue.get()

    def _found(self, thing: dict | None) -> dict:
        if thing is None:
            raise errors.KubeNotFound("no such object", code=404)
        return copy.deepcopy(thing)

    def _applied(self, plural: str, name: str, body: dict) -> dict:
        stored = copy.deepcopy(self.objects.get((plural, name)))
        made = copy.deepcopy(body)
        if plural == "services":
            self._give_address(made["spec"], (stored or {}).get("spec") or {})
        if stored is not None:
            made["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
        if made != stored:
            self.change(plural, name, made)
        return copy.deepcopy(self.objects[plural, name])

    def _give_address(self, spec: dict, stored: dict) -> None:
        wanted = spec.get("clusterIP") or stored.get("clusterIP") or next(self._addresses)
        if wanted in self.taken or wanted != stored.get("clusterIP", wanted):
            raise errors.KubeError(f"{wanted}: provided IP is already allocated", code=422)
        spec["clusterIP"] = wanted

    async def _certificates(self, method: str, segments: list[str], body: Any) -> dict:
        if method == "POST":
            user = {"username": "system:node:a"}
            self.change(REQUESTS, "csr-1", {"metadata": {"name": "csr-1"}, "spec": {**body["spec"], **user}})
        elif method == "PUT":
            self.change(REQUESTS, "csr-1", body)
        return copy.deepcopy(self.objects[REQUESTS, "csr-1"])

    def _signed(self) -> dict:
        found = copy.deepcopy(self.objects[REQUESTS, "csr-1"])
        request = x509.load_pem_x509_csr(base64.b64decode(found["spec"]["request"]))
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ca = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        key: Any = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), password=None)
        now = datetime.datetime.now(datetime.UTC)
        signed = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(ca.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(names, critical=False)
            .sign(key, hashes.SHA256())
        )
        found["status"]["certificate"] = base64.b64encode(signed.public_bytes(Encoding.PEM)).decode()
        return found
