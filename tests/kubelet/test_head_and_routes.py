"""What is asked of the kubelet API: understood in one way only, or not at all."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider.errors import KubeUnavailable
from provider.kube.reviews import UserInfo
from provider.kubelet import authorization, head
from provider.kubelet.authorization import ALLOWED_CACHE, DENIED_CACHE, Authorizer
from provider.kubelet.head import REQUEST_LIMIT, RESPONSE_LIMIT, BadHead, Request, Response, read_request, read_response
from provider.kubelet.routes import Action, Route, Unroutable, route

POD = "/default/web/main"


async def read(text: bytes) -> Request:
    reader = asyncio.StreamReader()
    reader.feed_data(text)
    reader.feed_eof()
    return await read_request(reader)


@pytest.mark.parametrize(
    "text",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3 * REQUEST_LIMIT + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * REQUEST_LIMIT + b"\r\n",
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /" + b"x" * 3 * REQUEST_LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_a_head_that_can_be_read_in_two_ways_is_no_head(text: bytes) -> None:
    with pytest.raises((BadHead, EOFError)):
        await read(text)


async def test_what_comes_behind_a_head_is_kept() -> None:
    request = await read(b"POST /exec/a/b/c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nEARLY")
    assert (request.method, request.early) == ("POST", b"EARLY")


async def test_a_peer_that_says_nothing_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "HEAD_WITHIN", 0.01)
    reader = asyncio.StreamReader()
    reader.feed_data(b"GET / HTTP/1.1\r\n")
    with pytest.raises(BadHead) as bad:
        await read_request(reader)
    assert bad.value.status == 408


async def test_a_head_that_is_too_large_is_told_so() -> None:
    with pytest.raises(BadHead) as bad:
        await read(b"GET / HTTP/1.1\r\nX: " + b"x" * 3 * REQUEST_LIMIT)
    assert bad.value.status == 431


async def response(text: bytes) -> Response:
    reader = asyncio.StreamReader()
    reader.feed_data(text)
    reader.feed_eof()
    return await read_response(reader, "POST")


async def test_what_a_guest_says_before_its_answer_is_passed_over() -> None:
    found = await response(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody")
    assert (found.status, found.early) == (200, b"body")


async def test_what_comes_behind_an_upgrade_is_the_tunnels() -> None:
    found = await response(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n\x80\x03")
    assert (found.status, found.early) == (101, b"\x80\x03")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x15\x03\x01\x00\x02",
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 3 * RESPONSE_LIMIT + b"\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
async def test_a_guest_that_gives_no_answer_is_known_by_it(text: bytes) -> None:
    with pytest.raises((BadHead, EOFError)):
        await response(text)


@given(st.binary() | st.text(alphabet="GET /HTP1.0:\r\n Host").map(str.encode))
def test_no_bytes_are_a_defect(text: bytes) -> None:
    for parse in (read, response):
        with contextlib.suppress(BadHead, EOFError):
            asyncio.run(parse(text))


async def test_a_header_that_counts_may_be_given_once() -> None:
    request = await read(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: b\r\nAuthorization: c\r\n\r\n")
    with pytest.raises(BadHead):
        request.one("authorization")


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
        "/metrics",
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


class Reviewer:
    """Allows what it is told to; counts how often it is asked."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self.allowed = allowed
        self.asked = 0

    async def review_access(self, user: UserInfo, verb: str, resource: str, subresource: str, name: str) -> bool:
        self.asked += 1
        assert (resource, name) == ("nodes", "vch")
        return (verb, subresource) in self.allowed


USER = UserInfo("jane")


@pytest.mark.parametrize(
    ("rights", "method", "target", "allowed"),
    [
        ([("get", "proxy")], "GET", f"/containerLogs{POD}", True),
        ([("get", "proxy")], "GET", f"/exec{POD}", False),
        ([("create", "proxy")], "GET", f"/exec{POD}", True),
        ([("create", "proxy")], "GET", f"/containerLogs{POD}", False),
        ([("get", "stats")], "GET", "/stats/summary", True),
        ([("get", "stats")], "GET", "/metrics/resource", False),
        ([("get", "pods")], "GET", "/pods", True),
        ([("get", "proxy")], "GET", "/pods", True),
        ([("get", "pods")], "GET", "/configz", False),
        ([], "GET", "/healthz", False),
    ],
)
async def test_a_right_allows_what_it_names_and_nothing_else(
    rights: list[tuple[str, str]], method: str, target: str, allowed: bool
) -> None:
    assert await Authorizer(Reviewer(*rights), "vch").allows(USER, route(method, target)) is allowed


async def test_answers_are_kept_for_as_long_as_a_kubelet_keeps_them() -> None:
    now = [0.0]
    reviewer = Reviewer(("get", "stats"))
    authorizer = Authorizer(reviewer, "vch", lambda: now[0])
    allowed, denied = route("GET", "/stats/summary"), route("GET", "/metrics/resource")
    for instant, asked in ((0.0, 2), (DENIED_CACHE - 1, 2), (DENIED_CACHE + 1, 3), (ALLOWED_CACHE + 1, 5)):
        now[0] = instant
        await authorizer.allows(USER, allowed)
        await authorizer.allows(USER, denied)
        assert reviewer.asked == asked, instant


async def test_an_answer_for_one_user_is_not_another_ones() -> None:
    reviewer = Reviewer(("get", "stats"))
    authorizer = Authorizer(reviewer, "vch")
    for user in (USER, UserInfo("jane", ("admins",)), UserInfo("jane", extra={"scopes": ["x"]}), UserInfo("joe")):
        await authorizer.allows(user, route("GET", "/stats/summary"))
    assert reviewer.asked == 4


async def test_an_error_is_no_answer_and_is_not_kept() -> None:
    class Down(Reviewer):
        async def review_access(self, *args: object) -> bool:
            self.asked += 1
            raise KubeUnavailable("down")

    reviewer = Down()
    authorizer = Authorizer(reviewer, "vch")
    for asked in (1, 2):
        with pytest.raises(KubeUnavailable):
            await authorizer.allows(USER, route("GET", "/stats/summary"))
        assert reviewer.asked == asked


async def test_the_narrow_right_is_asked_for_first_and_the_wide_one_only_without_it() -> None:
    reviewer = Reviewer(("get", "pods"))
    assert await Authorizer(reviewer, "vch").allows(USER, route("GET", "/pods"))
    assert reviewer.asked == 1
    reviewer = Reviewer(("get", "proxy"))
    assert await Authorizer(reviewer, "vch").allows(USER, route("GET", "/pods"))
    assert reviewer.asked == 2


async def test_answers_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization, "_CACHED", 2)
    reviewer = Reviewer(("get", "stats"))
    authorizer = Authorizer(reviewer, "vch")
    for name, asked in (("a", 1), ("b", 2), ("c", 3), ("c", 3), ("a", 4)):
        assert await authorizer.allows(UserInfo(name), route("GET", "/stats/summary"))
        assert reviewer.asked == asked
