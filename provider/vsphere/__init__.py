"""The seam to vSphere: the only package that speaks pyVmomi.

session     a login, and the one hop from asyncio to pyVmomi's blocking calls
faults      vim faults → `provider.errors`
configspec  what is sent: clone spec, pin (pure)
placement   names of the VCH's spec → morefs
picture     what the property collector told, as pod VMs and tasks (pure)
watch       one property collector, waiting for changes
tasks       outcomes of tasks, as the watch sees them
vcenter     all of it together: `podvm.VSphere`
"""
