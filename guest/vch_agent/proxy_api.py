"""kube-proxy's API server: Services, EndpointSlices, ServiceCIDRs and its own Node, to read only.

Beside `api_server`, the kubelet's, with a token and a store of its own, so that nothing that the Pod is given can be
read here. kube-proxy's events are about its own Node: nobody's business outside.
"""

import asyncio

from . import reads
from .api_server import described, retry
from .http_server import HTTPError, Request, Response
from .resources import NODES, parse_path
from .service_routes import ROUTED, ServiceRoutes

_HOLD = 10.0
"""Seconds a request waits for the provider before 503: sooner served than after a back-off."""
_SERVED = (*ROUTED, NODES)


class ProxyAPI:
    """The handler of `http_server`."""

    def __init__(self, routes: ServiceRoutes) -> None:
        self._routes = routes

    async def handle(self, request: Request) -> Response:
        """Answer one request. Raises HTTPError."""
        target = parse_path(request.path)
        if target is None:
            return described(request)
        if target.plural == "events" and request.method == "POST":
            return Response(201, reads.body(request))
        resource = target.resource
        if resource is None or resource not in _SERVED:
            raise HTTPError(404, f"{request.path}: kube-proxy is not served this resource")
        if request.method != "GET":
            raise HTTPError(405, f"{request.method} of {target.plural} is not served in a pod VM")
        if resource is not NODES:
            try:
                async with asyncio.timeout(_HOLD):
                    await self._routes.known.wait()
            except TimeoutError:
                raise retry("the provider has not said yet which Services there are") from None
        return reads.read(self._routes.store, resource, request, target)
