"""`metav1.Status` objects: the answers of the API that carry no object. Pure."""

from typing import Any

_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "AlreadyExists",
    410: "Expired",
    413: "RequestEntityTooLarge",
    503: "ServiceUnavailable",
}


def failure(code: int, message: str) -> dict[str, Any]:
    """A Status with the reason that clients switch on."""
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "metadata": {},
        "status": "Failure",
        "reason": _REASONS.get(code, "InternalError"),
        "message": message,
        "code": code,
    }


def success() -> dict[str, Any]:
    """The answer to a delete."""
    return {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}
