"""The account that the README describes: a login of a test's own that may do what is listed there, and nothing else."""

import re
from collections.abc import Mapping, Sequence

from e2e.lab import paths, simulator
from e2e.tests.own_vch import OwnVCH
from e2e.tests.vcenter_control import VCenterControl

USER, PASSWORD = "tenant", "a password"
TEMPLATE = "/DC0/vm/template-native"
DATASTORE = "LocalDS_0"

Role = Mapping[str, Sequence[str]]
"""Privileges by inventory path."""


def documented(vch: OwnVCH) -> dict[str, list[str]]:
    """The README's table, for a VCH that names its datastore and its port groups, and whose image is a template."""
    where = {
        "the VCH's folder (propagating)": [vch.folder],
        "the resource pool": [simulator.POOL],
        "the datastore, if it is named": [f"/DC0/datastore/{DATASTORE}"],
        "the port groups; where one is not named, the template's networks": [
            f"/DC0/network/{simulator.MANAGEMENT}",
            f"/DC0/network/{simulator.PODS}",
        ],
        "a template": [TEMPLATE],
    }
    text = (paths.here().checkout / "README.md").read_text()
    _, _, table = text.partition("| on | privileges |\n")
    rows = [line.strip("| ").split(" | ") for line in table.split("\n\n")[0].splitlines()[1:]]
    assert [on for on, _ in rows] == list(where), "the README's table is another one"
    return {path: _privileges(told) for on, told in rows for path in where[on]}


def without(role: Role, path: str, privilege: str) -> Role:
    """The role without one privilege on one object."""
    return {at: [each for each in given if (at, each) != (path, privilege)] for at, given in role.items()}


def restrict(vcenter: VCenterControl, role: Role) -> None:
    """The account exists, and may do this."""
    vcenter.logins(**{USER: PASSWORD})
    vcenter.privileges(USER, role)


def _privileges(told: str) -> list[str]:
    """`A.B.C`, `.D` is A.B.C and A.B.D; what is in brackets is of other circumstances."""
    found: list[str] = []
    for name in re.findall(r"`([\w.]+)`", re.sub(r"\(.*?\)", "", told)):
        found.append(found[-1].rpartition(".")[0] + name if name.startswith(".") else name)
    return found
