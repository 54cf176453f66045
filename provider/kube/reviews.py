"""Who asks the kubelet API, and may they: TokenReview and SubjectAccessReview, answered by the API server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from provider.kube.client import KubeClient, KubeObject, path


@dataclass(frozen=True, slots=True)
class UserInfo:
    """An authenticated user, as the API server names it."""

    username: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)


class Reviews:
    """The two reviews that a kubelet makes."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def review_token(self, token: str) -> UserInfo | None:
        """Whose token it is, None if nobody's. Raises KubeError if the API server does not say."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        answer = await self._client.request("POST", path("authentication.k8s.io/v1", "tokenreviews"), body=body)
        status = answer.get("status") or {}
        user = status.get("user") or {}
        if status.get("authenticated") is not True or not user.get("username"):
            return None
        return UserInfo(
            username=user["username"],
            groups=tuple(user.get("groups") or ()),
            uid=user.get("uid") or "",
            extra=user.get("extra") or {},
        )

    async def review_access(self, user: UserInfo, verb: str, resource: str, subresource: str, name: str) -> bool:
        """May the user do this to the Node `name`? Raises KubeError if the API server does not say."""
        spec: KubeObject = {
            "user": user.username,
            "groups": list(user.groups),
            "uid": user.uid,
            "extra": {key: list(values) for key, values in user.extra.items()},
            "resourceAttributes": {
                "verb": verb,
                "version": "v1",
                "resource": resource,
                "subresource": subresource,
                "name": name,
            },
        }
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        answer = await self._client.request("POST", path("authorization.k8s.io/v1", "subjectaccessreviews"), body=body)
        status = answer.get("status") or {}
        return status.get("allowed") is True and not status.get("denied")
