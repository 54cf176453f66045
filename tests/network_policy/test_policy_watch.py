"""Firewalls follow the cluster, no more of which is watched than policies of our Pods name."""

import asyncio
import ipaddress
import random
from typing import Any

import pytest

from provider.kube import policy_watch
from provider.kube.policy_watch import FirewallSubscription, PolicyWatch
from provider.network_policy import Firewall, firewall_of
from provider.network_policy.policies import Protocol
from tests.network_policy.fake_api import NAMESPACES, PODS, POLICIES, FakeAPI
from tests.network_policy.generated import NAMESPACES as GENERATED_NAMESPACES
from tests.network_policy.generated import make_world
from tests.network_policy.objects import firewall, make_namespace, make_peer, make_policy

OURS = make_peer("ours", "10.9.0.1", labels={"app": "db"})
DENY = make_policy("{podSelector: {}, policyTypes: [Ingress]}", "deny")
FROM_WEB = make_policy("{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}", "web")
FROM_TEAM = make_policy("{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: x}}}]}]}", "team")
WEB = make_peer("web", "10.9.0.2", labels={"app": "web"})


class Listener:
    """A Pod's worker, as far as it listens."""

    def __init__(self, watch: PolicyWatch, pod: dict) -> None:
        self.heard = 0
        self.news = asyncio.Event()
        self.subscription: FirewallSubscription = watch.subscribe(pod, self._hear)

    def _hear(self) -> None:
        self.heard += 1
        self.news.set()

    async def next(self) -> Firewall:
        """What it is told next."""
        await self.news.wait()
        self.news.clear()
        assert self.subscription.value is not None
        return self.subscription.value


def enters(found: Firewall | None, peer: str) -> bool:
    assert found is not None
    return found.ingress.allows(ipaddress.ip_address(peer), Protocol.TCP, 80)


async def rounds() -> None:
    """Until all that is under way has been done."""
    await asyncio.sleep(1)


async def test_without_policies_a_pod_is_open_and_nothing_else_is_watched(api: FakeAPI, watch: PolicyWatch) -> None:
    listener = Listener(watch, OURS)
    assert await listener.next() == Firewall()
    await rounds()
    assert api.asked == [f"LIST {POLICIES}", f"WATCH {POLICIES}"]


async def test_a_default_denial_needs_no_pods_and_no_namespaces(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, DENY)
    assert not enters(await Listener(watch, OURS).next(), "10.9.0.2")
    assert api.watched() <= {POLICIES}


async def test_policies_that_select_none_of_ours_cost_nothing(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, make_policy(FROM_TEAM["spec"], namespace="other"))
    assert await Listener(watch, OURS).next() == Firewall()
    await rounds()
    assert api.watched() == {POLICIES}


async def test_pods_are_watched_while_they_are_named(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(PODS, WEB)
    api.put(POLICIES, FROM_WEB)
    listener = Listener(watch, OURS)
    assert enters(await listener.next(), "10.9.0.2")
    await rounds()
    assert api.watched() == {POLICIES, PODS}
    api.delete(POLICIES, FROM_WEB)
    assert await listener.next() == Firewall()
    await rounds()
    assert api.watched() == {POLICIES}


async def test_namespaces_are_watched_while_their_labels_matter(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(PODS, make_peer("p", "10.9.1.2", namespace="other"))
    api.put(NAMESPACES, make_namespace("other", team="y"))
    api.put(POLICIES, FROM_TEAM)
    listener = Listener(watch, OURS)
    assert not enters(await listener.next(), "10.9.1.2")
    api.put(NAMESPACES, make_namespace("other", team="x"))
    assert enters(await listener.next(), "10.9.1.2")
    api.delete(NAMESPACES, make_namespace("other"))
    assert not enters(await listener.next(), "10.9.1.2")
    assert api.watched() == {POLICIES, PODS, NAMESPACES}
    api.delete(POLICIES, FROM_TEAM)
    await rounds()
    assert api.watched() == {POLICIES}


async def test_the_last_pod_ends_all_watches(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, FROM_TEAM)
    one, two = Listener(watch, OURS), Listener(watch, make_peer("second", "10.9.0.7"))
    await one.next()
    one.subscription.close()
    one.subscription.close()
    await rounds()
    assert api.watched() == {POLICIES, PODS, NAMESPACES}
    two.subscription.close()
    await rounds()
    assert api.watched() == set()


@pytest.mark.parametrize("kind", [POLICIES, PODS, NAMESPACES])
async def test_a_firewall_is_unknown_until_all_it_depends_on_has_been_listed(
    api: FakeAPI, watch: PolicyWatch, kind: str
) -> None:
    api.put(POLICIES, FROM_TEAM)
    api.answering[kind].clear()
    listener = Listener(watch, OURS)
    await rounds()
    assert not listener.subscription.known.is_set()
    api.answering[kind].set()
    await listener.next()
    assert listener.subscription.known.is_set()


async def test_a_policy_that_is_about_others_now_lets_a_pod_go(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, DENY)
    listener = Listener(watch, OURS)
    assert not enters(await listener.next(), "10.9.0.2")
    api.put(POLICIES, make_policy("{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}", "deny"))
    assert await listener.next() == Firewall()


async def test_named_ports_of_peers_are_followed(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(NAMESPACES, make_namespace("other"))
    api.put(POLICIES, make_policy("{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}"))
    listener = Listener(watch, OURS)
    await listener.next()
    await rounds()
    peer = ipaddress.ip_address("10.9.1.2")
    for number in (80, 8080):
        api.put(PODS, make_peer("p", "10.9.1.2", namespace="other", ports={"http": number}))
        found = await listener.next()
        assert [found.egress.allows(peer, Protocol.TCP, port) for port in (80, 8080)] == [number == 80, number == 8080]


async def test_a_policy_that_comes_later_takes_effect_when_its_peers_are_known(
    api: FakeAPI, watch: PolicyWatch
) -> None:
    api.put(PODS, WEB)
    listener = Listener(watch, OURS)
    await listener.next()
    await rounds()
    api.put(POLICIES, FROM_WEB)
    found = await listener.next()
    assert enters(found, "10.9.0.2")  # and was never without those that it allows
    assert not enters(found, "10.9.0.3")
    assert listener.heard == 2


async def test_peers_come_change_and_go(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, FROM_WEB)
    listener = Listener(watch, OURS)
    assert not enters(await listener.next(), "10.9.0.2")
    await rounds()
    api.put(PODS, make_peer("web", labels={"app": "web"}, phase="Pending"))
    api.put(PODS, WEB)
    assert enters(await listener.next(), "10.9.0.2")
    api.put(PODS, make_peer("web", "10.9.0.2", labels={"app": "batch"}))
    assert not enters(await listener.next(), "10.9.0.2")
    api.put(PODS, WEB)
    assert enters(await listener.next(), "10.9.0.2")
    api.delete(PODS, WEB)
    assert not enters(await listener.next(), "10.9.0.2")


async def test_what_changes_nothing_is_not_told(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, FROM_WEB)
    api.put(PODS, WEB)
    listener = Listener(watch, OURS)
    await listener.next()
    await rounds()
    api.put(PODS, make_peer("batch", "10.9.0.8"))
    api.put(PODS, make_peer("web", "10.9.3.2", namespace="other", labels={"app": "web"}))
    api.put(PODS, WEB | {"spec": {**WEB["spec"], "priority": 3}})
    api.put(POLICIES, make_policy(FROM_WEB["spec"], "again"))
    await rounds()
    assert listener.heard == 1


async def test_many_changes_at_once_are_told_once(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, FROM_WEB)
    listener = Listener(watch, OURS)
    await listener.next()
    await rounds()
    api.put(PODS, *(make_peer(f"web-{at}", f"10.9.7.{at}", labels={"app": "web"}) for at in range(100)))
    await listener.next()
    await rounds()
    assert enters(listener.subscription.value, "10.9.7.99")
    assert listener.heard <= 3


async def test_only_pods_that_are_concerned_are_told(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, FROM_WEB)
    one, two = Listener(watch, OURS), Listener(watch, make_peer("ours", "10.9.1.1", namespace="other"))
    await one.next()
    await two.next()
    await rounds()
    api.put(PODS, WEB)
    await one.next()
    await rounds()
    assert two.heard == 1


async def test_a_pod_of_ours_that_is_labelled_anew_is_judged_anew(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, make_policy("{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}"))
    listener = Listener(watch, OURS)
    assert enters(await listener.next(), "10.9.0.2")
    listener.subscription.pod_seen(make_peer("ours", "10.9.0.1", labels={"app": "web"}))
    assert not enters(await listener.next(), "10.9.0.2")


async def test_what_went_while_nobody_looked_is_missed_in_the_next_list(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, FROM_WEB)
    api.put(PODS, WEB)
    listener = Listener(watch, OURS)
    assert enters(await listener.next(), "10.9.0.2")
    await rounds()
    del api.objects[PODS][WEB["metadata"]["uid"]]
    api.end_watches({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
    assert not enters(await listener.next(), "10.9.0.2")


async def test_an_ended_watch_goes_on_from_its_last_event(api: FakeAPI, watch: PolicyWatch) -> None:
    listener = Listener(watch, OURS)
    await listener.next()
    await rounds()
    api.end_watches({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}})
    await rounds()
    assert api.asked == [f"LIST {POLICIES}", f"WATCH {POLICIES}", f"WATCH {POLICIES}"]
    assert api.queries[-1]["resourceVersion"] == "77"


async def test_an_api_server_that_is_away_is_asked_until_it_answers(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, DENY)
    api.broken = True
    listener = Listener(watch, OURS)
    await asyncio.sleep(60)
    assert not listener.subscription.known.is_set()
    api.broken = False
    assert not enters(await listener.next(), "10.9.0.2")
    api.broken = True
    api.end_watches()
    await asyncio.sleep(60)
    assert not enters(listener.subscription.value, "10.9.0.2")  # what is known stays known


async def test_lists_come_in_pages(api: FakeAPI, watch: PolicyWatch) -> None:
    api.page = 2
    api.put(POLICIES, FROM_WEB)
    api.put(PODS, *(make_peer(f"web-{at}", f"10.9.7.{at}", labels={"app": "web"}) for at in range(5)))
    found = await Listener(watch, OURS).next()
    assert all(enters(found, f"10.9.7.{at}") for at in range(5))
    assert api.asked.count(f"LIST {PODS}") == 3


async def test_ended_pods_are_not_even_sent(api: FakeAPI, watch: PolicyWatch) -> None:
    api.put(POLICIES, FROM_WEB)
    await Listener(watch, OURS).next()
    selectors = [query.get("fieldSelector") for query in api.queries]
    assert "status.phase!=Succeeded,status.phase!=Failed" in selectors


@pytest.mark.parametrize("seed", range(20))
async def test_a_history_ends_where_a_fresh_start_does(seed: int, api: FakeAPI, watch: PolicyWatch) -> None:
    """Objects are put, changed and deleted by chance; then every firewall is what the objects come to."""
    chance = random.Random(seed)
    ours = [make_peer(f"o{at}", namespace=chance.choice(GENERATED_NAMESPACES), labels={"app": "web"}) for at in (1, 2)]
    listeners = [Listener(watch, pod) for pod in ours]
    for _ in range(12):
        world = make_world(chance)
        for kind, things in ((POLICIES, world.policies), (PODS, world.pods), (NAMESPACES, world.namespaces)):
            for thing in chance.sample(things, chance.randint(0, len(things))):
                if thing["metadata"]["uid"] in api.objects[kind] and chance.random() < 0.3:
                    api.delete(kind, thing)
                else:
                    api.put(kind, thing)
        await asyncio.sleep(chance.choice((0, 0, 0.1, 1)))
    await rounds()
    policies, pods, namespaces = (list(api.objects[kind].values()) for kind in (POLICIES, PODS, NAMESPACES))
    for pod, listener in zip(ours, listeners, strict=True):
        expected = firewall(pod, policies, pods, namespaces or [make_namespace("nowhere")])
        assert listener.subscription.value == expected


class Works:
    """How often a firewall is worked out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        monkeypatch.setattr(policy_watch, "firewall_of", self._work)

    def _work(self, *arguments: Any) -> Firewall:
        self.times += 1
        return firewall_of(*arguments)


async def test_pods_of_the_same_policies_are_worked_out_once(
    api: FakeAPI, watch: PolicyWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(POLICIES, FROM_WEB)
    works = Works(monkeypatch)
    listeners = [Listener(watch, make_peer(f"ours-{at}")) for at in range(50)]
    await rounds()
    api.put(PODS, WEB)
    await rounds()
    assert all(enters(listener.subscription.value, "10.9.0.2") for listener in listeners)
    assert works.times == 2


async def test_nothing_is_worked_out_for_what_concerns_nobody(
    api: FakeAPI, watch: PolicyWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put(POLICIES, FROM_WEB, DENY)
    await Listener(watch, OURS).next()
    await rounds()
    works = Works(monkeypatch)
    for at in range(50):
        api.put(PODS, make_peer(f"batch-{at}", f"10.9.7.{at}"), make_peer("web", f"10.9.8.{at}", namespace=f"n{at}"))
        api.put(POLICIES, make_policy(DENY["spec"], namespace=f"n{at}"))
        await rounds()
    assert works.times == 0
