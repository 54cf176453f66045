"""The seam to vSphere: the only package that speaks pyVmomi.

session          a login, and the one hop from asyncio to blocking calls
faults           vim faults → `provider.errors`
inventory        objects by name, inventory path or managed object ID
placement        names of the VCH's spec → morefs
isolation        whether a port group keeps its ports apart
privileges       what the account has to be allowed, and is not
templates        what parents are made from
content_library  … out of a content library, over `rest`
ova_import       … out of an `ova` from the web
cards            the two network cards of pod VMs
parents          what a full clone has to know of its source
configspec       what is sent: clone specs, pin, binding (pure)
blame            whose state a fault speaks of
picture          what the property collector told, as VMs, hosts, pool and tasks (pure)
watch            one property collector, waiting for changes
tasks            outcomes of tasks, as the watch sees them
vcenter          all of it together: `podvm.VSphere`
"""
