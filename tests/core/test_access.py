"""Who may use the debug routes: this host, in person, or who has the token."""

from __future__ import annotations

from typing import Any

import pytest

from leakguard._core.access import (
    Bucket,
    Request,
    has_proof,
    is_let_in,
    is_literal,
    joined,
    take,
)

TOKEN = "0123456789abcdef"


def asked(client: str | None = "127.0.0.1", **more: Any) -> Request:  # noqa: ANN401
    headers = {"host": "localhost:8000", **more.pop("headers", {})}
    kept = {name: value for name, value in headers.items() if value is not None}
    return Request("GET", "/debug/memory", headers=kept, client=client, **more)


def enters(request: Request, *, loopback: bool = True) -> bool:
    return is_let_in(request, is_token=lambda given: given == TOKEN, loopback=loopback)


# --- from this host


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_this_host_comes_in(client: str) -> None:
    assert enters(asked(client))
    assert not enters(asked(client), loopback=False)


@pytest.mark.parametrize(
    "client",
    [
        *("10.0.0.1", "172.17.0.1", "::2", "fe80::1", "::ffff:10.0.0.1"),
        *("127.0.0.2", "127.0.0.6", "127.1", "127.0.0.1.example.org", "localhost"),
        *(None, "", "unix:", "/run/app.sock", "testclient", "127.0.0.1, 10.0.0.1"),
    ],
)
def test_nobody_else_comes_in_nor_an_unknown_peer(client: str | None) -> None:
    assert not enters(asked(client))


@pytest.mark.parametrize(
    "name",
    [
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded"),
        *("x-real-ip", "via", "x-client-ip", "cf-connecting-ip", "true-client-ip"),
        *("x-envoy-external-address", "x-original-forwarded-for", "x-amzn-trace-id"),
    ],
)
@pytest.mark.parametrize("value", ["127.0.0.1", "for=127.0.0.1", "localhost", ""])
def test_what_came_through_a_proxy_is_not_from_this_host(name: str, value: str) -> None:
    assert not enters(asked(headers={name: value}))
    assert not enters(asked("::1", headers={name: value}))


def test_a_proxy_that_has_nothing_configured_speaks_http_1_0() -> None:
    assert not enters(asked(http_version="1.0"))
    assert enters(asked(http_version="2"))


@pytest.mark.parametrize(
    ("host", "comes"),
    [
        *(("localhost", True), ("LOCALHOST:80", True), ("127.0.0.1:8000", True)),
        *(("[::1]", True), ("[::1]:8000", True)),
        *((None, False), ("", False), ("evil.example", False), ("0.0.0.0", False)),
        *(("localhost.evil.example", False), ("localhost:80@evil.example", False)),
        *(("localhost,evil.example", False), ("evil.localhost", False)),
        *(("localhost:", False), ("localhost:123456", False), ("localhost\n", False)),
        *(("127.0.0.1.nip.io", False), ("[::1", False), ("::1", False)),
    ],
)
def test_a_name_that_was_bound_to_this_host_does_not_open(
    host: str | None, *, comes: bool
) -> None:
    assert enters(asked(headers={"host": host})) == comes


@pytest.mark.parametrize(
    ("headers", "comes"),
    [
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-site"}, False),  # another port of this host
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-origin,cross-site"}, False),
        ({"origin": "http://localhost:8000"}, True),
        ({"origin": "http://localhost:3000"}, False),
        ({"origin": "https://localhost:8000"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_a_page_of_another_site_does_not_come_in(
    headers: dict[str, str], *, comes: bool
) -> None:
    assert enters(asked(headers=headers)) == comes


# --- with the token


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_who_has_the_token_comes_in_from_anywhere(kind: str) -> None:
    headers = {"authorization": f"{kind} {TOKEN}"}
    for request in (
        asked("10.0.0.1", headers=headers),
        asked(None, headers={**headers, "host": None}),
        asked(headers={**headers, "x-forwarded-for": "192.0.2.7"}),
        asked("10.0.0.1", headers={**headers, "host": "app.example"}),
    ):
        assert enters(request)
        assert enters(request, loopback=False)


@pytest.mark.parametrize(
    "given",
    [
        *("", "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer\t{TOKEN}"),
        *(f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}"),
        *(f"Bearer {TOKEN},Bearer {TOKEN}", f"Bearer {TOKEN} x", "Bearer \xff\u1234"),
    ],
)
def test_a_wrong_token_is_no_token(given: str) -> None:
    assert not enters(asked("10.0.0.1", headers={"authorization": given}))
    assert enters(asked(headers={"authorization": given}))  # this host needs none


def test_the_token_is_compared_once_whatever_is_given() -> None:
    compared: list[str] = []

    def is_token(given: str) -> bool:
        compared.append(given)
        return False

    for client in ("127.0.0.1", "10.0.0.1", None):
        for headers in (
            {},
            {"authorization": "Basic x"},
            {"authorization": "Bearer x"},
        ):
            is_let_in(asked(client, headers=headers), is_token=is_token)
    assert compared == ["", "", "x"] * 3


def test_a_request_shows_nothing_of_itself() -> None:
    shown = repr(asked(headers={"authorization": TOKEN}))
    assert TOKEN not in shown
    assert "localhost" not in shown


def test_repeated_headers_are_joined_whatever_their_case() -> None:
    pairs = [("Host", "localhost"), ("HOST", "evil.example"), ("x-a", "1")]
    assert joined(pairs) == {"host": "localhost,evil.example", "x-a": "1"}


# --- spelling and proof


@pytest.mark.parametrize(
    ("raw", "literal"),
    [
        (None, True),
        ("/debug/memory", True),
        ("/debug/memory?x=/y", True),
        ("/v1/debug/memory", True),
        ("http://localhost/debug/memory", True),
        ("/debug%2Fmemory", False),
        ("/%64ebug/memory", False),
        ("/.well-known/x/debug/memory", True),
        ("/caf%C3%A9/debug/memory", True),
        *(("//debug/memory", False), ("/x//debug/memory", False)),
        *(("/x/../debug/memory", False), ("/./debug/memory", False)),
        *(("/x/%2e%2E/debug/memory", False), ("/x/.%2e/debug/memory", False)),
        ("http://localhost//debug/memory", False),
        ("/debug/memory/", False),
        ("/debug/memory#x", False),
    ],
)
def test_another_spelling_is_another_path(raw: str | None, *, literal: bool) -> None:
    assert is_literal(asked(raw_path=raw)) == literal


@pytest.mark.parametrize(
    ("value", "proves"), [("1", True), ("", False), ("11", False), ("1,1", False)]
)
def test_the_proof_is_a_header(value: str, *, proves: bool) -> None:
    assert has_proof(asked(headers={"x-leakguard": value})) == proves
    assert not has_proof(asked())


# --- how often


def test_a_burst_may_be_taken_and_then_so_many_a_second() -> None:
    bucket, waits = Bucket(3, 2.0), []
    for now in (10.0, 10.0, 10.0, 10.0, 10.25, 10.5, 10.5, 100.0):
        bucket, wait = take(bucket, now)
        waits.append(wait)
    assert waits == [0, 0, 0, 0.5, 0.25, 0, 0.5, 0]
    assert bucket.taken == 1


def test_a_clock_that_is_set_back_neither_refills_nor_blocks_for_long() -> None:
    bucket, _ = take(Bucket(1, 1.0), 1000.0)
    bucket, wait = take(bucket, 10.0)
    assert wait == 1.0
    assert take(bucket, 11.0)[1] == 0
