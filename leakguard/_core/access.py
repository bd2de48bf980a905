"""Who may use the debug routes, and how often.

Rules of this file: pure, and closed unless it is clear who asks. What came through a
proxy is never loopback; what a browser sends for another site's page is not let in; an
unknown peer, as behind a Unix socket, is a stranger.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

#: The peer of who asks from this host or, in a container, from inside of it. Not all
#: of 127.0.0.0/8: a sidecar of Istio's hands on what is remote from 127.0.0.6.
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})
#: Beginnings of the names of headers that proxies add.
PROXY_HEADERS: Final = (
    *("forwarded", "via", "x-forwarded", "x-real-ip", "x-envoy-", "x-original-"),
    *("x-client-ip", "x-cluster-client-ip", "cf-connecting-ip", "true-client-ip"),
    *("fastly-client-ip", "x-proxyuser-ip", "x-arr-", "x-amzn-", "x-appengine-"),
)
#: Another name that leads here is another site's (DNS rebinding).
_OWN_HOST: Final = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
#: What a browser says of a page's own requests, and of an address typed by hand.
_OWN_PAGES: Final = ("same-origin", "none")
#: What some servers resolve before they tell the path.
_DETOUR: Final = re.compile(r"//|/(?:\.|%2e){1,2}/", re.IGNORECASE)
#: A page of another site cannot send this without being allowed to (CORS).
PROOF_HEADER: Final = ("X-Leakguard", "1")


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """What is asked, and by whom. Without a ``repr``: it may hold a token.

    ``path`` is decoded, below the prefix the application is mounted at; ``raw_path``
    is as it came, where the server tells. ``headers`` are all there are, names in
    lower case, repeated ones joined by commas. ``client`` is the address of the peer,
    ``None`` where there is none.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str | None = None
    scheme: str = "http"
    http_version: str = "1.1"
    raw_path: str | None = None


def joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers as a ``Request`` holds them."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        found[key] = f"{found[key]},{value}" if key in found else value
    return found


def is_literal(request: Request) -> bool:
    """Tell whether the path came as it is, without escapes or dots in it.

    What a proxy in front forbids must not get past it in another spelling.
    """
    if request.raw_path is None:
        return True
    raw = request.raw_path.partition("?")[0].rpartition("://")[2]
    return raw.endswith(request.path) and _DETOUR.search(raw) is None


def is_let_in(
    request: Request, *, is_token: Callable[[str], bool], loopback: bool = True
) -> bool:
    """Tell whether who asks has the token, or asks from this host itself.

    ``is_token`` is asked every time, so that no answer comes sooner than another.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    has_token = is_token(token.strip(" ") if kind.lower() == "bearer" else "")
    return has_token or (loopback and _is_from_here(request))


def has_proof(request: Request) -> bool:
    """Tell whether no page of another site can have made a browser ask this."""
    name, value = PROOF_HEADER
    return request.headers.get(name.lower()) == value


def _is_from_here(request: Request) -> bool:
    headers = request.headers
    host = headers.get("host", "").lower()
    origin = f"{request.scheme}://{host}"
    return (
        request.client in LOOPBACK
        and not any(name.startswith(PROXY_HEADERS) for name in headers)
        # What nginx speaks by default, and it adds none of these headers by itself.
        and request.http_version != "1.0"
        and _OWN_HOST.fullmatch(host) is not None
        and headers.get("sec-fetch-site", "none") in _OWN_PAGES
        and headers.get("origin", origin).lower() == origin
    )


class Bucket(NamedTuple):
    """A token bucket: ``burst`` at once, then ``per_second``."""

    burst: int
    per_second: float
    taken: float = 0.0
    at_seconds: float = 0.0


def take(bucket: Bucket, now_seconds: float) -> tuple[Bucket, float]:
    """Return the bucket afterwards, and how long to wait: 0 if one could be taken.

    A clock that is set back refills nothing.
    """
    passed = max(0.0, now_seconds - bucket.at_seconds)
    taken = max(0.0, bucket.taken - passed * bucket.per_second)
    wait_seconds = max(0.0, (taken + 1 - bucket.burst) / bucket.per_second)
    if not wait_seconds:
        taken += 1
    return bucket._replace(taken=taken, at_seconds=now_seconds), wait_seconds
