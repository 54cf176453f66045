"""The laboratory's registry: a pull, request by request, over a real socket."""

import hashlib
import http.client
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from images import archive

from e2e.lab import registry

_IMAGE = archive.Image("vch.dev/busybox:1", command=["sh"])


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.Content:
    monkeypatch.setattr(archive, "_applets", lambda _: ["sh"])
    return registry.load([archive.write(_IMAGE, tmp_path, Path(sys.executable))])


@contextmanager
def _serving(content: registry.Content, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = registry.serve(content, "127.0.0.1", 0, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("name", ["busybox", "vch.dev/busybox"])
def test_an_image_is_pulled_by_tag_and_what_comes_is_what_was_named(content: registry.Content, name: str) -> None:
    with _serving(content) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def get(path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
            connection.request(method, path)
            response = connection.getresponse()
            return response, response.read()

        assert get("/v2/")[0].status == 200
        head, nothing = get(f"/v2/{name}/manifests/1?ns=docker.io", "HEAD")
        assert (head.status, nothing) == (200, b"")
        digest = head.headers["Docker-Content-Digest"]
        response, manifest = get(f"/v2/{name}/manifests/{digest}")
        assert response.headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json"
        assert head.headers["Content-Length"] == str(len(manifest))
        for wanted in (json.loads(manifest)["config"], *json.loads(manifest)["layers"]):
            _, blob = get(f"/v2/{name}/blobs/{wanted['digest']}")
            assert (len(blob), f"sha256:{hashlib.sha256(blob).hexdigest()}") == (wanted["size"], wanted["digest"])
        assert json.loads(get(f"/v2/{name}/tags/list")[1]) == {"name": name, "tags": ["1"]}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/busybox/manifests/2", "MANIFEST_UNKNOWN"),
        ("/v2/other/manifests/1", "MANIFEST_UNKNOWN"),
        ("/v2/busybox/blobs/sha256:00", "BLOB_UNKNOWN"),
        ("/v2/other/tags/list", "NAME_UNKNOWN"),
        ("/etc/passwd", "NAME_UNKNOWN"),
    ],
)
def test_what_is_not_there_is_named(content: registry.Content, path: str, code: str) -> None:
    told = registry.answer(content, path)
    assert (told.status, json.loads(told.body)["errors"][0]["code"]) == (404, code)


def test_it_speaks_tls_and_waits_for_nobody(content: registry.Content) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server)
    authority.configure_trust(client)
    with _serving(content, server) as port:
        silent = http.client.HTTPConnection("127.0.0.1", port)
        silent.connect()
        connection = http.client.HTTPSConnection("localhost", port, context=client, timeout=10)
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200
        connection.close()
        silent.close()


def test_a_file_that_is_no_image_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "x.tar"
    place.write_text("no")
    assert registry.main(["--listen", "127.0.0.1:0", str(place)]) == 1
    assert str(place) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        registry.main(["--listen", "nowhere", str(place)])
    assert "HOST:PORT" in capsys.readouterr().err


def test_what_is_served_shares_no_layer_with_what_guests_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "_applets", lambda _: ["sh"])
    program = tmp_path / "busybox"
    program.write_bytes(b"a program")

    def layers(image: archive.Image) -> set[str]:
        content = registry.load([archive.write(image, tmp_path, program)])
        manifest = json.loads(next(content.blobs[digest] for digest in content.media_types))
        return {layer["digest"] for layer in manifest["layers"]}

    had = {digest for image in archive.IMAGES for digest in layers(image)}
    served = {digest for image in archive.SERVED for digest in layers(image)}
    assert not had & served, "or a pull would have nothing to fetch"
    assert layers(archive.APP) <= served, "the same bytes each time"
