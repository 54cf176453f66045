"""The agent inside a pod VM: the guest kubelet's one-pod API server, and the provider's only way in.

One life, read top to bottom, is the order in which data flows::

    settings ─ files                       paths, ports, platform; whole-file writes
    guestinfo ─ identity ─ pod_network     what the hypervisor says (vmware-rpctool), parsed
    pki ─ kubeletconfig ─ proxyconfig      at boot: local CA, the configuration of kubelet and kube-proxy
    latch                                  what this machine has become, for good
    parent ─ setup ─ checked, references   what a parent is told to be, and what it reports
      └─ plan: registries, trust           the steps to it, in their order
      └─ preparation ─ system              done, by one seam: kernel, images, nic
    health                                 parent: is the kubelet warm enough to freeze?
    stillness                              the other services sleep through freeze and thaw
    thaw: entropy, clock, names, nic       after the freeze: become somebody else
      └─ netlink, routing, announcement    address, route and MAC without an exec
    gateway ─ gateway_links ─ namespace    the namespace that all of the Pod's traffic passes
      └─ firewall, cni                     what may pass, and how the Pod gets its end
    lease ─ kept_lease                     the Pod's address, where a DHCP server gives it
      └─ dhcp_client ─ dhcp, arp_probe     asked for, kept and given back
    keys                                   certificate of this clone, made by a fresh process
    resources ─ store ─ state              the objects of one pod; watch fan-out; tmpfs copy
    pod_objects                            what is fed, in the order in which the kubelet may see it
      └─ pod_firewall ─ policy             the gateway has the Pod's firewall before there is a Pod
    http_server ─ reads ─ api_server       what the kubelet talks to (127.0.0.1)
      └─ service_routes ─ proxy_server     what kube-proxy talks to, in the gateway namespace
    frames ─ relay ─ feed                  what the provider talks to: objects in, requests out
    reachability                           is the cluster reached from the Pod's network?
    provider_port ─ splice                 TLS, and bytes through to the kubelet's own API
    pod_vm                                 one clone: latched identity, refusal, the parts above together
    parenthood                             prepare → warm → freeze; a fork does it again
    phases                                 parent → freeze → thaw → serve

It is not a kubelet and takes no decision about a pod: the real kubelet does, beside it. Python's standard library only.
"""

__version__ = "0.1.0"
