"""Who asks the kubelet API: a verified certificate or a token that the API server knows, and nothing else."""

from typing import Any, cast

import pytest

from provider.errors import KubeUnavailable
from provider.kube.reviews import UserInfo
from provider.kubelet import authentication
from provider.kubelet.authentication import TOKEN_CACHE, Authenticator, certificate_user
from provider.kubelet.head import BadHead, Request
from tests.fake_clock import FakeClock


class Reviewer:
    """Knows tokens; counts how often it is asked."""

    def __init__(self, **users: UserInfo) -> None:
        self.users = users
        self.asked: list[str] = []
        self.down = False

    async def review_token(self, token: str) -> UserInfo | None:
        self.asked.append(token)
        if self.down:
            raise KubeUnavailable("down")
        return self.users.get(token)


class TLS:
    """A connection whose peer has shown a certificate, or none."""

    def __init__(self, *subject: tuple[str, str]) -> None:
        self.subject = subject

    def getpeercert(self) -> dict[str, Any] | None:
        return {"subject": tuple((pair,) for pair in self.subject)} if self.subject else None


JANE = UserInfo("jane", ("system:authenticated",))


def asking(*headers: tuple[str, str]) -> Request:
    return Request("GET", "/pods", headers, b"")


def bearing(token: str = "good") -> Request:
    return asking(("authorization", f"Bearer {token}"))


async def ask(authenticator: Authenticator, request: Request, *subject: tuple[str, str]) -> UserInfo | None:
    return await authenticator.user(request, cast("Any", TLS(*subject)))


@pytest.mark.parametrize("value", ["Bearer good", "bearer good", "BEARER good", "Bearer  good "])
async def test_a_token_tells_its_user(value: str) -> None:
    assert await ask(Authenticator(Reviewer(good=JANE)), asking(("authorization", value))) == JANE


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("authorization", ""),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer "),),
        (("authorization", "Basic Z29vZDpnb29k"),),
        (("authorization", "good"),),
        (("authorization", "Bearergood"),),
        (("proxy-authorization", "Bearer good"),),
        (("cookie", "token=good"),),
        (("x-remote-user", "jane"), ("x-remote-group", "system:masters")),
        (("impersonate-user", "jane"),),
        (("sec-websocket-protocol", "base64url.bearer.authorization.k8s.io.Z29vZA"),),
    ],
)
async def test_whoever_shows_no_token_is_nobody_and_nobody_is_asked_about_it(
    headers: tuple[tuple[str, str], ...],
) -> None:
    reviewer = Reviewer(good=JANE)
    assert await ask(Authenticator(reviewer), asking(*headers)) is None
    assert reviewer.asked == []


async def test_a_connection_without_tls_state_has_no_certificate() -> None:
    assert await Authenticator(Reviewer()).user(asking(), None) is None


async def test_two_tokens_are_none() -> None:
    request = asking(("authorization", "Bearer good"), ("authorization", "Bearer other"))
    with pytest.raises(BadHead):
        await ask(Authenticator(Reviewer(good=JANE)), request)


async def test_a_certificate_goes_before_a_token() -> None:
    reviewer = Reviewer(good=JANE)
    user = await ask(Authenticator(reviewer), bearing(), ("commonName", "apiserver"), ("organizationName", "masters"))
    assert user == UserInfo("apiserver", ("masters", "system:authenticated"))
    assert reviewer.asked == []


@pytest.mark.parametrize(
    ("subject", "user"),
    [
        ([("commonName", "jane")], UserInfo("jane", ("system:authenticated",))),
        (
            [("organizationName", "a"), ("commonName", "jane"), ("organizationName", "b")],
            UserInfo("jane", ("a", "b", "system:authenticated")),
        ),
        ([("organizationName", "system:masters")], None),
        ([("commonName", "")], None),
        ([("commonName", "jane"), ("commonName", "joe")], None),
        ([("organizationalUnitName", "x"), ("emailAddress", "jane@example.com")], None),
        ([], None),
    ],
)
def test_a_certificates_name_is_the_user_and_its_organizations_are_the_groups(
    subject: list[tuple[str, str]], user: UserInfo | None
) -> None:
    assert certificate_user({"subject": tuple((pair,) for pair in subject)}) == user


async def test_a_known_token_is_kept_for_two_minutes() -> None:
    reviewer, clock = Reviewer(good=JANE), FakeClock()
    authenticator = Authenticator(reviewer, clock.monotonic)
    for seconds, asked in ((0.0, 1), (TOKEN_CACHE - 1, 1), (1.0, 2), (1.0, 2)):
        clock.advance(seconds)
        assert await ask(authenticator, bearing()) == JANE
        assert len(reviewer.asked) == asked


async def test_a_token_that_was_withdrawn_is_known_to_be_so_after_that() -> None:
    reviewer, clock = Reviewer(good=JANE), FakeClock()
    authenticator = Authenticator(reviewer, clock.monotonic)
    await ask(authenticator, bearing())
    del reviewer.users["good"]
    clock.advance(TOKEN_CACHE)
    assert await ask(authenticator, bearing()) is None


async def test_an_unknown_token_is_asked_about_each_time() -> None:
    reviewer = Reviewer()
    authenticator = Authenticator(reviewer)
    assert await ask(authenticator, bearing()) is None
    reviewer.users["good"] = JANE
    assert await ask(authenticator, bearing()) == JANE


async def test_when_nobody_can_tell_it_is_an_error_and_not_kept() -> None:
    reviewer = Reviewer(good=JANE)
    authenticator = Authenticator(reviewer)
    reviewer.down = True
    with pytest.raises(KubeUnavailable):
        await ask(authenticator, bearing())
    reviewer.down = False
    assert await ask(authenticator, bearing()) == JANE


async def test_tokens_are_told_apart_to_the_last_letter() -> None:
    joe = UserInfo("joe")
    authenticator = Authenticator(Reviewer(good=JANE, goox=joe))
    assert [await ask(authenticator, bearing(token)) for token in ("good", "goox", "goo", "good")] == [
        JANE,
        joe,
        None,
        JANE,
    ]


async def test_what_is_kept_is_bounded_and_holds_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_CACHED", 2)
    reviewer = Reviewer(a=JANE, b=JANE, c=JANE)
    authenticator = Authenticator(reviewer)
    for token in ("a", "b", "c", "c", "a"):
        assert await ask(authenticator, bearing(token)) == JANE
    assert reviewer.asked == ["a", "b", "c", "a"]
    assert len(authenticator._cache) == 2
    assert not {b"a", b"b", b"c"} & authenticator._cache.keys()
