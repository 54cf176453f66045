"""Mirrors, insecure registries and CAs as containerd's `certs.d/<registry>/hosts.toml`. Pure.

Read by containerd at each pull, so that nothing has to be restarted for them. Format: containerd's docs/hosts.md.
"""

import json
from urllib.parse import urlsplit

from .setup import Setup

CA_FILE = "/etc/containerd/certs.d/vch-ca.pem"
FOLDER = "/etc/containerd/certs.d"
_DEFAULT = "_default"
"""The folder for every registry that has none of its own."""
_UPSTREAM = {"docker.io": "https://registry-1.docker.io"}


def hosts_files(setup: Setup) -> dict[str, str]:
    """The files by their paths. Empty without anything to say."""
    names = [*setup.mirrors, *(name for name in setup.insecure if name not in setup.mirrors)]
    found = {f"{FOLDER}/{name}/hosts.toml": _hosts(name, setup) for name in names}
    if setup.ca_bundle:
        found[CA_FILE] = setup.ca_bundle
        found[f"{FOLDER}/{_DEFAULT}/hosts.toml"] = f"ca = {_text(CA_FILE)}\n"
    return found


def _hosts(registry: str, setup: Setup) -> str:
    """Mirrors first, then the registry itself; an insecure one by TLS that is not verified, then by plain HTTP."""
    insecure = registry in setup.insecure
    ca = f"ca = {_text(CA_FILE)}\n" if setup.ca_bundle else ""
    server = f"http://{registry}" if insecure else _UPSTREAM.get(registry, f"https://{registry}")
    endpoints = {url: urlsplit(url).netloc in setup.insecure for url in setup.mirrors.get(registry, ())}
    if insecure:
        endpoints.setdefault(f"https://{registry}", True)
    blocks = [f"server = {_text(server)}\n{ca}"]
    for url, unverified in endpoints.items():
        blocks.append(
            f'\n[host.{_text(url)}]\n  capabilities = ["pull", "resolve"]\n'
            + (f"  {ca}" if ca else "")
            + ("  skip_verify = true\n" if unverified else "")
            # A mirror below a path of its own (a proxy project of Harbor's) says where /v2 goes.
            + ("  override_path = true\n" if "/v2" in urlsplit(url).path else "")
        )
    return "".join(blocks)


def _text(value: str) -> str:
    """A TOML string: of printable text a JSON string is one."""
    return json.dumps(value, ensure_ascii=False)
