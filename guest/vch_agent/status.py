"""`metav1.Status` objects: the error answers of the API. Pure."""

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
