"""virtual-kubelet-vch: a Virtual Container Host on vSphere as a virtual node, each of its Pods an instant-cloned VM.

How data flows, and in which module to look:

    Pod bound to node ─ kube ─▶ plan ─▶ lifecycle ─▶ vsphere ─▶ the guest's agent reports (guestinfo)
                                            ▲                         │
    API server ◀─ relay_controller ◀─ relay (checks) ◀─ guest.link ◀──┴── feed (what the guest is given)
    kubectl logs, exec … ─▶ kubelet.server ─▶ spliced to the guest's own kubelet

    NetworkPolicies, Pods, Namespaces ─ kube.policy_watch ─▶ network_policy ─▶ a firewall, fed with its Pod

    PodVMClass, PodVMImage, VCH ─ catalog ─▶ parent_slots ─▶ parent_lifecycle ─▶ vsphere ─▶ placement ─▶ clone

The core (`plan`, `vm_class`, `lifecycle`, `parent_slots`, `parent_lifecycle`, `placement`, `capacity`, `feed`,
`relay`, `node`, `addresses`, `guestinfo` …) is pure: values in, values out. Three narrow seams (`kube`, `vsphere`,
`guest`) do the I/O and know nothing of each other. Thin loops on top (`pod_controller`, `node_controller`,
`collector`; for what Pods are cloned from `image_controller`, `parent_controller` and `standby_controller`) join
them. `virtual_node` composes one node: what needs no vCenter runs from the first moment (`kubelet_serving` says where
its kubelet API is), `node_engine` is what does, `node_parts` its parts, `node_view` what is said of them. `fleet` runs
those whose Leases this replica holds: `tenure` (pure) decides that, `campaign` and `lease_controller` carry it out, and
`fence` stops every write for a virtual node that is not held any more. `handlers` tells the fleet what kopf sees, `cli`
is the process. What is counted is in `metrics`, what a kubelet API says of its guests in `kubelet.scrape`.
"""

__version__ = "0.1.0"
