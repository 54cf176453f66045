"""/healthz and /readyz of the operator's process, for a kubelet's probes. What it counts is `metrics`' business.

Both are answered by the event loop that does the work: a loop that hangs answers neither. Alive is a process whose loop
runs; ready is one that has read its catalog, stands for Leases, and to whom the API server answers. A replica without
any Lease is ready too: it would take one. vCenter is no part of it: what is wrong there is said in the conditions of
each VirtualContainerHost.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from provider import errors


class Health:
    """`ask`: a question that the API server answers for the operator. Raises KubeError if it does not."""

    def __init__(self, ask: Callable[[], Awaitable[object]]) -> None:
        self._ask = ask
        self._running = False
        self._runner: web.AppRunner | None = None

    def running(self) -> None:
        """The catalog is read, and virtual nodes can be run."""
        self._running = True

    async def serve(self, address: str) -> None:
        """At host:port, on all addresses without a host; empty: nowhere. Raises OSError, ValueError."""
        if not address:
            return
        host, _, port = address.rpartition(":")
        application = web.Application()
        application.add_routes([web.get("/healthz", self._healthz), web.get("/readyz", self._readyz)])
        self._runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host or None, int(port)).start()

    async def close(self) -> None:
        """Idempotent."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it is served."""
        return [tuple(address[:2]) for address in self._runner.addresses] if self._runner else []

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if not self._running:
            return web.Response(status=503, text="classes and images have not been read yet\n")
        try:
            await self._ask()
        except errors.KubeError as error:
            return web.Response(status=503, text=f"the API server does not answer: {error.reason}\n")
        return web.Response(text="ok\n")
