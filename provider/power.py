"""Whether a VM is on: the one word that pod VMs (`podvm`) and parents (`parentvm`) share."""

from enum import StrEnum


class PowerState(StrEnum):
    """vSphere's own words."""

    ON = "poweredOn"
    OFF = "poweredOff"
    SUSPENDED = "suspended"
