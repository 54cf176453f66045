"""Tell the service manager (sd_notify(3)) over its socket; silent when there is none."""

import os
import socket


def notify(message: str) -> None:
    """Send `READY=1` or `STATUS=…`."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.sendto(message.encode(), address)
