"""Content libraries, against a small server that speaks as vCenter's REST API does (its reference, vSphere 8).

What is faked: everything; the simulator has no REST API.
"""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from provider.errors import (
    AmbiguousName,
    CertificateMismatch,
    InvalidLogin,
    LibraryItemNotFound,
    NameTaken,
    ProviderError,
    TaskFailed,
)
from provider.parentvm import Placement
from provider.vsphere import content_library
from provider.vsphere.session import Endpoint, Session

PLACEMENT = Placement("datacenter-1", "domain-c1", "resgroup-1", "group-v1", (), datastore="datastore-1")
TOKEN = "session-token"
LIBRARIES = {"lib-1": "images", "lib-2": "twice", "lib-3": "twice"}
ITEMS = {
    "item-1": {"name": "photon", "type": "ovf"},
    "item-2": {"name": "golden", "type": "vm-template"},
    "item-3": {"name": "installer", "type": "iso"},
}


class RestServer:
    """Keeps what it was asked to deploy."""

    def __init__(self, certificate: trustme.LeafCert, ca_pem: str) -> None:
        self.deployed: list[tuple[str, Any]] = []
        self.sessions = 0
        made = {"type": "VirtualMachine", "id": "vm-7"}
        self.answer: tuple[int, Any] = (200, {"succeeded": True, "resource_id": made})
        self.password = "secret"
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                status, answer = fake.respond(self.command, self.path, self.headers, body)
                content = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _do

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.endpoint = Endpoint(f"127.0.0.1:{self.server.server_port}", "user", "secret", ca_pem=ca_pem)

    def respond(self, method: str, path: str, headers: Any, body: Any) -> tuple[int, Any]:
        if (method, path) == ("POST", "/api/session"):
            return self._login(headers)
        if headers.get("vmware-api-session-id") != TOKEN:
            return 401, {"error_type": "UNAUTHENTICATED", "messages": []}
        match method, path.partition("?")[0].split("/")[2:], path.partition("?")[2]:
            case "DELETE", ["session"], _:
                self.sessions -= 1
                return 204, None
            case "POST", ["content", "library"], "action=find":
                return 201, [each for each, name in LIBRARIES.items() if name == body["name"]]
            case "GET", ["content", "library"], _:
                return 200, list(LIBRARIES)
            case "GET", ["content", "library", library], _ if library != "item":
                return 200, {"name": LIBRARIES[library]}
            case "POST", ["content", "library", "item"], "action=find":
                return 201, [each for each, item in ITEMS.items() if item["name"] == body["name"]]
            case "GET", ["content", "library", "item"], _:
                return 200, list(ITEMS)
            case "GET", ["content", "library", "item", item], _:
                return 200, ITEMS[item]
            case "POST", ["vcenter", *rest], "action=deploy":
                self.deployed.append(("/".join(rest), body))
                return self.answer
        return 404, {"error_type": "NOT_FOUND", "messages": [{"default_message": f"no {path}"}]}

    def _login(self, headers: Any) -> tuple[int, Any]:
        if base64.b64decode(headers["Authorization"].split()[1]).decode() != f"user:{self.password}":
            return 401, {"error_type": "UNAUTHENTICATED", "messages": [{"default_message": "wrong password"}]}
        self.sessions += 1
        return 201, TOKEN


@pytest.fixture(name="rest")
def _rest() -> Iterator[RestServer]:
    ca = trustme.CA()
    rest = RestServer(ca.issue_cert("127.0.0.1"), ca.cert_pem.bytes().decode())
    yield rest
    rest.server.shutdown()
    rest.server.server_close()
    assert rest.sessions == 0, "a session was left"


async def deploy(rest: RestServer, item: str = "photon", library: str = "images", **options: Any) -> str:
    session = Session(options.pop("endpoint", rest.endpoint), threads=2, timeout=5.0, **options)
    try:
        return await content_library.deploy(session, PLACEMENT, library, item, "vch-image")
    finally:
        session._threads.shutdown(wait=False)


async def test_an_ovf_template_is_deployed_where_the_vch_is(rest: RestServer) -> None:
    assert await deploy(rest) == "vm-7"
    ((path, body),) = rest.deployed
    assert path == "ovf/library-item/item-1"
    assert body["target"] == {"resource_pool_id": "resgroup-1", "folder_id": "group-v1"}
    assert (body["deployment_spec"]["name"], body["deployment_spec"]["accept_all_EULA"]) == ("vch-image", True)
    assert body["deployment_spec"]["default_datastore_id"] == "datastore-1"


async def test_a_vm_template_is_deployed_off(rest: RestServer) -> None:
    rest.answer = (200, "vm-8")
    assert await deploy(rest, "golden") == "vm-8"
    ((path, body),) = rest.deployed
    assert path == "vm-template/library-items/item-2"
    assert body["placement"] == {"folder": "group-v1", "resource_pool": "resgroup-1"}
    assert body["powered_on"] is False


@pytest.mark.parametrize(
    ("library", "item", "error", "message"),
    [
        ("nothing", "photon", LibraryItemNotFound, "library 'nothing' does not exist; there are: images, twice$"),
        ("twice", "photon", AmbiguousName, "'twice' is there 2 times"),
        ("images", "debian", LibraryItemNotFound, "there are: golden, installer, photon$"),
        ("images", "installer", LibraryItemNotFound, "of the type 'iso'"),
    ],
)
async def test_what_is_not_there_lists_what_is(
    rest: RestServer, library: str, item: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await deploy(rest, item, library)
    assert not rest.deployed


def failure(kind: str, text: str) -> dict[str, Any]:
    return {"error_type": kind, "messages": [{"default_message": text, "id": "x", "args": []}]}


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((400, failure("ALREADY_EXISTS", "there is one")), NameTaken, "there is one"),
        ((500, failure("ERROR", "it broke")), TaskFailed, "it broke"),
        ((502, "<html>"), TaskFailed, "answered 502"),
        (
            (200, {"succeeded": False, "error": {"errors": [{"error": failure("", "no space")}]}}),
            TaskFailed,
            "no space",
        ),
        ((200, {"succeeded": False}), TaskFailed, "no reason given"),
        ((200, {"succeeded": True, "resource_id": {"type": "VirtualApp"}}), LibraryItemNotFound, "VirtualApp"),
    ],
)
async def test_what_goes_wrong_is_told_in_vcenters_words(
    rest: RestServer, answer: tuple[int, Any], error: type[Exception], message: str
) -> None:
    rest.answer = answer
    with pytest.raises(error, match=message):
        await deploy(rest)


async def test_a_wrong_password_is_told_apart(rest: RestServer) -> None:
    rest.password = "another"
    with pytest.raises(InvalidLogin, match="wrong password"):
        await deploy(rest)


async def test_the_password_goes_to_no_other_certificate(rest: RestServer) -> None:
    pinned = Endpoint(rest.endpoint.server, "user", "secret", thumbprint="00" * 32)
    with pytest.raises(CertificateMismatch):
        await deploy(rest, endpoint=pinned)


async def test_nothing_is_deployed_once_the_fence_is_down(rest: RestServer) -> None:
    class LeaseLostError(ProviderError):
        pass

    def refuse() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        await deploy(rest, fence=refuse)
    assert not rest.deployed
