"""How long parents take to be made. How many there are is `state`'s."""

from provider.metrics.families import ERROR, SUCCESS, histogram

PROVISIONED = histogram(
    "vch_parent_provision_duration_seconds",
    "Seconds from beginning to make a parent to its being frozen and ready to be cloned.",
    (1, 2, 5, 10, 20, 30, 60, 120, 180, 300, 600, 1200, 1800, 3600),
    *("vch", "result"),
)


def provisioned(vch: str, seconds: float, *, ready: bool) -> None:
    """A parent is ready, or was given up."""
    PROVISIONED.labels(vch, SUCCESS if ready else ERROR).observe(seconds)
