"""The face for people: ``/debug/memory`` and its like, in a running service.

One function from ``Request`` to an answer, which the middlewares mount when asked:
``Middleware(app, debug=DebugRoutes())``. Rules of this file: who may not come in is
given no answer here, so the application gives its own, as to any path that it does not
know; nothing of a request is echoed; no body is read; values of user objects and the
token appear nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from leakguard._core.access import (
    PROOF_HEADER,
    Request,
    has_proof,
    is_let_in,
    is_literal,
)
from leakguard._core.query import QueryError, parameters
from leakguard._core.records import LeakguardError, Unknown
from leakguard._readers.process import read_counters
from leakguard._render.debug import (
    change_rows,
    memory_document,
    refuse,
    respond,
    respond_text,
    worker_row,
)
from leakguard._render.document import dumps, loads
from leakguard._runtime.baselines import KEPT_TYPES
from leakguard._runtime.board import Board
from leakguard._runtime.inquiries import REPORT, STATE, Inquiries
from leakguard._runtime.monitor import process
from leakguard.reports import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from leakguard._core.records import Report
    from leakguard._readers.process import Counters
    from leakguard._render.refusal import Answer
    from leakguard._runtime.monitor import Monitor
    from leakguard.guard import Guard

    Given = Mapping[str, str]

__all__ = ["DebugRoutes", "Request"]

_log = logging.getLogger("leakguard")

#: Where the token is read from if none is given.
TOKEN_VARIABLE: Final = "LEAKGUARD_TOKEN"  # noqa: S105 - its name
LEAST_TOKEN_CHARACTERS: Final = 16
INVESTIGATE_SECONDS: Final = "30"
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){1,4}")
_TOKEN: Final = re.compile(r"[!-~]+")
#: What a comparison of counts by type cannot tell.
_MISSING: Final = (
    "the lines that allocate: nothing is traced; an investigation finds them",
    "str, bytes and numbers: what cannot be part of a cycle is not counted",
    "whether it is garbage: what was not collected yet counts as live",
)


class _Route(NamedTuple):
    verb: str
    answer: Callable[[Given, Guard], Answer]
    parameters: tuple[str, ...] = ()
    is_heavy: bool = False


class _Refused(Exception):  # noqa: N818 - it carries an answer
    def __init__(self, status: int, why: str, *headers: tuple[str, str]) -> None:
        super().__init__(why)
        self.answer = refuse(status, why, *headers)


class DebugRoutes:
    """What may be asked of a running service, for ``Middleware(app, debug=...)``.

    Below ``prefix``: ``GET memory``, ``memory/report``, ``memory/diff``, and ``POST
    memory/investigate``, ``memory/baseline``, ``gc``. They are for who asks from this
    host, directly and in person, and for who has the ``token``, as ``Authorization:
    Bearer ...``; by default it is that of the environment, ``LEAKGUARD_TOKEN``. For
    all others the paths do not exist. Where there is a token it alone counts, unless
    ``loopback=True``: a proxy on this host may look like who asks in person.

    ``allow_gc`` allows ``POST gc``. ``directory`` is where the workers of this service
    post what they know, one of theirs alone; by default one for this user, in the
    directory for temporary files. It is made if need be, and used if it is private.

    Raises:
        LeakguardError: an option makes no sense; one sentence says which.

    """

    def __init__(  # noqa: PLR0913 - all but one by name, and all have a default
        self,
        prefix: str = "/debug",
        token: str | None = None,
        allow_gc: bool = False,  # noqa: FBT001, FBT002 - by name in all examples
        directory: str | os.PathLike[str] | None = None,
        *,
        loopback: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check and remember the options; nothing is started, read or written."""
        if not _PREFIX.fullmatch(prefix):
            raise LeakguardError(
                'prefix is a path such as "/debug", without a slash at its end'
            )
        self.prefix = prefix
        self._routes = self._below(prefix)
        #: The paths that may be answered here; all others never are.
        self.paths: Final = frozenset(self._routes)
        token = token if token is not None else os.environ.get(TOKEN_VARIABLE) or None
        self._digest = _digest_of(token)
        self._allow_gc = allow_gc
        self._loopback = token is None if loopback is None else loopback
        self._inquiries = Inquiries(
            Board(None if directory is None else os.fspath(directory)),
            state=lambda monitor: json.dumps(_row(monitor)),
            report=dumps,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"DebugRoutes({self.prefix!r})"

    def admits(self, request: Request) -> bool:
        """Tell whether this is for ``answer``. Cost: about 5 µs for one of ``paths``.

        Never raises.
        """
        if request.path not in self.paths or not is_literal(request):
            return False
        return is_let_in(request, is_token=self._is_token, loopback=self._loopback)

    def answer(self, request: Request, guard: Guard) -> Answer | None:
        """Return the answer, or ``None`` where ``admits`` does not. Never raises.

        It takes some milliseconds, and longer to count all objects or collect garbage:
        keep it off an event loop.
        """
        if not self.admits(request):
            return None
        try:
            return self._answer(request, guard)
        except _Refused as refused:
            return refused.answer
        except QueryError as error:
            return refuse(400, str(error))
        except Exception as error:  # noqa: BLE001 - never the program's trouble
            _log.debug("a debug route failed: %s", type(error).__name__)
            return _FAILED

    def attach(self) -> None:
        """Let the other workers know of this one, for as long as it is watched."""
        self._inquiries.attach()

    def _below(self, prefix: str) -> Mapping[str, _Route]:
        memory = f"{prefix}/memory"
        baseline = _Route("POST", self._set_baseline, ("name",), is_heavy=True)
        return {
            memory: _Route("GET", self._memory),
            f"{memory}/report": _Route("GET", self._report, ("format", "pid")),
            f"{memory}/diff": _Route("GET", self._diff, ("baseline",), is_heavy=True),
            f"{memory}/baseline": baseline,
            f"{memory}/investigate": _Route("POST", self._investigate, ("seconds",)),
            f"{prefix}/gc": _Route("POST", self._collect, is_heavy=True),
        }

    def _answer(self, request: Request, guard: Guard) -> Answer:
        self.attach()
        route = self._routes[request.path]
        self._take(is_heavy=False)
        verbs = ("GET", "HEAD") if route.verb == "GET" else (route.verb,)
        if request.method not in verbs:
            allowed = ", ".join(verbs)
            why = f"this is for {allowed}"
            raise _Refused(405, why, ("allow", allowed))
        if route.verb == "POST" and not has_proof(request):
            raise _Refused(403, f"the header {': '.join(PROOF_HEADER)} is missing")
        given = parameters(request.query, route.parameters)
        if route.is_heavy:
            self._take(is_heavy=True)
        return route.answer(given, guard)

    def _is_token(self, given: str) -> bool:
        # Digests are of one length, whatever is given.
        digest = hashlib.sha256(given.encode("utf-8", "replace")).digest()
        return hmac.compare_digest(digest, self._digest)

    def _take(self, *, is_heavy: bool) -> None:
        wait_seconds = self._inquiries.wait_seconds(is_heavy=is_heavy)
        if wait_seconds:
            wait = ("retry-after", str(math.ceil(wait_seconds)))
            raise _Refused(429, "this was asked too often", wait)

    def _memory(self, _given: Given, guard: Guard) -> Answer:
        rows, unseen = self._workers()
        document = memory_document(
            guard.report(),
            heap_bytes=read_counters().heap_bytes,
            forecast=guard.forecast,
            pressure=guard.pressure,
            level=guard.level,
            counters=guard.counters,
            now_seconds=time.monotonic(),
            workers=rows,
            workers_unseen=unseen,
        )
        return respond(200, document)

    def _workers(self) -> tuple[list[Mapping[str, object]], str | None]:
        """Return the rows of all workers, and why they are not all, if so."""
        rows: list[Mapping[str, object]] = []
        if (monitor := process().monitor) is not None:
            rows.append({**_row(monitor), "age_seconds": 0.0})
        posted = self._inquiries.board.read(STATE)
        if isinstance(posted, Unknown):
            return rows, f"other workers cannot be seen: {posted.reason}"
        for posting in posted:
            if posting.pid != os.getpid():
                with suppress(ValueError, TypeError):  # taken away meanwhile
                    age = {"age_seconds": round(posting.age_seconds, 1)}
                    rows.append({**json.loads(posting.text), **age})
        return rows, None

    def _report(self, given: Given, guard: Guard) -> Answer:
        chosen, pid = given.get("format", "json"), int(given.get("pid", os.getpid()))
        report = guard.report() if pid == os.getpid() else self._posted(pid)
        return respond_text(200, chosen, render(report, chosen))

    def _posted(self, pid: int) -> Report:
        posted = self._inquiries.board.read(REPORT)
        if not isinstance(posted, Unknown):
            for posting in posted:
                with suppress(LeakguardError):  # taken away meanwhile
                    if posting.pid == pid:
                        return loads(posting.text)
        raise _Refused(
            404,
            "that worker has posted no report:"
            f" POST {self.prefix}/memory/investigate makes one",
        )

    def _investigate(self, given: Given, _guard: Guard) -> Answer:
        seconds = float(given.get("seconds", INVESTIGATE_SECONDS))
        refused = self._inquiries.investigate(seconds)
        if refused is not None:
            raise _Refused(409, refused.reason)
        pid = os.getpid()
        report = f"{self.prefix}/memory/report?pid={pid}"
        return respond(202, {"pid": pid, "seconds": seconds, "report": report})

    def _set_baseline(self, given: Given, _guard: Guard) -> Answer:
        name = given.get("name", "default")
        with _no_window():
            self._inquiries.set_baseline(name)
        names = self._inquiries.baselines.names()
        document = {"pid": os.getpid(), "baseline": name, "baselines": names}
        return respond(200, document)

    def _diff(self, given: Given, _guard: Guard) -> Answer:
        with _no_window():
            change = self._inquiries.baselines.change(given.get("baseline"))
        if change is None:
            raise _Refused(
                404,
                f"the worker {os.getpid()} has no such baseline:"
                f" POST {self.prefix}/memory/baseline sets one",
            )
        before, missing = change.before, list(_MISSING)
        if before.left_out:
            missing.append(f"types rarer than the {KEPT_TYPES} kept: they look new")
        document = {
            "schema": "leakguard.diff/1",
            "pid": os.getpid(),
            "baseline": before.name,
            "seconds": round(change.seconds, 1),
            **_sizes(before.counters, change.now),
            "types": change_rows(change.types),
            "missing": missing,
        }
        return respond(200, document)

    def _collect(self, _given: Given, _guard: Guard) -> Answer:
        if not self._allow_gc:
            raise _Refused(
                403, "no collection is allowed here: DebugRoutes(allow_gc=True) does"
            )
        with _no_window():
            done = self._inquiries.baselines.collect()
        document = {
            "pid": os.getpid(),
            "collected_objects": done.objects,
            "seconds": round(done.seconds, 4),
            **_sizes(done.before, done.after),
        }
        return respond(200, document)


_FAILED: Final = refuse(500, "leakguard could not answer this")


@contextmanager
def _no_window() -> Iterator[None]:
    try:
        yield
    except LeakguardError:
        why = "an investigation, or a count like this one, is looking just now"
        raise _Refused(409, why, ("retry-after", "10")) from None


def _row(monitor: Monitor) -> Mapping[str, object]:
    state = monitor.watcher.state
    return worker_row(
        os.getpid(),
        sample=state.sample,
        pressure=state.pressure,
        level=monitor.protection.level,
        verdict=monitor.verdict,
        forecast=state.trend.forecast if state.trend is not None else None,
    )


def _sizes(before: Counters, after: Counters) -> Mapping[str, int | None]:
    return {
        "rss_before_bytes": before.rss_bytes,
        "rss_after_bytes": after.rss_bytes,
        "heap_in_use_before_bytes": before.heap_bytes,
        "heap_in_use_after_bytes": after.heap_bytes,
    }


def _digest_of(token: str | None) -> bytes:
    """Return the digest of the token, or of one that nobody knows."""
    if token is None:
        return os.urandom(hashlib.sha256().digest_size)
    if len(token) < LEAST_TOKEN_CHARACTERS or not _TOKEN.fullmatch(token):
        raise LeakguardError(
            f"the token must have at least {LEAST_TOKEN_CHARACTERS} characters, all of"
            " them visible ASCII: python -c 'import secrets;"
            " print(secrets.token_urlsafe())' makes a good one"
        )
    return hashlib.sha256(token.encode()).digest()
