"""The API group `vch.dev` as the API server stores it: one module for each kind, and what they share.

    fields       names, quantities, addresses, lists: the types that fields are made of, with their rules
    conditions   conditions as every kind has them, and which types each kind knows
    vcenter      the vCenter and the place in its inventory (parts of a VirtualContainerHost)
    supplies     network, registries, proxy: what guests are given (parts of a VirtualContainerHost)
    pod_network  the network of the Pods themselves (part of a VirtualContainerHost)
    node         the virtual node (part of a VirtualContainerHost)
    vch          VirtualContainerHost
    vm_class     PodVMClass
    image        PodVMImage
    parent       ParentVM

Models only, without behaviour: they parse what the API server has admitted, and `provider.crd` (the neighbour) makes
the CustomResourceDefinitions of them. What a model accepts must never be less than what its schema admits.
"""
