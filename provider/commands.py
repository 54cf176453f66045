"""Commands that look and end, for the chart's hooks: `uninstall` before the operator goes, `check` for `helm test`.

They speak to the API server alone, by the kubeconfig or the service account that the operator would use, and run none
of the operator's parts: what has to be undone is undone by the operator, which is waited for.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from provider import errors
from provider.api import image, parent, vch, vm_class
from provider.api.fields import GROUP, VERSION
from provider.kube.client import KubeClient, KubeObject, path

NAMES = ("uninstall", "check")

FAILED, USAGE = 1, 2
_AGAIN = 2.0
"""Seconds between looks: what the operator does meanwhile takes longer, and these commands run once in a while."""
_API = f"{GROUP}/{VERSION}"
_KINDS = (vch.PLURAL, vm_class.PLURAL, image.PLURAL, parent.PLURAL)


class NotYet(Exception):
    """Each argument is a line: what is still missing."""


def main(arguments: Sequence[str]) -> int:
    """The exit code of `NAMES` with their flags."""
    given = _parser().parse_args(arguments)
    return asyncio.run(_connected(given))


async def _connected(given: argparse.Namespace) -> int:
    try:
        client = await KubeClient.connect(given.kubeconfig)
    except Exception as error:
        _say(f"no usable kubeconfig or service account: {error}")
        return USAGE
    try:
        if given.command == "check":
            return await check(client, given.timeout)
        return await uninstall(client, given.policy, given.timeout)
    finally:
        await client.close()


async def uninstall(client: KubeClient, policy: str, within: float) -> int:
    """`refuse`: fails while there are VirtualContainerHosts. `drain`: deletes them and waits until they, and their
    parents, are gone: the operator ends their Pods and VMs, and takes its finalizer off."""
    found = await _listed(client, vch.PLURAL)
    if policy == "refuse" and found:
        _say(
            f"There are VirtualContainerHosts: {_names(found)}. Without the operator their VMs and finalizers would be "
            "left. Remedy: kubectl delete virtualcontainerhosts --all (ends their Pods), or preDelete.policy=drain"
        )
        return FAILED

    async def gone() -> str:
        left = [*(await _listed(client, vch.PLURAL)), *(await _listed(client, parent.PLURAL))]
        if left:
            raise NotYet(*(f"still there: {_described(each)}" for each in left))
        return "No VirtualContainerHost is left."

    for each in found:
        await _delete(client, each)
    return await _waited(gone, within)


async def check(client: KubeClient, within: float) -> int:
    """Whether our kinds are served, and every VirtualContainerHost becomes Ready in time."""

    async def well() -> str:
        missing = []
        for plural in _KINDS:
            try:
                found = await _listed(client, plural, missing_is_none=False)
            except errors.KubeError as error:
                missing.append(f"{plural}.{GROUP} cannot be listed: {error}")
                continue
            if plural == vch.PLURAL:
                missing += [_described(each) for each in found if _ready(each).get("status") != "True"]
        if missing:
            raise NotYet(*missing)
        return "The kinds are served, and every VirtualContainerHost is Ready."

    return await _waited(well, within)


async def _waited(look: Callable[[], Awaitable[str]], within: float) -> int:
    """Looks until it is so, or `within` seconds are over."""
    end = time.monotonic() + within
    while True:
        try:
            _say(await look())
            return 0
        except NotYet as what:
            missing = [str(line) for line in what.args]
        except errors.KubeError as error:
            missing = [f"the API server: {error}"]
        if time.monotonic() >= end:
            for line in missing:
                _say(line)
            return FAILED
        await asyncio.sleep(min(_AGAIN, max(0.0, end - time.monotonic())))


async def _listed(client: KubeClient, plural: str, *, missing_is_none: bool = True) -> list[KubeObject]:
    """A kind that is not installed has no objects."""
    try:
        return list((await client.request("GET", path(_API, plural))).get("items") or ())
    except errors.KubeNotFound:
        if missing_is_none:
            return []
        raise


async def _delete(client: KubeClient, host: KubeObject) -> None:
    name, uid = host["metadata"]["name"], host["metadata"]["uid"]
    body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
    try:
        await client.request("DELETE", path(_API, vch.PLURAL, name=name), body=body)
    except (errors.KubeNotFound, errors.KubeConflict):
        return
    _say(f"VirtualContainerHost {name} is being deleted")


def _ready(host: KubeObject) -> KubeObject:
    conditions = (host.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == "Ready"), {})


def _described(host: KubeObject) -> str:
    ready = _ready(host)
    why = f": {ready.get('reason')}: {ready.get('message')}" if ready else ""
    return f"{host['metadata']['name']} (Ready {ready.get('status', 'Unknown')}{why})"


def _names(found: Sequence[KubeObject]) -> str:
    return ", ".join(each["metadata"]["name"] for each in found)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="virtual-kubelet-vch")
    commands = parser.add_subparsers(dest="command", required=True)
    about = {"uninstall": "before the operator goes: no VM and no finalizer is left", "check": "whether all is well"}
    for name in NAMES:
        command = commands.add_parser(name, help=about[name], description=about[name])
        command.add_argument("--kubeconfig", type=Path, help="kubeconfig file; without it the Pod's service account")
        command.add_argument("--timeout", type=float, default=300.0, help="seconds to wait (default: 300)")
        if name == "uninstall":
            command.add_argument("--policy", choices=("refuse", "drain"), default="refuse", help="(default: refuse)")
    return parser
