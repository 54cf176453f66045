"""What parents are made from: a template, or any VM that is there to be cloned.

Templates that are not in the inventory yet are brought there by `content_library` and `ova`.
"""

from dataclasses import replace
from typing import Any

from pyVmomi import vim

from provider.errors import TemplateNotFound
from provider.parentvm import Placement
from provider.vsphere import cards
from provider.vsphere.inventory import Entry, choose, everything, these
from provider.vsphere.session import Session


async def find(session: Session, placement: Placement, name: str) -> Entry:
    """With its networks. Raises TemplateNotFound, AmbiguousName, TemplateUnsuitable."""
    datacenter = session.object(vim.Datacenter, placement.datacenter)
    return await session.call("RetrieveInventory", lambda: _suitable(session.content, datacenter, name))


def _suitable(content: Any, datacenter: Any, name: str) -> Entry:
    chosen = _find(content, datacenter, name)
    # Devices are much to read, and only this one's matter.
    found = these(content, vim.VirtualMachine, [chosen.object], cards.DEVICES, "network")
    if not found:
        raise TemplateNotFound(f"the template {name!r} is gone from the inventory")
    cards.of_template(chosen.name, found[0].properties.get(cards.DEVICES) or ())
    return replace(chosen, properties={**chosen.properties, "network": found[0].properties.get("network") or ()})


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
