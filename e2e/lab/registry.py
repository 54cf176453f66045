"""`python -m e2e.lab.registry --listen HOST:PORT ARCHIVE…`: a read-only OCI registry of image archives.

Serves what the distribution specification calls pull, over HTTP or (with `--cert` and `--key`) HTTPS, so that pulls,
mirrors and preloaded images are real in a laboratory without a registry. An archive is an OCI image layout in a tar, as
guest/images makes them. `vch.dev/busybox:1` is served as `busybox:1` and as `vch.dev/busybox:1`; a request's `ns` is
ignored, so the same registry is a mirror of any other. What was asked is logged, a line for each request.
"""

import argparse
import hashlib
import json
import re
import ssl
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)")
_BLOB = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>[^/]+)")
_TAGS = re.compile(r"/v2/(?P<name>.+)/tags/list")
_NAME = "io.containerd.image.name"
_JSON = "application/json"
_BYTES = "application/octet-stream"


class BadArchive(Exception):
    """A file is not an OCI image layout with named images."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is served: content by digest, and the digest and media type of each repository's tags."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    media_types: dict[str, str] = field(default_factory=dict)

    def add(self, archive: Path) -> None:
        """Serve an archive's images too. Raises BadArchive, OSError."""
        try:
            with tarfile.open(archive) as tar:
                files = {member.name: _read(tar, member) for member in tar.getmembers() if member.isfile()}
            index = json.loads(files["index.json"])
            manifests = [
                (entry["annotations"][_NAME], entry["digest"], entry["mediaType"]) for entry in index["manifests"]
            ]
        except (tarfile.TarError, KeyError, TypeError, ValueError) as error:
            raise BadArchive(f"{archive} is not an OCI image archive with named images: {error!r}") from error
        for name, content in files.items():
            if name.startswith("blobs/sha256/"):
                self.blobs[f"sha256:{hashlib.sha256(content).hexdigest()}"] = content
        for name, digest, media_type in manifests:
            if digest not in self.blobs:
                raise BadArchive(f"{archive} names {digest}, which is not in it")
            repository, _, tag = name.rpartition(":")
            self.media_types[digest] = media_type
            for alias in {repository, repository.partition("/")[2] or repository}:
                self.tags.setdefault(alias, {})[tag] = digest

    def manifest(self, repository: str, reference: str) -> str | None:
        """The digest of a manifest by tag or digest."""
        digest = self.tags.get(repository, {}).get(reference, reference)
        return digest if digest in self.media_types and digest in self.tags.get(repository, {}).values() else None


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    status: int
    media_type: str
    body: bytes
    digest: str = ""


def answer(content: Content, path: str) -> Answer:
    """What a GET of this path is answered. Pure."""
    path = path.partition("?")[0]
    if path in ("/v2", "/v2/"):
        return Answer(HTTPStatus.OK, _JSON, b"{}")
    if found := _MANIFEST.fullmatch(path):
        digest = content.manifest(found["name"], found["reference"])
        if digest is None:
            return _error("MANIFEST_UNKNOWN", f"{found['name']}:{found['reference']} is not here")
        return Answer(HTTPStatus.OK, content.media_types[digest], content.blobs[digest], digest)
    if found := _BLOB.fullmatch(path):
        digest = found["digest"]
        if found["name"] not in content.tags or digest not in content.blobs:
            return _error("BLOB_UNKNOWN", f"{digest} is not here")
        return Answer(HTTPStatus.OK, _BYTES, content.blobs[digest], digest)
    if (found := _TAGS.fullmatch(path)) and found["name"] in content.tags:
        listed = {"name": found["name"], "tags": sorted(content.tags[found["name"]])}
        return Answer(HTTPStatus.OK, _JSON, json.dumps(listed).encode())
    return _error("NAME_UNKNOWN", f"{path} is not here")


def _error(code: str, message: str) -> Answer:
    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
    return Answer(HTTPStatus.NOT_FOUND, _JSON, body)


def serve(content: Content, host: str, port: int, tls: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    """A server that listens; call its `serve_forever`. Raises OSError."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._reply(body=True)

        def do_HEAD(self) -> None:
            self._reply(body=False)

        def log_message(self, format: str, *args: Any) -> None:
            print(self.address_string(), format % args, file=sys.stderr, flush=True)

        def _reply(self, *, body: bool) -> None:
            told = answer(content, self.path)
            self.send_response(told.status)
            self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
            self.send_header("Content-Type", told.media_type)
            self.send_header("Content-Length", str(len(told.body)))
            if told.digest:
                self.send_header("Docker-Content-Digest", told.digest)
            self.end_headers()
            if body:
                self.wfile.write(told.body)

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    if tls is not None:
        # The handshake is left to the connection's own thread: a client that says nothing holds up nobody.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def load(archives: Iterable[Path]) -> Content:
    """All images of the archives. Raises BadArchive, OSError."""
    content = Content()
    for archive in archives:
        content.add(archive)
    return content


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listen", metavar="HOST:PORT", required=True, help="where to serve; port 0: any that is free")
    parser.add_argument("--cert", type=Path, help="certificate chain (PEM): serve HTTPS")
    parser.add_argument("--key", type=Path, help="its key (PEM)")
    parser.add_argument("archives", metavar="ARCHIVE", type=Path, nargs="+", help="an OCI image archive")
    told = parser.parse_args(arguments)
    host, colon, port = told.listen.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        parser.error(f"--listen {told.listen}: HOST:PORT is required")
    if bool(told.cert) != bool(told.key):
        parser.error("--cert and --key: give both or neither")
    try:
        content = load(told.archives)
        tls = None
        if told.cert:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(told.cert, told.key)
        server = serve(content, host.strip("[]"), int(port), tls)
    except (BadArchive, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    scheme = "https" if tls else "http"
    print(f"{scheme}://{host}:{server.server_address[1]} serves {', '.join(sorted(content.tags))}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
