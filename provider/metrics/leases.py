"""Whose virtual nodes are whose: the Leases, seen from this replica.

With a Lease goes all that was counted of its VCH here: the next holder counts on. That it went is told as long as this
replica stands for the VCH.
"""

from provider.metrics.families import counter, forget, gauge

HELD = gauge("vch_leases_held", "Whether this replica holds the Lease of a VCH (1) or not (0).", "vch")
TRANSITIONS = counter(
    "vch_lease_transitions_total",
    "Changes of a VCH's Lease at this replica: acquired, released, lost, failed.",
    *("vch", "to"),
)


def stands(vch: str) -> None:
    """This replica stands for the VCH, and does not hold it yet."""
    HELD.labels(vch).set(0)


def moved(vch: str, to: str, *, held: bool) -> None:
    """The Lease has changed hands. Call it when nothing of the virtual node runs here."""
    if not held:
        forget("vch", vch, HELD, TRANSITIONS)
    TRANSITIONS.labels(vch, to).inc()
    HELD.labels(vch).set(held)


def gone(vch: str) -> None:
    """This replica does not stand for the VCH any more."""
    forget("vch", vch)
