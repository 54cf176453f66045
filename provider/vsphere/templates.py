"""What parents are made from: a template, or any VM that is there to be cloned.

Templates that are not in the inventory yet are brought there by `content_library` and `ova`.
"""

from typing import Any

from pyVmomi import vim

from provider.errors import TemplateNotFound
from provider.parentvm import Placement
from provider.vsphere.inventory import Entry, choose, everything
from provider.vsphere.session import Session


async def find(session: Session, placement: Placement, name: str) -> Entry:
    """Raises TemplateNotFound, AmbiguousName."""
    datacenter = session.object(vim.Datacenter, placement.datacenter)
    return await session.call("RetrieveInventory", lambda: _find(session.content, datacenter, name))


def _find(content: Any, datacenter: Any, name: str) -> Entry:
    vms = everything(content, vim.VirtualMachine, datacenter, "config.template", "runtime.powerState")
    try:
        return choose(content, vms, name, "template", TemplateNotFound)
    except TemplateNotFound:
        # Of all VMs, those that somebody might have meant.
        resting = [vm for vm in vms if is_template(vm) or vm.properties.get("runtime.powerState") == "poweredOff"]
        return choose(content, resting, name, "template", TemplateNotFound)


async def mark(session: Session, moref: str) -> None:
    """Make a VM that is off a template: nobody can power it on by mistake then."""
    vm = session.object(vim.VirtualMachine, moref)
    await session.call("MarkAsTemplate", vm.MarkAsTemplate)


def is_template(vm: Entry) -> bool:
    return bool(vm.properties.get("config.template"))
