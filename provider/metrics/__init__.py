"""What is counted for Prometheus, by what it is of: the names, and the one place where each is counted.

`families` makes what only grows (counters, histograms of events) and forgets it with its VCH; `state` asks at scrape
time for what just is, so that no series of it can be out of date. Base units, no names of Pods. Nothing here decides.
"""

from provider.metrics import kube, kubelet_api, leases, node, parents, pods, process, state, vcenter, vms

__all__ = ["kube", "kubelet_api", "leases", "node", "parents", "pods", "process", "state", "vcenter", "vms"]
