"""Make this clone's random numbers its own.

Clones of one memory image drew the same numbers from the kernel until this was done (seen: 17 of 17 equal UUIDs). The
seed from guestinfo is public and so only adds uniqueness; secrecy comes from what the kernel mixes in at the reseed
(RDRAND, virtio-rng, VMGenID where there is one), and from `os.urandom` of the parent, unknown to others.

Not the place for keys: those are made by fresh processes (`pki`).
"""

import fcntl
import os
import random
import struct
from collections.abc import Callable

# include/uapi/linux/random.h
RNDADDENTROPY = 0x40085203
RNDRESEEDCRNG = 0x5207

Ioctl = Callable[[int, int, bytes | int], object]


def _kernel(descriptor: int, request: int, argument: bytes | int) -> object:
    return fcntl.ioctl(descriptor, request, argument)


def reseed(seed: bytes, ioctl: Ioctl = _kernel, device: str = "/dev/urandom") -> None:
    """Feed the kernel's pool and force the generators to draw from it, then reseed Python's own generator.

    Credit is claimed for the seed alone, so that the reseed is not put off. Raises OSError (needs CAP_SYS_ADMIN).
    """
    pool = seed + os.urandom(32)
    entropy = struct.pack("ii", len(seed) * 8, len(pool)) + pool  # struct rand_pool_info
    descriptor = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    try:
        ioctl(descriptor, RNDADDENTROPY, entropy)
        # The pool alone is not enough: the per-CPU ChaCha keys live on until the next reseed.
        ioctl(descriptor, RNDRESEEDCRNG, 0)
    finally:
        os.close(descriptor)
    random.seed()
