"""How a VCH logs in to its vCenter, and how guests know us: what Secrets and ConfigMaps say, checked.

Reads by `kube.operator_objects`, nothing is kept. The guests' CA is made here on first use.
"""

from provider import errors
from provider.api.fields import CABundleRef
from provider.api.supplies import Registries
from provider.api.vcenter import VCenter
from provider.clock import Clock
from provider.guest import credentials
from provider.guest.credentials import ClientCredentials
from provider.kube.client import KubeObject
from provider.kube.operator_objects import OperatorObjects
from provider.ownership import reference


async def login(objects: OperatorObjects, spec: VCenter) -> tuple[str, str]:
    """User name and password. Raises SecretNotFound, SecretInvalid."""
    name = spec.credentials_secret_ref.name
    data = await objects.get_secret(name)
    if data is None:
        raise errors.SecretNotFound(
            f"spec.vCenter.credentialsSecretRef: Secret {name!r} does not exist in namespace {objects.namespace!r}; "
            "make it with the keys username and password"
        )
    for key in ("username", "password"):
        if not data.get(key):
            raise errors.SecretInvalid(
                f"spec.vCenter.credentialsSecretRef: Secret {name!r} has no key {key!r}, or it is empty"
            )
    return data["username"], data["password"]


async def ca_bundle(objects: OperatorObjects, spec: VCenter) -> str | None:
    """PEM certificates to verify vCenter with, None for the system's. Raises CABundleNotFound."""
    if spec.ca_bundle_ref is None:
        return None
    return await _bundle(objects, spec.ca_bundle_ref, "spec.vCenter.caBundleRef")


async def _bundle(objects: OperatorObjects, ref: CABundleRef, field: str) -> str:
    data = await (objects.get_secret(ref.name) if ref.kind == "Secret" else objects.get_config_map(ref.name))
    if data is None or not data.get(ref.key):
        raise errors.CABundleNotFound(
            f"{field}: {ref.kind} {ref.name!r} with the key {ref.key!r} does not exist in namespace "
            f"{objects.namespace!r}"
        )
    return data[ref.key]


async def guests_ca_bundle(objects: OperatorObjects, spec: Registries) -> str | None:
    """PEM certificates that guests are to trust besides their image's. Raises CABundleNotFound."""
    if spec.ca_bundle_ref is None:
        return None
    return await _bundle(objects, spec.ca_bundle_ref, "spec.registries.caBundleRef")


async def guest_credentials(objects: OperatorObjects, vch: KubeObject, clock: Clock) -> ClientCredentials:
    """Of the CA that all guests of this VCH are born with; it is deleted with the VCH. Raises SecretInvalid."""
    name = f"vch-guest-ca-{vch['metadata']['name']}"
    data = await objects.get_secret(name)
    if data is None:
        fresh = credentials.new_ca(vch["metadata"]["name"], clock.now())
        try:
            await objects.create_secret(name, fresh, reference(vch))
            data = fresh
        except errors.KubeConflict:  # another process was faster: its CA counts
            data = await objects.get_secret(name) or {}
    try:
        return credentials.load(data, clock.now())
    except ValueError as error:
        raise errors.SecretInvalid(f"Secret {name!r} in namespace {objects.namespace!r}: {error}") from error
