"""Tokens of the Pod's own ServiceAccount, for the audiences that its spec names. Pure."""

from provider.feed import KubeObject
from provider.relay.request import RelayRefused, an_object


def check_token_request(service_account: str, body: KubeObject, pod: KubeObject) -> KubeObject:
    """A TokenRequest for the Pod's own account and an audience of its spec, bound to the Pod. Raises RelayRefused."""
    spec = pod["spec"]
    own = spec.get("serviceAccountName") or "default"
    if service_account != own:
        raise RelayRefused(f"a token of the ServiceAccount {service_account!r}, the Pod's is {own!r}")
    asked = an_object(body.get("spec"), "spec")
    wanted = asked.get("audiences") or []
    if not isinstance(wanted, list) or not all(isinstance(audience, str) for audience in wanted):
        raise RelayRefused("spec.audiences is no list of strings")
    audiences = tuple(wanted)
    if audiences not in _audiences(spec):
        raise RelayRefused(f"a token for the audiences {list(audiences)}, which the Pod does not name")
    meta = pod["metadata"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
    checked: KubeObject = {"audiences": list(audiences), "boundObjectRef": bound}
    if isinstance(asked.get("expirationSeconds"), int):
        checked["expirationSeconds"] = asked["expirationSeconds"]
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": checked}


def _audiences(spec: KubeObject) -> set[tuple[str, ...]]:
    allowed: set[tuple[str, ...]] = set()
    for volume in spec.get("volumes") or ():
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "serviceAccountToken" in source:
                audience = source["serviceAccountToken"].get("audience")
                allowed.add((audience,) if audience else ())
    return allowed
