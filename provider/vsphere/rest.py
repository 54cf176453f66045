"""vCenter's REST API (`/api`, vSphere 7.0 U2 and later), for what has no SOAP method: content libraries.

A login of its own for each use, with the same certificate check as SOAP's. Blocking, for use within `Session.call`.
"""

import base64
import json
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode

from provider.errors import (
    InsufficientResources,
    InvalidLogin,
    LibraryItemNotFound,
    NameTaken,
    NoPermission,
    TaskFailed,
    VSphereError,
)
from provider.vsphere.session import Endpoint, https

_BY_TYPE: dict[str, type[VSphereError]] = {
    "ALREADY_EXISTS": NameTaken,
    "NOT_FOUND": LibraryItemNotFound,
    "RESOURCE_INACCESSIBLE": InsufficientResources,
    "UNABLE_TO_ALLOCATE_RESOURCE": InsufficientResources,
    "UNAUTHENTICATED": InvalidLogin,
    "UNAUTHORIZED": NoPermission,
}
_BY_STATUS: dict[int, type[VSphereError]] = {401: InvalidLogin, 403: NoPermission, 404: LibraryItemNotFound}


class Rest:
    """One login, from `with` to its end. `timeout` seconds for each call: deploying answers when it is done."""

    def __init__(self, endpoint: Endpoint, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._connection = https(endpoint, timeout)
        self._headers = {"Accept": "application/json"}

    def __enter__(self) -> "Rest":
        login = f"{self._endpoint.username}:{self._endpoint.password}".encode()
        self._headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
        token = self.post("session")
        del self._headers["Authorization"]
        self._headers["vmware-api-session-id"] = str(token)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._call("DELETE", "session", None)
        except (VSphereError, OSError):
            pass  # it expires by itself
        finally:
            self._connection.close()

    def get(self, *path: str, **query: str) -> Any:
        return self._call("GET", _path(path, query), None)

    def post(self, *path: str, body: Any = None, **query: str) -> Any:
        return self._call("POST", _path(path, query), body)

    def _call(self, method: str, path: str, body: Any) -> Any:
        content = None if body is None else json.dumps(body).encode()
        headers = self._headers if content is None else {**self._headers, "Content-Type": "application/json"}
        self._connection.request(method, f"/api/{path}", body=content, headers=headers)
        response = self._connection.getresponse()
        answer = _json(response.read())
        if response.status >= 400:
            raise _error(response.status, answer)
        return answer


def _path(parts: tuple[str, ...], query: dict[str, str]) -> str:
    path = "/".join(quote(part, safe="") for part in parts)
    return f"{path}?{urlencode(query)}" if query else path


def _json(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None  # a proxy's page; the status says enough


def _error(status: int, answer: Any) -> VSphereError:
    answer = answer if isinstance(answer, dict) else {}
    kind = _BY_TYPE.get(str(answer.get("error_type"))) or _BY_STATUS.get(status, TaskFailed)
    return kind(words(answer) or f"vCenter's REST API answered {status}")


def words(answer: Any) -> str:
    """The messages of an error, as a person reads them."""
    messages = answer.get("messages") if isinstance(answer, dict) else None
    return "; ".join(str(each.get("default_message", "")) for each in messages or () if isinstance(each, dict))
