"""What the parents of a VCH are told of Services is what their clones are told by."""

from provider import guest_setup
from provider.api.supplies import Proxy, Registries


def test_guests_are_told_of_services_where_their_parents_run_kube_proxy() -> None:
    told = guest_setup.common(Registries(), None, Proxy(), service_routing="Guest")
    assert told == {"serviceRouting": "Guest"}
    assert guest_setup.routes_services(told)
    for otherwise in ("None", ""):
        assert not guest_setup.routes_services(
            guest_setup.common(Registries(), None, Proxy(), service_routing=otherwise)
        )
