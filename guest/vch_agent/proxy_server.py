"""kube-proxy's side of the agent: its API server in the gateway namespace, and what it is started with.

A part of `pod_vm`, for machines in which Services are routed; in others it is never started. What kube-proxy is told
is in `routes`, which the feed writes to either way.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import files, proxyconfig
from .api_server import bearer
from .http_server import HTTPServer
from .proxy_api import ProxyAPI
from .proxyconfig import Gateway
from .service_routes import ServiceRoutes


class ProxyServer:
    """`run`: the agent's folder in tmpfs."""

    def __init__(self, run: Path) -> None:
        self.routes = ServiceRoutes()
        self._run = run
        self._node = ""
        self._http: HTTPServer | None = None

    @property
    def started(self) -> bool:
        """Whether kube-proxy is to run here."""
        return self._http is not None

    @property
    def warm(self) -> bool:
        """Whether kube-proxy, if there is one, has all and waits for changes."""
        return not self.started or self.routes.watched()

    @property
    def port(self) -> int:
        assert self._http is not None
        return self._http.port

    async def start(self, gateway: Gateway, node: str) -> None:
        """Answer kube-proxy, and write what it starts from. Raises OSError."""
        self._node = node
        self.routes.own_node(node)
        token = files.secret(self._run / "proxy-token")
        self._http = HTTPServer(ProxyAPI(self.routes).handle, bearer(token, "kube-proxy"))
        await self._http.listen(gateway.listen(proxyconfig.ADDRESS, proxyconfig.PORT))
        proxyconfig.write(self._run, node, token)

    def nodes_fed(self, nodes: Iterable[dict[str, Any]]) -> None:
        """The kubelet's Node: its labels are kube-proxy's too."""
        if self.started:
            for node in nodes:
                self.routes.own_node(self._node, node["metadata"].get("labels"))

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        if self._http is not None:
            await self._http.close()
