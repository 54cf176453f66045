"""Whose state an InvalidState speaks of. Asked only after such a fault.

vSphere raises the same one for a host in maintenance as for a VM that is off or not frozen (API reference of
InstantClone_Task), and the remedies are different.
"""

from pyVmomi import vim

from provider.errors import HostUnavailable
from provider.vsphere.faults import moref
from provider.vsphere.session import Session


async def check_host(session: Session, host: str) -> None:
    """Raises HostUnavailable if it is the host."""
    system = session.object(vim.HostSystem, host)
    name, maintenance, connection = await session.call(
        "RetrieveProperties",
        lambda: (system.name, system.runtime.inMaintenanceMode, str(system.runtime.connectionState)),
    )
    if maintenance:
        raise HostUnavailable(f"the host {name} is in maintenance mode")
    if connection != "connected":
        raise HostUnavailable(f"the host {name} is {connection}")


async def check_vm(session: Session, vm: str) -> bool:
    """Raises HostUnavailable if it is the host of a VM; else: whether the VM is on."""
    machine = session.object(vim.VirtualMachine, vm)
    power, host = await session.call(
        "RetrieveProperties", lambda: (str(machine.runtime.powerState), moref(machine.runtime.host))
    )
    await check_host(session, host)
    return power == "poweredOn"
