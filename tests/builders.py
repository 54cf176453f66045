"""Objects as tests need them: valid, small, and saying only what the test is about."""

from typing import Any

from provider import guestinfo
from provider.api.vch import VirtualContainerHostSpec
from provider.lifecycle import Facts, PodFacts
from provider.parent_slots import Image, Slot
from provider.parentvm import Host, ParentKey, ParentMarks, ParentPhase, ParentReport, ParentVM, name_end
from provider.plan import Offer, PodPlan
from provider.podvm import GuestPhase, GuestReport, PodIdentity, PodVM, PodVMClass, PowerState, uid_letters
from provider.vm_class import VMClass

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
        "name": f"{name}-{uid_letters(uid)}",
        "identity": make_identity(uid=uid, name=name),
        "power_state": PowerState.ON,
        "address": "10.0.0.5",
        "clone_id": "c0",
    }
    return PodVM(**{**given, **fields})


def make_pod_network(*addresses: str, **fields: Any) -> guestinfo.PodNetwork:
    """As a guest is told of a Pod's network where nothing is isolated or denied."""
    given: dict[str, Any] = {"gateways": (), "isolation": "None", "denied": ()}
    own = tuple(f"{address}/{64 if ':' in address else 24}" for address in addresses or ("10.1.0.5",))
    return guestinfo.PodNetwork(**{**given, **fields, "addresses": own})


def make_plan(**fields: Any) -> PodPlan:
    given = {"uid": UID, "namespace": "default", "name": "web", "vm_name": "web-0a1b2c3d11", "hostname": "web"}
    return PodPlan(**{**given, "vm_class": make_vm_class(), "image": "photon", **fields})


def make_facts(**fields: Any) -> Facts:
    """A new Pod that nothing has been done for, at instant 1000."""
    given: dict[str, Any] = {"pod": PodFacts(), "plan": make_plan(), "vm": None, "synced": True, "now": 1000.0}
    return Facts(**{**given, **fields})


def make_class(cpu_millis: int = 2000, memory_bytes: int = GIB) -> PodVMClass:
    return PodVMClass(cpu_millis, memory_bytes)


def make_vm_class(name: str = "small", *, cpus: int = 2, memory_mib: int = 1024, **fields: Any) -> VMClass:
    """A class all of whose CPU and memory are the Pod's, unless it is said otherwise."""
    return VMClass(**{"overhead": PodVMClass(0, 0), **fields, "name": name, "cpus": cpus, "memory_mib": memory_mib})


def make_offer(*classes: VMClass, **fields: Any) -> Offer:
    return Offer(**{"classes": classes or (make_vm_class(),), "images": ("photon",), **fields})


def make_host(moref: str = "host-1", **fields: Any) -> Host:
    """A host of 8 cores and 32 GiB of which nothing is used."""
    given: dict[str, Any] = {"name": moref, "connected": True, "maintenance": False, "cpu_mhz": 16000, "cpu_cores": 8}
    return Host(
        **{**given, "moref": moref, "cpu_mhz_used": 0, "memory_bytes": 32 * GIB, "memory_used_bytes": 0, **fields}
    )


def make_key(host: str = "host-1", image: str = "photon", vm_class: str = "small", namespace: str = "") -> ParentKey:
    return ParentKey(host, image, vm_class, namespace)


def make_slot(key: ParentKey | None = None, *, digest: str = "d1", base: ParentKey | None = None) -> Slot:
    key = key or make_key()
    image = Image(key.image, source="" if base else "vm-9", fork_of=base.image if base else "")
    return Slot(key, digest, make_vm_class(key.vm_class), image, base)


def make_parent_vm(moref: str = "vm-7", *, key: ParentKey | None = None, digest: str = "d1", **fields: Any) -> ParentVM:
    """A frozen parent on its host."""
    key = key or make_key()
    given: dict[str, Any] = {
        "name": f"parent{name_end(f'id-{moref}')}",
        "marks": ParentMarks("c", "v", f"id-{moref}", key, digest),
        "power_state": PowerState.ON,
        "frozen": True,
        "host": key.host,
        "cpus": 2,
        "memory_mib": 1024,
        "report": ParentReport(f"id-{moref}", ParentPhase.WARM),
    }
    return ParentVM(**{**given, **fields, "moref": moref})


def make_vch_spec(**fields: Any) -> dict:
    """The spec of a VirtualContainerHost as the API server has it; `fields` are laid over its parts."""
    given: dict[str, dict[str, Any]] = {
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
