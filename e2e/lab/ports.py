"""Free ports of the machine, for what is offered on both sides of the namespace."""

import socket


def free(count: int) -> list[int]:
    """That many TCP ports of 127.0.0.1 that nobody listens on; all held at once, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
