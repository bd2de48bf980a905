"""The debug routes as one function: who gets in, what they get, and nothing else."""

from __future__ import annotations

import gc
import json
import logging
import os
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

import leakguard
from leakguard import LeakguardError
from leakguard._core.records import Unknown
from leakguard.routes import DebugRoutes, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from leakguard._render.refusal import Answer

TOKEN = "a-token-of-the-tests-0123456789"
PROOF = {"x-leakguard": "1"}
GETS = ("/debug/memory", "/debug/memory/report", "/debug/memory/diff")
POSTS = ("/debug/memory/investigate", "/debug/memory/baseline", "/debug/gc")


@pytest.fixture
def guard() -> Iterator[leakguard.Guard]:
    with leakguard.Guard(budget=0.9) as made:
        yield made


class Service:
    """Routes, their guard, and a clock that stands still unless it is moved."""

    def __init__(
        self,
        guard: leakguard.Guard,
        place: Path,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self.now = 0.0
        self.guard = guard
        self.routes = DebugRoutes(
            directory=place / "board", clock=lambda: self.now, **options
        )

    def ask(
        self, method: str, target: str, client: str | None = "127.0.0.1", **headers: str
    ) -> Answer | None:
        self.now += 10.0
        path, _, query = target.partition("?")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        given = {"host": "localhost", **named}
        asked = Request(method, path, query, given, client, raw_path=target)
        return self.routes.answer(asked, self.guard)

    def get(self, target: str, **headers: str) -> tuple[int, Any]:
        return self._read(self.ask("GET", target, **headers))

    def post(self, target: str, **headers: str) -> tuple[int, Any]:
        return self._read(self.ask("POST", target, **{"x-leakguard": "1", **headers}))

    def _read(self, answer: Answer | None) -> tuple[int, Any]:
        assert answer is not None
        return answer.status, json.loads(answer.body)

    def wait_until_done(self) -> None:
        deadline = time.monotonic() + 20
        while self.routes._inquiries._under_way:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def service(guard: leakguard.Guard, tmp_path: Path) -> Service:
    return Service(guard, tmp_path, token=TOKEN, allow_gc=True, loopback=True)


# --- what they answer


def test_memory_tells_what_is_known_and_sizes_for_people(service: Service) -> None:
    status, found = service.get("/debug/memory")
    assert status == 200
    assert found["pid"] == os.getpid()
    assert found["rss_bytes"] > 1 << 20
    assert found["rss"].endswith("MiB")
    assert found["heap_in_use"].endswith("iB")
    assert found["limit_source"]
    assert {"ledger", "verdict", "forecast", "pressure", "counters"} <= found.keys()
    assert found["pressure"]["level"] == "ok"
    assert found["suspects"] == []
    (worker,) = found["workers"]
    assert worker["pid"] == os.getpid()
    assert found["workers_unseen"] is None


def test_the_report_in_each_format(service: Service) -> None:
    status, report = service.get("/debug/memory/report")
    assert (status, report["schema"]) == (200, "leakguard.report/1")
    assert service.get(f"/debug/memory/report?pid={os.getpid()}")[0] == 200
    for name, kind in (("text", "text/plain"), ("markdown", "text/markdown")):
        answer = service.ask("GET", f"/debug/memory/report?format={name}")
        assert answer is not None
        assert answer.status == 200
        assert dict(answer.headers)["content-type"].startswith(kind)
        assert b"UNDECIDED" in answer.body.upper()


def test_a_collection_tells_what_it_freed(service: Service) -> None:
    knot: list[object] = []
    knot.append(knot)
    del knot
    status, found = service.post("/debug/gc")
    assert status == 200
    assert found["collected_objects"] >= 1
    assert found["rss_before_bytes"] > 0
    assert found["rss_after"].endswith("iB")


def test_a_collection_is_refused_clearly_unless_it_is_allowed(
    guard: leakguard.Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gc, "collect", pytest.fail)
    status, found = Service(guard, tmp_path).post("/debug/gc")
    assert status == 403
    assert "DebugRoutes(allow_gc=True)" in found["error"]


class Parcel:
    """What piles up between two looks."""


def test_what_has_grown_since_a_baseline(service: Service) -> None:
    status, found = service.get("/debug/memory/diff")
    assert (status, str(os.getpid()) in found["error"]) == (404, True)
    assert service.post("/debug/memory/baseline?name=first")[0] == 200
    parcels = [Parcel() for _ in range(5000)]
    status, found = service.post("/debug/memory/baseline")
    assert found["baselines"] == ["first", "default"]
    parcels += [Parcel() for _ in range(3000)]
    for query, growth in (("?baseline=first", 8000), ("", 3000)):
        status, found = service.get(f"/debug/memory/diff{query}")
        assert status == 200
        grown = {row["type"]: row["growth"] for row in found["types"]}
        assert grown[f"{__name__}.Parcel"] == growth
        assert found["rss_after"].endswith("MiB")
        assert any("lines that allocate" in text for text in found["missing"])
    assert service.get("/debug/memory/diff?baseline=second")[0] == 404


def test_rare_types_that_were_not_kept_are_told_of(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakguard._runtime.baselines.KEPT_TYPES", 3)
    service.post("/debug/memory/baseline")
    _, found = service.get("/debug/memory/diff")
    assert any("they look new" in text for text in found["missing"])


def test_an_investigation_is_begun_and_its_report_read_later(service: Service) -> None:
    begun = time.monotonic()
    status, found = service.post("/debug/memory/investigate?seconds=0.5")
    assert time.monotonic() - begun < 0.4
    assert (status, found["seconds"]) == (202, 0.5)
    assert found["report"] == f"/debug/memory/report?pid={os.getpid()}"
    status, refused = service.post("/debug/memory/investigate?seconds=1")
    assert (status, "already" in refused["error"]) == (409, True)
    service.wait_until_done()
    status, report = service.get(found["report"])
    assert (status, report["schema"]) == (200, "leakguard.report/1")
    assert report["cost"]["windows"] >= 1


def test_nothing_is_counted_while_a_window_hides_the_heap(service: Service) -> None:
    from leakguard._runtime.window import newborn_window

    service.post("/debug/memory/baseline")
    with newborn_window():
        for answer in (
            service.ask("POST", "/debug/memory/baseline", **PROOF),
            service.ask("GET", "/debug/memory/diff"),
            service.ask("POST", "/debug/gc", **PROOF),
        ):
            assert answer is not None
            assert answer.status == 409
            assert dict(answer.headers)["retry-after"] == "10"


# --- several workers


def test_the_workers_answer_for_each_other(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.get("/debug/memory")  # attached
    service.guard._known().watcher.step()
    service.post("/debug/memory/investigate?seconds=0.1")
    service.wait_until_done()
    other, mine = 4242, os.getpid()
    monkeypatch.setattr("leakguard.routes.os.getpid", lambda: other)
    _, found = service.get("/debug/memory")
    assert sorted(row["pid"] for row in found["workers"]) == sorted([other, mine])
    (row,) = (row for row in found["workers"] if row["pid"] == mine)
    assert row["rss"].endswith("MiB")
    assert row["age_seconds"] >= 0
    status, report = service.get(f"/debug/memory/report?pid={mine}")
    assert (status, report["program"]["pid"]) == (200, mine)
    status, found = service.get("/debug/memory/report?pid=999999999")
    assert (status, "POST /debug/memory/investigate" in found["error"]) == (404, True)


def test_what_others_post_need_not_be_right(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, mine = service.routes._inquiries.board, os.getpid()
    monkeypatch.setattr("leakguard.routes.os.getpid", lambda: 4242)
    for text in ("", "{", "[1]", "7", '"x"'):
        board.post("state", text)
        board.post("report", text)
        assert [row["pid"] for row in service.get("/debug/memory")[1]["workers"]] == [
            4242
        ]
        assert service.get(f"/debug/memory/report?pid={mine}")[0] == 404


def test_a_worker_that_cannot_see_the_others_says_so(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = Unknown("Read-only file system")
    monkeypatch.setattr(service.routes._inquiries.board, "read", lambda _kind: reason)
    _, found = service.get("/debug/memory")
    assert found["workers_unseen"].endswith("Read-only file system")
    assert len(found["workers"]) == 1
    assert service.get("/debug/memory/report?pid=1")[0] == 404


def test_an_unstarted_guard_answers_too(tmp_path: Path) -> None:
    service = Service(leakguard.Guard(), tmp_path)
    status, found = service.get("/debug/memory")
    assert (status, found["workers"]) == (200, [])
    assert service.post("/debug/memory/investigate")[0] == 409


# --- who gets in


@pytest.mark.parametrize("path", [*GETS, *POSTS])
def test_for_strangers_the_paths_do_not_exist(service: Service, path: str) -> None:
    for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE", "TRACE", "", "get"):
        for given in (
            *("", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x"),
            *(f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN[::-1]}", "Bearer \xff"),
        ):
            asked = {"authorization": given, **PROOF}
            assert service.ask(method, path, "10.0.0.1", **asked) is None
            assert service.ask(method, path, None, **asked) is None
        assert service.ask(method, path, x_forwarded_for="127.0.0.1", **PROOF) is None
        assert service.ask(method, path, host="evil.example", **PROOF) is None
        assert service.ask(method, path, sec_fetch_site="cross-site", **PROOF) is None


def test_who_has_the_token_comes_in_from_anywhere(service: Service) -> None:
    asked = {"authorization": f"Bearer {TOKEN}", "x_forwarded_for": "192.0.2.7"}
    for client in ("10.0.0.1", None):
        answer = service.ask("GET", "/debug/memory/report", client, **asked)
        assert answer is not None
        assert answer.status == 200


def test_where_there_is_a_token_it_alone_counts(
    guard: leakguard.Guard, tmp_path: Path
) -> None:
    shut = Service(guard, tmp_path, token=TOKEN)
    assert shut.ask("GET", "/debug/memory") is None
    answer = shut.ask("GET", "/debug/memory", authorization=f"Bearer {TOKEN}")
    assert answer is not None


@pytest.mark.parametrize(
    "path",
    [
        *(
            "//debug/gc",
            "/debug//gc",
            "/debug/gc/",
            "/debug/./gc",
            "/debug/../debug/gc",
        ),
        *("/DEBUG/gc", "/debug/GC", "/debug/gc;x", "/debug/gc%00", "/debug/gc\0"),
        *("/debug", "/debug/", "/debug/memory/", "/debug/memory/report.json", ""),
        *("debug/gc", "/debug/gc ", " /debug/gc", "/debug\\gc", "/debug/gc#"),
    ],
)
def test_another_path_is_not_answered_not_even_to_who_may_come_in(
    service: Service, path: str
) -> None:
    asked = {"authorization": f"Bearer {TOKEN}", **PROOF}
    assert service.ask("POST", path, **asked) is None
    assert service.ask("GET", path, **asked) is None


def test_a_path_in_another_spelling_is_not_answered(service: Service) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "host": "localhost", **PROOF}
    for raw in ("/debug%2Fgc", "/%64ebug/gc", "/debug/%67c", "/x/%2e%2e/debug/g%63"):
        asked = Request("POST", "/debug/gc", "", headers, "127.0.0.1", raw_path=raw)
        assert service.routes.answer(asked, service.guard) is None


# --- how it is asked


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_and_other_methods_are_named(service: Service, path: str) -> None:
    service.post("/debug/memory/baseline")
    head, get = service.ask("HEAD", path), service.ask("GET", path)
    assert head is not None
    assert get is not None
    assert head.status == get.status == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "", "X\r\nY: z"):
        answer = service.ask(method, path, x_http_method_override="GET", **PROOF)
        assert answer is not None
        assert answer.status == 405
        assert dict(answer.headers)["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", POSTS)
def test_what_changes_something_is_posted_with_a_proof(
    service: Service, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("investigate", "set_baseline"):
        monkeypatch.setattr(service.routes._inquiries, name, pytest.fail)
    monkeypatch.setattr(service.routes._inquiries.baselines, "collect", pytest.fail)
    for method in ("GET", "HEAD", "OPTIONS", "PUT", "post"):
        answer = service.ask(method, path, x_http_method_override="POST", **PROOF)
        assert answer is not None
        assert answer.status == 405
        assert dict(answer.headers)["allow"] == "POST"
    for proof in ({}, {"x-leakguard": "0"}, {"x-leakguard": ""}):
        for token in ({}, {"authorization": f"Bearer {TOKEN}"}):
            answer = service.ask("POST", path, **proof, **token)
            assert answer is not None
            assert answer.status == 403
            assert b"X-Leakguard: 1" in answer.body


@pytest.mark.parametrize(
    "target",
    [
        "/debug/memory?x=canary",
        "/debug/memory/report?format=canary",
        "/debug/memory/report?format=text&format=canary",
        "/debug/memory/report?pid=canary",
        "/debug/memory/diff?baseline=canary%0d%0aset-cookie:canary",
        "/debug/memory?" + 300 * "canary",
    ],
)
def test_a_parameter_that_does_not_fit_is_said_and_not_repeated(
    service: Service, target: str
) -> None:
    answer = service.ask("GET", target, user_agent="canary", cookie="canary")
    assert answer is not None
    assert answer.status == 400
    assert b"canary" not in answer.body
    assert "canary" not in str(answer.headers)
    assert json.loads(answer.body)["error"]


def test_an_investigation_of_no_time_or_too_much_is_refused(service: Service) -> None:
    for seconds in ("0", "301", "nan", "1e9", "-1", ""):
        path = f"/debug/memory/investigate?seconds={seconds}"
        assert service.post(path)[0] == 400


def test_it_may_not_be_asked_too_often(service: Service) -> None:
    def status(path: str, method: str = "GET") -> int:
        service.now -= 10.0  # time stands still
        answer = service.ask(method, path, **PROOF)
        assert answer is not None
        if answer.status == 429:
            assert int(dict(answer.headers)["retry-after"]) >= 1
        return answer.status

    heavy = [status("/debug/memory/baseline", "POST") for _ in range(8)]
    assert heavy == [200] * 5 + [429] * 3
    light = [status("/debug/memory/report") for _ in range(20)]
    assert light.count(429) >= 5
    # A stranger neither learns of that nor wears it out.
    assert service.ask("GET", "/debug/memory", "10.0.0.1") is None
    service.now += 60.0
    assert status("/debug/memory/report") == 200
    assert status("/debug/memory/baseline", "POST") == 200


def test_strangers_do_not_wear_out_what_may_be_asked(service: Service) -> None:
    for _ in range(200):
        service.now -= 10.0
        assert service.ask("POST", "/debug/gc", "10.0.0.1", **PROOF) is None
    service.now -= 10.0
    assert service.post("/debug/gc")[0] == 200


def test_what_fails_is_an_answer_without_a_word_about_it(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (ValueError("canary"), MemoryError("canary"), OSError("canary")):

        def fail(*_: object, error: Exception = error) -> NoReturn:
            raise error

        monkeypatch.setattr(leakguard.Guard, "report", fail)
        with caplog.at_level(logging.DEBUG):
            answer = service.ask("GET", "/debug/memory")
        assert answer is not None
        assert answer.status == 500
        assert b"canary" not in answer.body
    assert "canary" not in caplog.text


# --- the token


def test_a_token_is_nowhere_to_be_found(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        for path in (*GETS, *POSTS):
            for method in ("GET", "POST"):
                for client in ("127.0.0.1", "10.0.0.1"):
                    asked = {"authorization": f"Bearer {TOKEN}", **PROOF}
                    answer = service.ask(method, path, client, **asked)
                    assert answer is not None
                    assert TOKEN.encode() not in answer.body
                    assert TOKEN not in str(answer.headers)
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(service.routes)
    assert TOKEN not in str(vars(service.routes))
    service.guard.stop()  # and so the investigation
    service.wait_until_done()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "short",
        "fifteen-letters",
        "with a space in the middle",
        "línea-" * 5,
        "\n" * 20,
    ],
)
def test_a_weak_token_is_refused_in_a_sentence(token: str) -> None:
    with pytest.raises(LeakguardError, match="at least 16 characters") as caught:
        DebugRoutes(token=token)
    assert not token or token not in str(caught.value)


def test_the_token_of_the_environment(
    guard: leakguard.Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKGUARD_TOKEN", TOKEN)
    by_token = {"authorization": f"Bearer {TOKEN}"}
    service = Service(guard, tmp_path)
    monkeypatch.delenv("LEAKGUARD_TOKEN")
    assert service.ask("GET", "/debug/memory", None, **by_token) is not None
    other = Service(guard, tmp_path, token=TOKEN[::-1], loopback=True)
    assert other.ask("GET", "/debug/memory", None, **by_token) is None
    monkeypatch.setenv("LEAKGUARD_TOKEN", "")
    assert (
        Service(guard, tmp_path).ask("GET", "/debug/memory", None, **by_token) is None
    )
    monkeypatch.setenv("LEAKGUARD_TOKEN", "short")
    with pytest.raises(LeakguardError):
        DebugRoutes()


def test_without_a_token_no_token_opens(guard: leakguard.Guard, tmp_path: Path) -> None:
    service = Service(guard, tmp_path)
    for given in ("", "Bearer", "Bearer ", "Bearer None", "Bearer " + 16 * "\0"):
        assert service.ask("GET", "/debug/memory", None, authorization=given) is None
    assert service.ask("GET", "/debug/memory") is not None


def test_a_token_that_is_nearly_right_takes_as_long_as_any_other(
    service: Service,
) -> None:
    """A plain comparison of texts that differ late takes longer; digests do not."""

    def seconds(given: str) -> float:
        headers = {"authorization": f"Bearer {given}"}
        asked = Request("GET", "/debug/memory", "", headers, "10.0.0.1")
        begun = time.perf_counter()
        for _ in range(50):
            service.routes.answer(asked, service.guard)
        return time.perf_counter() - begun

    wrong = {
        "first": "x" + TOKEN[1:],
        "last": TOKEN[:-1] + "x",
        "all": "x" * len(TOKEN),
    }
    taken: dict[str, list[float]] = {name: [] for name in wrong}
    for _ in range(60):
        for name, given in wrong.items():
            taken[name].append(seconds(given))
    least = [min(times) for times in taken.values()]
    assert max(least) < 1.5 * min(least), least
    assert statistics.median(least) < 0.01


def test_the_comparison_is_the_one_for_secrets(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return False

    monkeypatch.setattr("leakguard.routes.hmac.compare_digest", compare)
    for given in ("", "Bearer x", f"Bearer {TOKEN}", "Bearer " + 5000 * "x"):
        service.ask("GET", "/debug/memory", "10.0.0.1", authorization=given)
    assert compared == [(32, 32)] * 4


# --- options


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "debug",
        "/debug/",
        "//debug",
        "/a/../b",
        "/.",
        "/a b",
        "/é",
        "/a%2fb",
        "/a?",
    ],
)
def test_a_prefix_is_a_plain_path(prefix: str) -> None:
    with pytest.raises(LeakguardError, match="prefix is a path"):
        DebugRoutes(prefix)


def test_another_prefix(guard: leakguard.Guard, tmp_path: Path) -> None:
    service = Service(guard, tmp_path, prefix="/_ops/leakguard")
    assert service.ask("GET", "/_ops/leakguard/memory") is not None
    assert service.ask("GET", "/debug/memory") is None
    _, found = service.post("/_ops/leakguard/memory/investigate?seconds=0.1")
    assert found["report"].startswith("/_ops/leakguard/memory/report?pid=")
    service.wait_until_done()
    assert repr(service.routes) == "DebugRoutes('/_ops/leakguard')"


# --- nothing of a user's


CANARY = "canary-7f3a"


class Session:
    def __init__(self, number: int) -> None:
        self.secret = f"{CANARY} {number}"
        self.fields = {f"{CANARY}-{number}": CANARY, number: [CANARY]}


@pytest.mark.slow
def test_nothing_of_a_users_data_is_in_any_answer(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    sessions: dict[str, Session] = {}
    leaking = threading.Event()

    def leak() -> None:
        number = 0
        while not leaking.wait(0.001):
            number += 1
            sessions[f"{CANARY}={number}"] = Session(number)

    thread = threading.Thread(target=leak)
    thread.start()
    bodies: list[bytes] = []

    def keep(answer: Answer | None) -> None:
        assert answer is not None
        bodies.extend((answer.body, str(answer.headers).encode()))

    with caplog.at_level(logging.DEBUG):
        try:
            keep(service.ask("POST", "/debug/memory/baseline", **PROOF))
            for _ in range(5):  # until enough is known, on a busy machine too
                investigate = "/debug/memory/investigate?seconds=3"
                keep(service.ask("POST", investigate, **PROOF))
                service.wait_until_done()
                report = service.get("/debug/memory/report")[1]
                if any("test_routes" in str(one) for one in report["suspects"]):
                    break
        finally:
            leaking.set()
            thread.join()
        for target in (*GETS, *(f"{GETS[1]}?format={f}" for f in ("text", "markdown"))):
            keep(service.ask("GET", target))
        keep(service.ask("POST", "/debug/gc", **PROOF))
    files = service.routes._inquiries.board._given
    assert files is not None
    bodies += [file.read_bytes() for file in Path(files).iterdir()]
    assert any("test_routes" in str(one) for one in report["suspects"])
    assert any(b"Session" in body for body in bodies)
    assert not any(CANARY.encode() in body for body in bodies)
    assert CANARY not in caplog.text
