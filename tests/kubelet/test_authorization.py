"""Who may use the kubelet API: only a clear yes of the API server is a yes."""

import pytest

from provider.errors import KubeUnavailable
from provider.kube.reviews import UserInfo
from provider.kubelet import authorization
from provider.kubelet.authorization import ALLOWED_CACHE, DENIED_CACHE, Authorizer
from provider.kubelet.routes import route
from tests.fake_clock import FakeClock

POD = "/default/web/main"


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
    reviewer, clock = Reviewer(("get", "stats")), FakeClock(0.0)
    authorizer = Authorizer(reviewer, "vch", clock.monotonic)
    allowed, denied = route("GET", "/stats/summary"), route("GET", "/metrics/resource")
    for instant, asked in ((0.0, 2), (DENIED_CACHE - 1, 2), (DENIED_CACHE + 1, 3), (ALLOWED_CACHE + 1, 5)):
        clock.advance(instant - clock.monotonic())
        assert await authorizer.allows(USER, allowed)
        assert not await authorizer.allows(USER, denied)
        assert reviewer.asked == asked, instant


async def test_a_right_that_is_given_later_counts_when_the_no_is_forgotten() -> None:
    reviewer, clock = Reviewer(), FakeClock()
    authorizer = Authorizer(reviewer, "vch", clock.monotonic)
    assert not await authorizer.allows(USER, route("GET", "/stats/summary"))
    reviewer.allowed = (("get", "stats"),)
    clock.advance(DENIED_CACHE)
    assert await authorizer.allows(USER, route("GET", "/stats/summary"))


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
