"""What is asked of the kubelet API: only what is listed is served, and each thing takes its right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.kubelet.routes import Action, Route, Unroutable, route

POD = "/default/web/main"


@pytest.mark.parametrize(
    ("method", "target", "action", "verb", "right"),
    [
        ("GET", f"/containerLogs{POD}?follow=true", Action.LOGS, "get", "proxy"),
        ("GET", f"/exec{POD}?command=ls", Action.EXEC, "create", "proxy"),
        ("POST", f"/exec{POD}?command=ls", Action.EXEC, "create", "proxy"),
        ("GET", f"/attach{POD}", Action.ATTACH, "create", "proxy"),
        ("GET", "/portForward/default/web?port=80", Action.PORT_FORWARD, "create", "proxy"),
        ("GET", "/pods", Action.PODS, "get", "pods"),
        ("GET", "/stats/summary", Action.SUMMARY, "get", "stats"),
        ("GET", "/metrics", Action.METRICS, "get", "metrics"),
        ("GET", "/metrics/resource", Action.METRICS_RESOURCE, "get", "metrics"),
        ("GET", "/healthz", Action.HEALTHZ, "get", "healthz"),
    ],
)
def test_each_action_has_its_right(method: str, target: str, action: Action, verb: str, right: str) -> None:
    found = route(method, target)
    assert isinstance(found, Route)
    assert (found.action, found.verb, found.subresources[0]) == (action, verb, right)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/run/default/web/main",
        "/configz",
        "/debug/pprof/",
        "/logs/",
        "/checkpoint/default/web/main",
        "/exec/default/web",
        "/exec/default//main",
        "/exec/default/..%2f..%2fsecrets/main",
        "/exec/default/web/uid/main/more",
        "/containerLogs/default/web/uid/main",
        "//pods",
        "//node/pods",
        "//[node",
        "https://node/pods",
        "https://[node/pods",
        "node:10250",
        "*",
        "/pods#",
        "/pods/../configz",
        "/metrics/cadvisor/more",
        "/exec/default/web/main%3Fstdin=1",
        "/exec/default/web/main%23",
        "/exec/default/web/main%20x",
        "/exec/default/web/%0d%0aHost:%20a",
        "/exec/default/web/main%00",
        "/exec/default/web/%ff",
        "/exec/default/web/%2561",
        "/exec/default/web/..",
        "/exec/../web/main",
        "/exec/default/web/../main",
        "/exec/default/web/%2e%2e/main",
        "/exec/default/web/.hidden",
        "/exec/Default/web/main",
        "/portForward/default/web/uid/main",
        "/portForward/default",
        "/EXEC/default/web/main",
        "/%65xec/default/web/main/more/and/more",
    ],
)
def test_what_is_not_served_needs_the_highest_right_to_be_told_so(target: str) -> None:
    found = route("GET", target)
    assert isinstance(found, Unroutable)
    assert found.subresources == ("proxy",)


@given(st.text(alphabet="/.%2efabc:[]?#&=;@ ", min_size=1))
def test_no_target_is_a_defect_and_what_is_understood_is_simple(target: str) -> None:
    for start in ("", "/exec/", "/exec/default/web/", "/pods"):
        found = route("GET", start + target)
        if isinstance(found, Route) and found.target:
            path = found.target.partition("?")[0]
            assert not set(path) & set("%?#;@: []")
            assert ".." not in path.split("/")


@pytest.mark.parametrize("action", ["exec", "attach", "portForward"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE"])
def test_whoever_runs_something_needs_create_whatever_the_method(action: str, method: str) -> None:
    found = route(method, f"/{action}/default/web" + ("/main" if action != "portForward" else ""))
    assert (found.verb, found.subresources) == ("create", ("proxy",))
    assert isinstance(found, Route) is (method in ("GET", "POST"))


def test_a_pods_uid_may_stand_behind_its_name() -> None:
    found = route("POST", "/exec/default/web/0a1b-2c/main?command=ls&command=-l&command=%2F%26&stdin=1&evil=1")
    assert isinstance(found, Route)
    assert (found.namespace, found.pod, found.uid, found.container) == ("default", "web", "0a1b-2c", "main")
    assert found.target == "/exec/default/web/0a1b-2c/main?command=ls&command=-l&command=%2F%26&stdin=1"


def test_the_first_name_behind_a_ports_pod_is_its_uid() -> None:
    found = route("GET", "/portForward/default/web.example/0a1b?port=80")
    assert isinstance(found, Route)
    assert (found.pod, found.uid, found.container) == ("web.example", "0a1b", "")


@pytest.mark.parametrize(("method", "target"), [("TRACE", "/pods"), ("POST", "/pods"), ("DELETE", f"/exec{POD}")])
def test_a_method_that_is_not_served(method: str, target: str) -> None:
    found = route(method, target)
    assert isinstance(found, Unroutable)
    assert found.status == 405


def test_only_parameters_that_the_kubelet_knows_reach_it() -> None:
    found = route("GET", f"/containerLogs{POD}?tailLines=1&evil=1&tailLines=2%262")
    assert isinstance(found, Route)
    assert found.target == f"/containerLogs{POD}?tailLines=1&tailLines=2%262"
