"""For every field of every kind a value that the API server refuses, and a part of what it says about it.

`[*]` is the first entry of a list or map. A row: what of `our_objects.FULL` is spoilt, the field, the value, the words.
That no field is forgotten is tested in `test_crds`.
"""

Row = tuple[str, str, object, str]

_VCH = "VirtualContainerHost"
_BY_NAMESPACE = "VCH by namespace"
_TOO_LONG = "x" * 40000
_NAME = "lower case letters, digits, - and . only"
_INVENTORY = "without control characters"
_HOST = "without https:// and path"
_URL = "begins with http:// or https://"
_EMPTY = "at least 1 chars long"
_NONE = "at least 1 items"
_TWICE = "Duplicate value"
_IN_ORDER_TWICE = "an entry is there twice"
_QUANTITY = "a quantity is a number, perhaps with a unit"
_TEXT = "must be of type string"
_THUMBPRINT = ":".join(["AB"] * 32)
_MIRROR = {"registry": "registry.example", "endpoints": ["https://mirror.example"]}
_SIX = {"ranges": ["fd00:10::10"], "prefixLength": 64}
_TAINT = {"key": "a", "effect": "NoSchedule"}
_TEAM = {"namespace": "team", "portGroup": "pods", "ranges": ["10.2.0.7"], "prefixLength": 24}
_FILE = {"path": "/etc/x", "content": "x"}

_VCENTER: tuple[Row, ...] = (
    (_VCH, "spec.vCenter.server", "https://vcenter.example/sdk", _HOST),
    (_VCH, "spec.vCenter.server", "", _EMPTY),
    (_VCH, "spec.vCenter.credentialsSecretRef.name", "Login", _NAME),
    (_VCH, "spec.vCenter.thumbprint", "12:34", "32 pairs of hexadecimal digits"),
    (_VCH, "spec.vCenter.thumbprint", _THUMBPRINT, "thumbprint and caBundleRef exclude each other"),
    (_VCH, "spec.vCenter.caBundleRef.kind", "Pod", 'supported values: "ConfigMap", "Secret"'),
    (_VCH, "spec.vCenter.caBundleRef.name", "", _EMPTY),
    (_VCH, "spec.vCenter.caBundleRef.key", "a/b", "a key of a ConfigMap or Secret"),
    (_VCH, "spec.placement.datacenter", " DC0", _INVENTORY),
    (_VCH, "spec.placement.computeCluster", "C0\n", _INVENTORY),
    (_VCH, "spec.placement.hosts", ["esx-1", "esx-1"], _TWICE),
    (_VCH, "spec.placement.hosts[*]", "", _EMPTY),
    (_VCH, "spec.placement.resourcePool", "", _EMPTY),
    (_VCH, "spec.placement.folder", "a\tb", _INVENTORY),
    (_VCH, "spec.placement.datastore", 7, _TEXT),
)

_GUESTS: tuple[Row, ...] = (
    (_VCH, "spec.network.portGroup", "VM Network ", _INVENTORY),
    (_VCH, "spec.network.ranges", [], _NONE),
    (_VCH, "spec.network.ranges", ["10.0.0.5", "10.0.0.5"], _TWICE),
    (_VCH, "spec.network.ranges[*]", "fe80::1", "first-last or a single IPv4 address"),
    (_VCH, "spec.network.ranges[*]", "10.0.0.256", "first-last or a single IPv4 address"),
    (_VCH, "spec.network.ranges[*]", "10.0.0.1-10.0.0.2-10.0.0.3", "first-last or a single IPv4 address"),
    (_VCH, "spec.network.ranges[*]", "10.0.0.0/24", "first-last or a single IPv4 address"),
    (_VCH, "spec.network.prefixLength", 32, "less than or equal to 31"),
    (_VCH, "spec.network.gateway", "router", "an IPv4 address"),
    (_VCH, "spec.network.nameservers", ["10.0.0.2", "10.0.0.2"], _IN_ORDER_TWICE),
    (_VCH, "spec.network.nameservers", ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"], "at most 3 items"),
    (_VCH, "spec.network.nameservers[*]", "::1", "an IPv4 address"),
    (_VCH, "spec.network.clusterDNS.servers", ["10.96.0.10", "10.96.0.10"], _IN_ORDER_TWICE),
    (_VCH, "spec.network.clusterDNS.servers", ["10.96.0.1", "10.96.0.2", "10.96.0.3", "10.96.0.4"], "at most 3 items"),
    (_VCH, "spec.network.clusterDNS.servers[*]", "kube-dns", "an IP address"),
    (_VCH, "spec.network.clusterDNS.domain", "cluster.local.", "a DNS domain such as cluster.local"),
    (_VCH, "spec.network.clusterDNS.domain", "", _EMPTY),
    (_VCH, "spec.podNetwork.portGroup", " pods", _INVENTORY),
    (_VCH, "spec.podNetwork.ranges", [], _NONE),
    (_VCH, "spec.podNetwork.ranges", ["10.1.0.5", "10.1.0.5"], _TWICE),
    (_VCH, "spec.podNetwork.ranges[*]", "10.1.0.0/24", "first-last or a single IPv4 address"),
    (_VCH, "spec.podNetwork.prefixLength", 7, "greater than or equal to 8"),
    (_VCH, "spec.podNetwork.gateway", "router", "an IPv4 address"),
    (_VCH, "spec.podNetwork.gateway", "10.1.0.16", "the gateway is in one of the ranges"),
    (_VCH, "spec.podNetwork.gateway", "10.1.0.250", "the gateway is in one of the ranges"),
    (_VCH, "spec.podNetwork.gateway", "10.1.1.7", "the gateway is in one of the ranges"),
    (_VCH, "spec.podNetwork", {}, "Pods need addresses"),
    (_VCH, "spec.podNetwork", {"gateway": "10.1.0.1", "ipv6": _SIX}, "ranges and prefixLength belong together"),
    (_VCH, "spec.podNetwork", {"ranges": ["10.1.0.16"], "ipv6": _SIX}, "ranges and prefixLength belong together"),
    (_VCH, "spec.podNetwork.ipv6.ranges", [], _NONE),
    (_VCH, "spec.podNetwork.ipv6.ranges", ["fd00:10::10", "fd00:10::10"], _TWICE),
    (_VCH, "spec.podNetwork.ipv6.ranges[*]", "10.1.0.16", "first-last or a single IPv6 address"),
    (_VCH, "spec.podNetwork.ipv6.ranges[*]", "fd00:10::/64", "first-last or a single IPv6 address"),
    (_VCH, "spec.podNetwork.ipv6.ranges[*]", "fe80::5", "not link-local"),
    (_VCH, "spec.podNetwork.ipv6.prefixLength", 128, "less than or equal to 127"),
    (_VCH, "spec.podNetwork.ipv6.gateway", "10.1.0.1", "an IPv6 address"),
    (_VCH, "spec.podNetwork.isolation", "Tenant", 'supported values: "Pod", "Namespace", "None"'),
    (_VCH, "spec.podNetwork.isolation", "Namespace", "peerTraffic Deny needs isolation Pod"),
    (_VCH, "spec.podNetwork.peerTraffic", "Direct", 'supported values: "ViaGateway", "Deny"'),
    (_VCH, "spec.podNetwork.serviceRouting", "Proxy", 'supported values: "Guest", "None"'),
    (_VCH, "spec.podNetwork.ipam", "Static", 'supported values: "Pool", "DHCP"'),
    (_VCH, "spec.podNetwork.ipam", "DHCP", "the DHCP server's to give: leave ranges, prefixLength, gateway, ipv6"),
    (
        _BY_NAMESPACE,
        "spec.podNetwork.ipam",
        "DHCP",
        "the DHCP server's to give: leave ranges, prefixLength, gateway, ipv6",
    ),
    (_VCH, "spec.podNetwork", {"isolation": "Namespace"}, "isolation Namespace needs namespaces"),
    (_BY_NAMESPACE, "spec.podNetwork.isolation", "None", "and no other isolation has them"),
    (_BY_NAMESPACE, "spec.podNetwork.portGroup", "DVPG 200", "each of namespaces has its own portGroup"),
    (_BY_NAMESPACE, "spec.podNetwork.gateway", "10.2.0.1", "each of namespaces has its own portGroup"),
    (_BY_NAMESPACE, "spec.podNetwork.ipv6", _SIX, "each of namespaces has its own portGroup"),
    (_BY_NAMESPACE, "spec.podNetwork.namespaces", [_TEAM, _TEAM], _TWICE),
    (_BY_NAMESPACE, "spec.podNetwork.namespaces[*].namespace", "Team", "lower case letters, digits and - only"),
    (_BY_NAMESPACE, "spec.podNetwork.namespaces[*].portGroup", "", _EMPTY),
    (_BY_NAMESPACE, "spec.podNetwork.namespaces[*].ranges", [], _NONE),
    (_BY_NAMESPACE, "spec.podNetwork.namespaces[*].ranges[*]", "10.2.0.0/24", "first-last or a single IPv4 address"),
    (_BY_NAMESPACE, "spec.podNetwork.namespaces[*].prefixLength", 7, "greater than or equal to 8"),
    (_BY_NAMESPACE, "spec.podNetwork.namespaces[*].gateway", "router", "an IPv4 address"),
    (_VCH, "spec.template.images", [], _NONE),
    (_VCH, "spec.template.images", ["photon", "photon"], _IN_ORDER_TWICE),
    (_VCH, "spec.template.images[*]", "Photon", _NAME),
    (_VCH, "spec.template.classes", ["small", "small"], _TWICE),
    (_VCH, "spec.template.classes[*]", "quite small", _NAME),
    (_VCH, "spec.parents.prewarm", "yes", "must be of type boolean"),
    (_VCH, "spec.parents.maxConcurrent", 0, "greater than or equal to 1"),
    (_VCH, "spec.parents.maxAgeSeconds", -1, "greater than or equal to 0"),
    (_VCH, "spec.sharing", "Cluster", 'supported values: "VCH", "Namespace"'),
    (_VCH, "spec.limits.cpu", "many", _QUANTITY),
    (_VCH, "spec.limits.cpu", 0, "more than 0"),
    (_VCH, "spec.limits.memory", "-1Gi", _QUANTITY),
    (_VCH, "spec.limits.memory", "256GB", _QUANTITY),
    (_VCH, "spec.limits.pods", 0, "greater than or equal to 1"),
    (_VCH, "spec.registries.mirrors", [_MIRROR, _MIRROR], _TWICE),
    (_VCH, "spec.registries.mirrors[*].registry", "https://registry.example", _HOST),
    (_VCH, "spec.registries.mirrors[*].endpoints", ["https://m.example", "https://m.example"], _IN_ORDER_TWICE),
    (_VCH, "spec.registries.mirrors[*].endpoints[*]", "mirror.example:5000", _URL),
    (_VCH, "spec.registries.insecure", ["r.example", "r.example"], _TWICE),
    (_VCH, "spec.registries.insecure[*]", "registry.example/path", _HOST),
    (_VCH, "spec.registries.caBundleRef.kind", "configmap", 'supported values: "ConfigMap", "Secret"'),
    (_VCH, "spec.registries.caBundleRef.name", "CA", _NAME),
    (_VCH, "spec.registries.caBundleRef.key", "", _EMPTY),
    (_VCH, "spec.proxy.httpProxy", "proxy.example:3128", _URL),
    (_VCH, "spec.proxy.httpsProxy", "socks5://proxy.example", _URL),
    (_VCH, "spec.proxy.noProxy", "localhost, .example", "separated by commas, without spaces"),
)

_NODE: tuple[Row, ...] = (
    (_VCH, "metadata.name", "x" * 64, "may not be more than 63"),
    (_VCH, "spec.node.address", "node-1", "an IPv4 address"),
    (_VCH, "spec.node.address", "2001:db8::10", "an IPv4 address"),
    (_VCH, "spec.node.labels", {"two words": "x"}, "a key is a name of at most 63"),
    (_VCH, "spec.node.labels[*]", "two words", "a value has at most 63"),
    (_VCH, "spec.node.annotations", {"example.com/": "x"}, "a key is a name of at most 63"),
    (_VCH, "spec.node.annotations[*]", 7, _TEXT),
    (_VCH, "spec.node.taints", [_TAINT, _TAINT], _TWICE),
    (_VCH, "spec.node.taints[*].key", "two words", "a key is a name of at most 63"),
    (_VCH, "spec.node.taints[*].value", "-", "a value has at most 63"),
    (_VCH, "spec.node.taints[*].effect", "Sometimes", "supported values"),
    (_VCH, "spec.deletionPolicy", "Forget", 'supported values: "Drain", "Orphan", "Refuse"'),
    (_VCH, "spec.colour", "blue", 'unknown field "spec.colour"'),
)

_CLASS: tuple[Row, ...] = (
    ("PodVMClass", "metadata.name", "x" * 64, "may not be more than 63"),
    ("PodVMClass", "spec.cpus", 0, "greater than or equal to 1"),
    ("PodVMClass", "spec.cpus", 129, "less than or equal to 128"),
    ("PodVMClass", "spec.cpus", "2", "must be of type integer"),
    ("PodVMClass", "spec.memory", "1GB", _QUANTITY),
    ("PodVMClass", "spec.memory", "0", "more than 0"),
    ("PodVMClass", "spec.memory", "1023Mi", "multiples of 4Mi"),
    ("PodVMClass", "spec.overhead.cpu", "-1", _QUANTITY),
    ("PodVMClass", "spec.overhead.cpu", 2, "cpus must be more than overhead.cpu"),
    ("PodVMClass", "spec.overhead.memory", "little", _QUANTITY),
    ("PodVMClass", "spec.overhead.memory", "1Gi", "memory must be more than overhead.memory"),
    ("PodVMClass", "spec.image", "Photon", _NAME),
    ("PodVMClass", "spec.runtimeClassNames", ["vch", "vch"], _TWICE),
    ("PodVMClass", "spec.runtimeClassNames[*]", "VCH", _NAME),
    ("PodVMClass", "spec.standby", 101, "less than or equal to 100"),
    ("PodVMClass", "spec.description", _TOO_LONG, "may not be more than 1024"),
    ("PodVMClass", "spec.colour", "blue", 'unknown field "spec.colour"'),
)

_IMAGE: tuple[Row, ...] = (
    ("image", "metadata.name", "x" * 64, "may not be more than 63"),
    ("image", "spec", {}, "exactly one of source and fork"),
    ("image", "spec.fork", {"from": "photon"}, "exactly one of source and fork"),
    ("image", "spec.source", {}, "exactly one of inventoryTemplate"),
    ("library image", "spec.source.inventoryTemplate", "photon", "exactly one of inventoryTemplate"),
    ("image", "spec.source.inventoryTemplate", "", _EMPTY),
    ("library image", "spec.source.contentLibraryItem.library", "", _EMPTY),
    ("library image", "spec.source.contentLibraryItem.item", " ova", _INVENTORY),
    ("OVA image", "spec.source.ova.url", "file:///photon.ova", _URL),
    ("OVA image", "spec.source.ova.sha256", "ABCD", "64 hexadecimal digits"),
    ("image", "spec.preloadImages", ["busybox", "busybox"], _TWICE),
    ("image", "spec.preloadImages[*]", "docker pull nginx", "an image reference"),
    ("fork", "spec.fork.from", "Photon", _NAME),
    ("fork", "spec.fork.from", "schema-test", "spec.fork.from is the image itself"),
    ("fork", "spec.fork.kernelParameters", ["quiet", "quiet"], _IN_ORDER_TWICE),
    ("fork", "spec.fork.kernelParameters[*]", "panic = 5", "name or name=value"),
    ("fork", "spec.fork.sysctls", {"somaxconn": "1024"}, "a sysctl is named as in net.core.somaxconn"),
    ("fork", "spec.fork.sysctls[*]", 1024, _TEXT),
    ("fork", "spec.fork.sysctls[*]", "1\n2", "one line"),
    ("fork", "spec.fork.kernelModules", ["dummy", "dummy"], _TWICE),
    ("fork", "spec.fork.kernelModules[*]", "/lib/dummy.ko", "the name of a kernel module"),
    ("fork", "spec.fork.files", [_FILE, _FILE], _TWICE),
    ("fork", "spec.fork.files[*].path", "etc/x", "an absolute path"),
    ("fork", "spec.fork.files[*].path", "/etc/../x", "without . and .."),
    ("fork", "spec.fork.files[*].content", _TOO_LONG, "may not be more than 32768"),
    ("fork", "spec.fork.files[*].mode", "rwxr-xr-x", "may not be more than 4"),
    ("fork", "spec.fork.files[*].mode", "0999", "four octal digits"),
    ("image", "spec.colour", "blue", 'unknown field "spec.colour"'),
)

_PARENT: tuple[Row, ...] = (
    ("ParentVM", "spec.vch", "VCH", _NAME),
    ("ParentVM", "spec.host", "", _EMPTY),
    ("ParentVM", "spec.class", "", _EMPTY),
    ("ParentVM", "spec.image", "Photon", _NAME),
    ("ParentVM", "spec.namespace", "team_a", _NAME),
    ("ParentVM", "spec.colour", "blue", 'unknown field "spec.colour"'),
)

ROWS: tuple[Row, ...] = (*_VCENTER, *_GUESTS, *_NODE, *_CLASS, *_IMAGE, *_PARENT)
