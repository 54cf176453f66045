"""NetworkPolicies (networking.k8s.io/v1) for the Pods of a virtual node: from objects to a firewall for each Pod. Pure.

    policies, facts ─► cluster ─► judgement ─► firewall ─► message ─► the guest (`vch_agent.policy`)

`policies` and `facts` read the API's objects, `cluster` keeps the Pods that policies can name, `subjects` knows whom of
ours a change concerns, `judgement` puts a Pod's
firewall together, `message` is how a guest is told. What is watched, and when, is `kube.policy_watch`. The rules are
enforced in the guest's gateway, out of the workload's reach: at the Pod's own end of each connection, as the API wants
it ("both the egress policy on the source pod and the ingress policy on the destination pod need to allow").
"""

from provider.network_policy.cluster import Cluster
from provider.network_policy.facts import PodFacts, pod_facts
from provider.network_policy.firewall import Firewall
from provider.network_policy.judgement import firewall_of, selecting
from provider.network_policy.message import firewall_object
from provider.network_policy.policies import PodPeers, Policy, parse_policy
from provider.network_policy.subjects import Subjects

__all__ = [
    "Cluster",
    "Firewall",
    "PodFacts",
    "PodPeers",
    "Policy",
    "Subjects",
    "firewall_object",
    "firewall_of",
    "parse_policy",
    "pod_facts",
    "selecting",
]
