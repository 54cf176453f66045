"""Of a virtual node's heartbeat."""

from provider.metrics.families import counter

HEARTBEATS_WITHHELD = counter(
    "vch_node_heartbeats_withheld_total", "Heartbeats that were left out because nobody looked after the Pods.", "vch"
)
