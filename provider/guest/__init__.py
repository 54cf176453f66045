"""The seam to the guests: one mutually authenticated connection for each pod VM, and the certificates for it.

It moves objects and requests; what they mean is decided in `feed` and `relay`. The other end is `guest/vch_agent`.
"""
