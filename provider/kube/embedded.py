"""kopf as a part of this process: several operators, each with a registry and settings of its own, in one event loop.

What is watched and what is done with it is decided by whoever brings the registry (`pod_watch`, `handlers`).
"""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import Any, cast

import kopf
from kubernetes.aio import client

_WATCH_SECONDS = 300
_CONNECT_SECONDS = 10


def settings() -> kopf.OperatorSettings:
    """What all our operators have in common: nothing is posted as events, silent watches do not stay unnoticed, and the
    end of one is not the process': kopf would send SIGKILL ten minutes after it."""
    made = kopf.OperatorSettings()
    made.process.ultimate_exiting_timeout = None
    made.posting.enabled = False
    made.watching.server_timeout = _WATCH_SECONDS
    made.watching.client_timeout = _WATCH_SECONDS + 30
    made.watching.connect_timeout = _CONNECT_SECONDS
    made.networking.connect_timeout = _CONNECT_SECONDS
    return made


async def run(
    registry: kopf.OperatorRegistry,
    settings: kopf.OperatorSettings,
    configuration: client.Configuration,
    on_started: Callable[[], None],
) -> None:
    """Until cancelled. `on_started` is called when kopf has taken over the process' signals: take them back there."""

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection_info(configuration)

    ready = asyncio.Event()
    operator = asyncio.create_task(_operate(registry, settings, ready))
    starting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({operator, starting}, return_when=asyncio.FIRST_COMPLETED)
        on_started()
        await operator
    finally:
        starting.cancel()
        operator.cancel()
        await asyncio.gather(operator, starting, return_exceptions=True)


_IDENTITY = "virtual-kubelet-vch"
"""For kopf's peering, which is not used. Else kopf looks for the user's name, which a container's need not have."""


class _Everything(Collection[Any]):
    """Contains whatever is asked for."""

    def __contains__(self, _: object) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


async def _operate(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, ready: asyncio.Event) -> None:
    """`kopf.operator`, but for its end: that one cancels all tasks of the loop that are younger than the operator. In
    this process those are other virtual nodes', and the campaigns that have to give their Leases back."""
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=settings,
        identity=cast("Any", _IDENTITY),
        standalone=True,
        clusterwide=True,
        ready_flag=ready,
    )
    await kopf.run_tasks(tasks, ignored=_Everything())


async def connection_info(configuration: client.Configuration) -> kopf.ConnectionInfo:
    """The kubernetes package's configuration in kopf's words; a token that rotates is read anew at each login."""
    header: str | None = await configuration.get_api_key_with_prefix("BearerToken")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
