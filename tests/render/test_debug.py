"""What the debug routes answer: sizes twice, headers, nothing that JSON has not."""

from __future__ import annotations

import json
import math
from typing import Any

from leakguard._core.counters import Counters, Relief
from leakguard._core.diff import TypeRow
from leakguard._core.forecast import Forecast
from leakguard._core.policy import Transition
from leakguard._core.pressure import Pressure
from leakguard._core.records import Verdict
from leakguard._core.samples import Sample
from leakguard._render.debug import (
    SHOWN_SUSPECTS,
    SHOWN_TYPES,
    change_rows,
    memory_document,
    refuse,
    respond,
    respond_text,
    with_sizes,
    worker_row,
)
from tests.render.examples import LEAK, STEADY

FORECAST = Forecast(60.0, (50.0, None), 1 << 29, "at this rate in 1 min")
PRESSURE = Pressure(0.9, 1 << 28, 1 << 29, "cgroup2 /app memory.max")


def test_each_size_stands_in_bytes_and_for_people() -> None:
    assert with_sizes(
        {
            "rss_bytes": 1536,
            "growth_bytes_per_call": 2048.0,
            "limit_bytes": None,
            "rows": [{"freed_bytes": -1024, "name": "x_bytes"}],
            "byte_names": ("a_bytes",),
            "ratio": math.inf,
            "rate_bytes": math.nan,
        }
    ) == {
        "rss_bytes": 1536,
        "rss": "1.5 KiB",
        "growth_bytes_per_call": 2048.0,
        "growth_per_call": "2.0 KiB",
        "limit_bytes": None,
        "limit": "unknown",
        "rows": [{"freed_bytes": -1024, "freed": "-1.0 KiB", "name": "x_bytes"}],
        "byte_names": ["a_bytes"],
        "ratio": None,
        "rate_bytes": None,
        "rate": "unknown",
    }


def test_no_answer_is_kept_or_guessed_at() -> None:
    for answer in (
        respond(200, {"a": 1}, ("retry-after", "1")),
        refuse(403, "no"),
        respond_text(200, "text", "words"),
    ):
        headers = dict(answer.headers)
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-length"] == str(len(answer.body))
        assert not any(name.startswith("access-control") for name in headers)
    assert refuse(403, "no").body == b'{\n  "error": "no"\n}\n'
    assert dict(respond(202, {}, ("allow", "GET")).headers)["allow"] == "GET"


def test_a_text_that_cannot_be_encoded_is_shown_all_the_same() -> None:
    answer = respond_text(200, "markdown", "\udcff")
    assert answer.body == b"?\n"
    assert dict(answer.headers)["content-type"].startswith("text/markdown")


def memory(**more: Any) -> Any:  # noqa: ANN401
    counters = Counters(
        {"high": 1},
        last_transitions=(Transition(90.0, "ok", "high", "memory is at 90 %"),),
        last_reliefs=(Relief("gc.collect", 95.0, 0.1, 1 << 20),),
    )
    given = {
        "heap_bytes": 1 << 20,
        "forecast": FORECAST,
        "pressure": PRESSURE,
        "level": "high",
        "counters": counters,
        "now_seconds": 100.0,
        "workers": [{"pid": 1, "rss_bytes": 1}],
        "workers_unseen": None,
        **more,
    }
    return json.loads(respond(200, memory_document(LEAK, **given)).body)


def test_the_memory_document_holds_what_was_asked_for() -> None:
    found = memory()
    assert found["schema"] == "leakguard.memory/1"
    assert found["heap_in_use"] == "1.0 MiB"
    assert found["rss_bytes"] == LEAK.memory.rss_bytes
    assert found["limit_source"] == LEAK.memory.limit_source
    assert set(found["ledger"]) >= {"python_bytes", "python"}
    assert found["pressure"]["level"] == "high"
    assert found["pressure"]["unreclaimable"] == "256 MiB"
    assert found["verdict"]["kind"] == LEAK.verdict.kind
    assert found["forecast"]["interval"] == [50.0, None]
    assert found["suspects"][0]["rank"] == 1
    assert len(found["suspects"]) <= SHOWN_SUSPECTS
    assert found["workers"] == [{"pid": 1, "rss_bytes": 1, "rss": "1 B"}]
    assert found["counters"]["last_transitions"][0]["seconds_ago"] == 10.0
    assert found["counters"]["last_reliefs"][0]["freed"] == "1.0 MiB"


def test_a_workers_row_before_and_after_its_first_tick() -> None:
    verdict = Verdict("leak", 0.9, "It grows.", growth_bytes_per_second=10.0)
    sample = Sample(1.0, rss_bytes=1024, in_use_bytes=512, requests_total=3)
    row = worker_row(
        7,
        sample=sample,
        pressure=PRESSURE,
        level="high",
        verdict=verdict,
        forecast=FORECAST,
    )
    assert row["rss_bytes"] == 1024
    assert row["verdict"] == "leak"
    assert row["time_to_limit_seconds"] == 60.0
    nothing = worker_row(
        7,
        sample=None,
        pressure=PRESSURE,
        level="ok",
        verdict=STEADY.verdict,
        forecast=None,
    )
    assert nothing.keys() == row.keys()
    assert nothing["rss_bytes"] is nothing["time_to_limit_seconds"] is None


def test_of_many_types_the_ends_are_shown() -> None:
    rows = [TypeRow(f"t{n}", 100 - n, 1) for n in range(200)]
    shown = change_rows(rows)
    assert len(shown) == SHOWN_TYPES
    assert shown[0]["type"] == "t0"
    assert shown[-1]["type"] == "t199"
    assert change_rows(rows[:3]) == [row._asdict() for row in rows[:3]]
