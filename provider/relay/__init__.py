"""What a guest may say: checks of everything that a guest asks to have written in the cluster. Pure.

A tenant is taken to be root in its guest. So nothing a guest sends is passed on as it is: each request is checked
against the one Pod that the VM was made for, and built anew from an allow-list. The counterpart is `feed`; who carries
out the checked requests is `relay_controller`.
"""

from provider.relay.events import check_event, check_event_patch
from provider.relay.request import (
    BODY_LIMIT,
    DEPTH_LIMIT,
    STRATEGIC_MERGE,
    RelayRefused,
    RelayReply,
    RelayRequest,
    check_delete,
    check_size,
    check_subject,
    refusal,
)
from provider.relay.status import TERMINAL, addresses, check_status_patch
from provider.relay.tokens import check_token_request

__all__ = [
    "BODY_LIMIT",
    "DEPTH_LIMIT",
    "STRATEGIC_MERGE",
    "TERMINAL",
    "RelayRefused",
    "RelayReply",
    "RelayRequest",
    "addresses",
    "check_delete",
    "check_event",
    "check_event_patch",
    "check_size",
    "check_status_patch",
    "check_subject",
    "check_token_request",
    "refusal",
]
