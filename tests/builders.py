"""Objects as tests need them: valid, small, and saying only what the test is about."""

from typing import Any

from provider.api.vch import VirtualContainerHostSpec
from provider.lifecycle import Facts, PodFacts
from provider.plan import PodPlan
from provider.podvm import GuestPhase, GuestReport, Parent, PodIdentity, PodVM, PodVMClass, PowerState

UID = "0a1b2c3d-1111-2222-3333-444455556666"
GIB = 2**30


def make_container(name: str = "main", **fields: Any) -> dict:
    return {"name": name, "image": "vch.dev/busybox:1", **fields}


def make_pod(name: str = "web", *, uid: str = UID, status: dict | None = None, **spec: Any) -> dict:
    """A Pod bound to the node `vch`."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "default", "name": name, "uid": uid, "resourceVersion": "7"},
        "spec": {"nodeName": "vch", "serviceAccountName": "default", "containers": [make_container()], **spec},
        "status": status or {},
    }


def make_identity(**fields: Any) -> PodIdentity:
    return PodIdentity(
        **{"cluster": "c", "vch": "v", "node": "vch", "namespace": "default", "name": "web", "uid": UID, **fields}
    )


def make_report(**fields: Any) -> GuestReport:
    given = {"clone_id": "c0", "phase": GuestPhase.READY, "fingerprint": "sha256:ab", "address": "10.0.0.5"}
    return GuestReport(**{**given, "port": 10350, **fields})


def make_vm(moref: str = "vm-1", *, uid: str = UID, name: str = "web", **fields: Any) -> PodVM:
    """A VM that runs, without report and pin."""
    given: dict[str, Any] = {
        "moref": moref,
        "name": f"{name}-{uid[:8]}",
        "identity": make_identity(uid=uid, name=name),
        "power_state": PowerState.ON,
        "address": "10.0.0.5",
        "clone_id": "c0",
    }
    return PodVM(**{**given, **fields})


def make_plan(**fields: Any) -> PodPlan:
    given = {"uid": UID, "namespace": "default", "name": "web", "vm_name": "web-0a1b2c3d11", "hostname": "web"}
    return PodPlan(**{**given, **fields})


def make_facts(**fields: Any) -> Facts:
    """A new Pod that nothing has been done for, at instant 1000."""
    given: dict[str, Any] = {"pod": PodFacts(), "plan": make_plan(), "vm": None, "synced": True, "now": 1000.0}
    return Facts(**{**given, **fields})


def make_class(cpu_millis: int = 2000, memory_bytes: int = GIB) -> PodVMClass:
    return PodVMClass(cpu_millis, memory_bytes)


def make_parent(**fields: Any) -> Parent:
    """A frozen parent with 2 CPUs and 1 GiB."""
    given: dict[str, Any] = {"name": "parent", "power_state": PowerState.ON, "frozen": True, "cpus": 2}
    return Parent(**{**given, "moref": "vm-0", "memory_mib": 1024, **fields})


def make_vch_spec(**fields: Any) -> dict:
    """The spec of a VirtualContainerHost as the API server has it; `fields` are laid over its parts."""
    given: dict[str, dict] = {
        "vCenter": {"server": "vcenter.test", "credentialsSecretRef": {"name": "vcenter"}},
        "placement": {"folder": "pods", "resourcePool": "pods"},
        "network": {"ranges": ["10.0.0.5-10.0.0.50"], "prefixLength": 24, "gateway": "10.0.0.1"},
        "template": {"images": ["parent"], "classes": ["small"]},
        "limits": {"cpu": "64", "memory": "256Gi"},
        "node": {"address": "192.0.2.10"},
    }
    return given | {name: given.get(name, {}) | part for name, part in fields.items()}


def make_spec(**fields: Any) -> VirtualContainerHostSpec:
    return VirtualContainerHostSpec.model_validate(make_vch_spec(**fields))
