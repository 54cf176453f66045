"""Kubeconfig files (JSON, which is YAML) with the certificates inside, so that each is one file that can be carried
off.
"""

import base64
import json
import os
from pathlib import Path


def write(place: Path, *, server: str, ca: Path, certificate: Path, key: Path, user: str) -> Path:
    """A kubeconfig for one user with a client certificate; readable by its owner only."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": _data(ca)}}],
        "users": [
            {"name": user, "user": {"client-certificate-data": _data(certificate), "client-key-data": _data(key)}}
        ],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    }
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    return place


def _data(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
