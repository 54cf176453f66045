"""The API's own description, for clients that ask before they use it. Pure."""

from typing import Any

from . import resources

VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.0", "platform": "linux/amd64"}
"""Not the cluster's version (the kubelet's rule is only to be no newer than its API server)."""
_VERBS = ["get", "list", "watch"]


def document(path: str) -> dict[str, Any] | None:
    """The answer to a discovery path; None if it is none."""
    match path.strip("/").split("/"):
        case ["version"]:
            return dict(VERSION)
        case ["healthz" | "livez" | "readyz"]:
            return {"status": "ok"}
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            groups = sorted({(each.group, each.version) for each in resources.ALL if each.group})
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*each) for each in groups]}
        case ["api", version]:
            return _resources(version)
        case ["apis", group, version]:
            return _resources(f"{group}/{version}")
        case _:
            return None


def _group(group: str, version: str) -> dict[str, Any]:
    served = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [served], "preferredVersion": served}


def _resources(api_version: str) -> dict[str, Any] | None:
    served = [
        {"name": each.plural, "singularName": "", "kind": each.kind, "namespaced": True, "verbs": _VERBS}
        for each in resources.ALL
        if each.api_version == api_version
    ]
    if not served:
        return None
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": served}
