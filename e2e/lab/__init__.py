"""The laboratory: a Kubernetes control plane, a vCenter simulator with real guests and the operator, on one machine.

Everything of one checkout lives in one network namespace of its own, so that checkouts do not disturb each other and
nothing leaks. In the order in which a start goes through them:

    paths      where things are: checkout, `.run`, state, cache
    packages   what the machine must have, and how it gets it
    venv       the Python environment, from `requirements.lock`
    cache      what is expensive to make is made once
    build      Go programs and guest images, through the cache
    netns      the namespace, its bridge and addresses
    process    programs that outlive the one that started them
    forward    the same ports inside and outside of the namespace
    cluster    a Kubernetes cluster: `local` (controlplane) or `kind`
    cluster_dns  its DNS server, beside it
    simulator  the vCenter and its frozen parent VMs
    vch_operator  the operator, and what it needs of the cluster
    demo       the demonstration

Only the standard library is used: the system's Python must be able to run it before anything is installed.
"""
