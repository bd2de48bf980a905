"""Memory logs of every form become the histories they were printed from."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core import logs
from leakguard._core.logs import History, LogReader

MIB = 1 << 20
TABLE = """\
CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT     MEM %     NET I/O           BLOCK I/O         PIDS
696d223144b3   api       4.19%     69.88MiB / 512MiB     13.65%    1MB / 2MB         0B / 0MB          9
f26d223144b3   my-db_1   0.19%     1.5GiB / 2GiB         75.00%    1kB / 2kB         0B / 0B           31
"""  # noqa: E501 - as docker prints it
KUBECTL = """\
NAME                          CPU(cores)   MEMORY(bytes)
api-service-7c9f6b5d8-x2v4q   15m          134Mi
db-0                          1            2Gi
"""


def read(text: str, period_seconds: float | None = None) -> LogReader:
    reader = LogReader(json.loads, period_seconds=period_seconds)
    reader.feed(text)
    reader.close()
    return reader


def histories(text: str) -> dict[str | None, History]:
    """Return the histories by name; every line has to be readable."""
    reader = read(text)
    assert reader.ignored.lines == 0, reader.ignored
    return {history.name: history for history in reader.histories()}


def alone(text: str, period_seconds: float | None = None) -> History:
    """Return the only history of a log in which every line is readable."""
    reader = read(text, period_seconds)
    assert reader.ignored.lines == 0, reader.ignored
    (history,) = reader.histories()
    return history


def usages(history: History) -> list[float | None]:
    """Return the usage of each sample in MiB."""
    sizes = [sample.cgroup_usage_bytes for sample in history.samples]
    return [None if size is None else round(size / MIB, 2) for size in sizes]


def times(history: History) -> list[float]:
    return [sample.t_seconds for sample in history.samples]


def test_streamed_usage_lines() -> None:
    history = alone("23.5MiB / 512MiB\n24MiB / 512MiB\n1.5GiB / 512MiB\n")
    assert history.name is None
    assert usages(history) == [23.5, 24.0, 1536.0]
    assert {s.cgroup_limit_bytes for s in history.samples} == {512 * MIB}
    assert times(history) == [0.0, 1.0, 2.0]
    assert history.assumed_seconds == 1.0


@pytest.mark.parametrize(
    "screen",
    [
        "\x1b[2J\x1b[H{}MiB / 512MiB\n",
        "\x1b[H{}MiB / 512MiB \x1b[K\n \x1b[K\n\x1b[J",
        "\x1b[1;1H\x1b[2J\x1b[0m{}MiB / 512MiB\r\n",
    ],
)
def test_screens_of_old_and_new_command_lines(screen: str) -> None:
    history = alone("".join(screen.format(size) for size in (23, 24.5, 26)))
    assert usages(history) == [23.0, 24.5, 26.0]
    assert times(history) == [0.0, 0.5, 1.0]
    assert history.assumed_seconds == 0.5


def test_lines_of_a_screen_share_a_time() -> None:
    screen = "\x1b[2J\x1b[H{}MiB / 512MiB\n{}MiB / 1GiB\n"
    found = histories("".join(screen.format(n, n + 50) for n in (1, 2, 3)))
    assert usages(found["#1"]) == [1.0, 2.0, 3.0]
    assert usages(found["#2"]) == [51.0, 52.0, 53.0]
    assert times(found["#2"]) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("every_one", [True, False])
def test_screens_drawn_twice_count_once(every_one: bool) -> None:  # noqa: FBT001
    sizes = [n for n in range(40) for _ in range(1 + (every_one or n % 2))]
    text = "".join(f"\x1b[2J\x1b[H{100 + size}MiB / 1GiB\n" for size in sizes)
    history = alone(text, period_seconds=10.0)
    assert usages(history) == [100.0 + n for n in range(40)]
    assert times(history) == [10.0 * n for n in range(40)]
    assert times(alone(text))[-1] == 39 * (1.0 if every_one else 0.75)


def test_screens_without_a_pattern_all_count() -> None:
    sizes = [100, 100, 101, 102, 102, 102, 103, 104, 105, 105] * 4
    text = "".join(f"\x1b[2J\x1b[H{size}MiB / 1GiB\n" for size in sizes)
    assert len(alone(text).samples) == 40


def test_the_table_of_docker_stats() -> None:
    found = histories(TABLE * 3)
    assert list(found) == ["api", "my-db_1"]
    assert usages(found["api"]) == [69.88] * 3
    assert usages(found["my-db_1"]) == [1536.0] * 3
    assert times(found["my-db_1"]) == [0.0, 1.0, 2.0]
    assert found["my-db_1"].samples[0].cgroup_limit_bytes == 2048 * MIB


def test_table_rows_whose_header_is_lost() -> None:
    found = histories("".join(TABLE.splitlines(keepends=True)[1:]))
    assert {name: usages(h) for name, h in found.items()} == {
        "api": [69.88],
        "my-db_1": [1536.0],
    }


@pytest.mark.parametrize(
    ("header", "row", "name"),
    [
        ("NAME   MEM USAGE / LIMIT", "api    12MiB / 1GiB", "api"),
        ("MEM USAGE / LIMIT   MEM %   NAME", "12MiB / 1GiB   1.2%   api", "api"),
        ("MEM USAGE / LIMIT", "12MiB / 1GiB", None),
        ("CONTAINER ID   MEM USAGE / LIMIT", "0a1b2c3d4e   12MiB / 1GiB", "0a1b2c3d4e"),
        ("CONTAINER   CPU %   MEM USAGE / LIMIT", "api   0.1%   12MiB / 1GiB", "api"),
        ("NAME   PRIV WORKING SET", "api   12MiB", "api"),
        ("NET I/O   NAME   MEM USAGE / LIMIT", "1MB / 2MB   api   12MiB / 1GiB", "api"),
        ("ID NAME MEM USAGE / LIMIT", "a1b2c3d4e5f6 api 12MiB / 1GiB", "api"),
        ("NAME   MEM USAGE / LIMIT", "api 12MiB / 1GiB", "api"),
    ],
)  # fmt: skip
def test_tables_of_any_columns(header: str, row: str, name: str | None) -> None:
    history = alone(f"{header}\n{row}\n{header}\n{row}\n")
    assert (history.name, usages(history)) == (name, [12.0, 12.0])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("api 12MiB / 1GiB", "api"),
        ("api\t12MiB / 1GiB\t1.2%", "api"),
        ("api: 12MiB / 1GiB (1.2%)", "api"),
        ("Name: api.1.x Mem: 12MiB / 1GiB", "api.1.x"),
        ("api,0.52%,12MiB / 1GiB,1kB / 2kB,7", "api"),
        ("1kB / 2kB api 12MiB / 1GiB", "api"),
        ("0a1b2c3d4e5f 12MiB / 1GiB", "0a1b2c3d4e5f"),
        ("12MiB/1GiB", None),
        ("12582912B / 1GiB", None),
        (
            '{"container":"api","memory":{"raw":"12MiB / 1GiB"},"net":"1kB / 2kB"}',
            "api",
        ),
        ('{"Name":"api","MemUsage":"12MiB / 1GiB","NetIO":"1kB / 2kB"}', "api"),
        ('[{"name": "api", "mem_usage": "12MiB / 1GiB"}]', "api"),
        ("api-7c9f6b5d8-x2v4q   15m   12Mi", "api-7c9f6b5d8-x2v4q"),
        ("default   api-7c9f6b5d8-x2v4q   15m   12Mi", "default/api-7c9f6b5d8-x2v4q"),
        ("api=12MiB", "api"),
    ],
)
def test_lines_of_templates(line: str, name: str | None) -> None:
    history = alone(f"{line}\n{line}\n")
    assert (history.name, usages(history)) == (name, [12.0, 12.0])


def test_docker_before_binary_units() -> None:
    history = alone("api   12.5 MB / 2.1 GB\n")
    assert history.samples[0].cgroup_usage_bytes == 12_500_000
    assert history.samples[0].cgroup_limit_bytes == 2_100_000_000


def test_json_as_docker_prints_it() -> None:
    line = (
        '{"BlockIO":"0B / 4.1kB","CPUPerc":"0.25%","Container":"c1","ID":"c1",'
        '"MemPerc":"3.42%","MemUsage":"%dMiB / 1GiB","Name":"%s","NetIO":"1kB / 2kB"}\n'
    )
    text = "".join(
        line.replace("%dMiB", f"{n}MiB").replace("%s", name)
        for n in (1, 2)
        for name in ("api", "--")
    )
    found = histories(text)
    assert usages(found["api"]) == usages(found["c1"]) == [1.0, 2.0]
    assert times(found["c1"]) == [0.0, 1.0]


def test_kubectl_top() -> None:
    found = histories(KUBECTL * 2)
    assert usages(found["api-service-7c9f6b5d8-x2v4q"]) == [134.0, 134.0]
    assert usages(found["db-0"]) == [2048.0, 2048.0]


@pytest.mark.parametrize(
    ("header", "row", "name"),
    [
        ("POD   NAME   CPU(cores)   MEMORY(bytes)", "p   app   1m   9Mi", "p/app"),
        ("NAMESPACE   NAME   CPU(cores)   MEMORY(bytes)", "x   p   1m   9Mi", "x/p"),
    ],
)  # fmt: skip
def test_kubectl_top_of_containers_and_namespaces(
    header: str, row: str, name: str
) -> None:
    assert usages(histories(f"{header}\n{row}\n")[name]) == [9.0]


def test_csv_of_all_columns() -> None:
    history = alone(
        "t_seconds,rss_bytes,in_use_bytes,python_blocks,cgroup_usage_bytes,"
        "cgroup_inactive_file_bytes,cgroup_limit_bytes,requests_total,in_flight\n"
        "10.0,50647040,30427408,96414,39309312,0,536870912,1,0\n"
        "10.5,50647041,,,39051264,4096,536870912,2,3\n"
    )
    first, second = history.samples
    assert (first.t_seconds, second.t_seconds) == (0.0, 0.5)
    assert first.rss_bytes == 50_647_040
    assert first.in_use_bytes == 30_427_408
    assert first.python_blocks == 96_414
    assert first.cgroup_inactive_file_bytes == 0
    assert (second.in_use_bytes, second.python_blocks) == (None, None)
    assert (second.requests_total, second.in_flight) == (2, 3)
    assert history.assumed_seconds is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_of_other_delimiters_and_quotes(delimiter: str) -> None:
    lines = ('"Time"|"container"|"rss"', '"2024-01-01T00:00:00Z"|"api"|"1.5e6"',
             "2024-01-01 00:00:02|api|2 MB")  # fmt: skip
    history = alone("\n".join(lines).replace("|", delimiter) + "\n")
    assert history.name == "api"
    assert [s.rss_bytes for s in history.samples] == [1_500_000, 2_000_000]
    assert times(history) == [0.0, 2.0]


def test_csv_rows_without_memory_are_gaps() -> None:
    history = alone("t_seconds,rss_bytes\n0,100\n1,\n2,300\n")
    assert times(history) == [0.0, 2.0]


def test_csv_without_time() -> None:
    history = alone("rss_bytes,requests_total\n100,1\n200,2\n", period_seconds=5.0)
    assert times(history) == [0.0, 5.0]
    assert history.assumed_seconds is None


def test_csv_time_that_repeats_or_goes_back_loses_no_sample() -> None:
    stamps = [0, 0, 1, 1, 2, 2, 0, 0, 1, 1]
    rows = "".join(f"{t},{1000 + n}\n" for n, t in enumerate(stamps))
    history = alone("t_seconds,rss_bytes\n" + rows)
    assert [s.rss_bytes for s in history.samples] == [1000 + n for n in range(10)]
    assert times(history) == pytest.approx([0.5 * n for n in range(10)])


def test_a_row_written_twice_counts_once() -> None:
    assert len(alone("t_seconds,rss_bytes\n0,100\n0,100\n1,100\n").samples) == 2


def test_json_lines() -> None:
    history = alone(
        '{"t_seconds": 0.0, "rss_bytes": 100, "in_use_bytes": null}\n'
        '{"t_seconds": 2.5, "rss_bytes": 200.0, "in_flight": 3}\n'
    )
    assert times(history) == [0.0, 2.5]
    assert [s.rss_bytes for s in history.samples] == [100, 200]
    assert history.samples[1].in_flight == 3


def test_plain_sizes() -> None:
    history = alone("1048576\n1.5 MiB\n2MB\n2M\n1024 kB\n")
    sizes = [s.rss_bytes for s in history.samples]
    assert sizes == [MIB, 3 * MIB // 2, 2_000_000, 2 * MIB, 1_024_000]


def test_the_kernels_list() -> None:
    assert alone("VmRSS:\t  1024 kB\n").samples[0].rss_bytes == MIB


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("2024-01-01T23:59:59Z ", "2024-01-02T00:00:01Z "),
        ("[2024-02-28 23:59:59.500] ", "[2024-02-29 00:00:01.500] "),
        ("1704067199 ", "1704067201 "),
        ("1704067199.25,", "1704067201.25,"),
        ("1704067199000 ", "1704067201000 "),
        ("2024-01-01T00:00:01+02:00 ", "2023-12-31T22:00:03Z "),
    ],
)
@pytest.mark.parametrize(
    "line", ["12MiB / 1GiB", "12582912", "api 12MiB / 1GiB", '{"rss_bytes": 12582912}']
)
def test_lines_behind_a_time_stamp(first: str, second: str, line: str) -> None:
    history = alone(f"{first}{line}\n{second}{line}\n")
    assert times(history) == [0.0, 2.0]
    assert history.assumed_seconds is None


def test_a_time_on_its_own_line_is_that_of_the_lines_below() -> None:
    found = histories(
        f"2024-01-01 00:00:00\n{TABLE}2024-01-01 00:01:00\n{TABLE}"
        f"2024-01-01 00:02:00 api 1MiB / 1GiB\n"
    )
    assert times(found["api"]) == [0.0, 60.0, 120.0]
    assert times(found["my-db_1"]) == [0.0, 60.0]


def test_a_restart_is_a_gap() -> None:
    for nothing in ("-- / --", "0B / 0B"):
        history = alone(f"1MiB / 1GiB\n{nothing}\n{nothing}\n2MiB / 1GiB\n")
        assert times(history) == [0.0, 3.0]
    table = TABLE.replace("69.88MiB / 512MiB", "-- / --          ")
    found = histories(TABLE + table + TABLE)
    assert times(found["api"]) == [0.0, 2.0]


def test_a_log_of_nothing_has_no_history() -> None:
    assert histories("") == histories("-- / --\n\n") == {}


def test_garbage_is_counted_and_the_first_is_named() -> None:
    reader = read(
        "Error response from daemon: No such container: api\n12MiB / 1GiB\n"
        '{"broken": \n{"level": "info"}\n[1, 2]\n12XiB\n'
        "t_seconds,rss_bytes\n1,2,3,4\nnever,100\n1,-5\n1,much\nCPU %   1GHz\n"
        "NAME   MEM USAGE / LIMIT   NET I/O\napi   much   1MB / 2MB\n"
        + "[" * 100_000
        + "\n"
    )
    assert reader.ignored.lines == 12
    assert reader.ignored.examples[0] == (
        1, "Error response from daemon: No such container: api"
    )  # fmt: skip
    assert [line for line, _ in reader.ignored.examples] == [1, 3, 4]
    assert sum(len(history.samples) for history in reader.histories()) == 1


def test_a_half_written_last_line_is_not_misread() -> None:
    reader = read("100MiB / 512MiB\n10")
    assert usages(reader.histories()[0]) == [100.0]
    assert reader.ignored.examples == ((2, "10"),)


def test_a_whole_last_json_line_is_read_without_its_end() -> None:
    assert alone('{"rss_bytes": 100}').samples[0].rss_bytes == 100


def test_byte_order_marks_nul_bytes_and_other_line_ends() -> None:
    assert usages(alone("\ufeff12MiB / 1GiB\r\n13MiB / 1GiB\r\n")) == [12.0, 13.0]
    wide = "12MiB / 1GiB\r\n".encode("utf-16").decode("utf-8", "replace")
    assert usages(alone(wide)) == [12.0]
    assert usages(alone("1MiB / 1GiB\r2MiB / 1GiB\n")) == [1.0, 2.0]


def test_a_line_of_megabytes_is_dropped() -> None:
    reader = LogReader(json.loads)
    for _ in range(40):
        reader.feed("x" * 100_000)
    reader.feed("\n12MiB / 1GiB\n")
    reader.feed("y" * 2_000_000)
    assert len(reader._partial) == 0
    reader.close()
    assert reader.ignored.lines == 2
    assert usages(reader.histories()[0]) == [12.0]


def test_an_endless_log_keeps_a_bounded_number_of_samples() -> None:
    reader = LogReader(json.loads)
    reader.feed("".join(f"{n}\n" for n in range(1, 20_002)))
    (history,) = reader.histories()
    sizes = [s.rss_bytes for s in history.samples]
    assert 2_000 <= len(sizes) <= 4_001
    assert (sizes[0], sizes[-1]) == (1, 20_001)
    assert times(history) == [float(size or 0) - 1 for size in sizes]


def test_many_containers_share_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MOST_CONTAINERS", 20)
    monkeypatch.setattr(logs, "_MOST_ROWS_OF_ALL", 2_000)
    reader = LogReader(json.loads)
    reader.feed("".join(f"pod-{n} 1MiB / 1GiB\n" for n in range(30)) * 300)
    found = reader.histories()
    assert len(found) == 20
    assert all(50 <= len(history.samples) <= 101 for history in found)
    assert reader.ignored.lines == 10 * 300


def test_lines_without_a_name_are_those_of_the_only_container() -> None:
    history = alone("1MiB / 1GiB\n" + TABLE.rpartition("f26")[0] + "2MiB / 1GiB\n")
    assert history.name == "api"
    assert usages(history) == [1.0, 69.88, 2.0]
    assert times(history) == [0.0, 1.0, 2.0]
    found = histories("1MiB / 1GiB\n" + TABLE + "2MiB / 1GiB\n")
    assert {name: len(h.samples) for name, h in found.items()} == {
        "api": 2,
        "my-db_1": 1,
        "#1": 1,
    }


@pytest.mark.parametrize("header", ["t_seconds,rss_bytes\n0,100", TABLE.rstrip("\n")])
def test_numbers_below_a_header_are_no_sizes(header: str) -> None:
    reader = read(f"{header}\n10.0\n1048576\n")
    assert reader.ignored.lines == 2
    assert all(len(history.samples) == 1 for history in reader.histories())


def test_what_is_read_so_far_can_be_asked_for() -> None:
    reader = LogReader(json.loads)
    reader.feed("1MiB / 1GiB\n2M")
    assert usages(reader.histories()[0]) == [1.0]
    reader.feed("iB / 1GiB\n")
    assert usages(reader.histories()[0]) == [1.0, 2.0]


PIECES = st.sampled_from(
    [
        "12MiB / 1GiB", "-- / --", "api", "\x1b[2J\x1b[H", "\x1b[K", "\x1b]0;",
        "\n", "\r", "\0", "\ufeff", " ", "   ", "\t", ",", ";", "MEM USAGE / LIMIT",
        "NAME", "t_seconds,rss_bytes", "1,100", "2024-01-01T00:00:00Z", "1704067199 ",
        "134Mi", "15m", '{"rss_bytes": 1}', '{"MemUsage": "1MiB / 2MiB"}', "[{", "}]",
        "99" * 30, "1e99", "MEMORY(bytes)", "0B / 0B", "5.5GB", "Error", "é\u2800",
    ]
)  # fmt: skip
TEXTS = st.one_of(
    st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3))).map("".join)
)


@given(TEXTS)
def test_no_text_makes_it_raise(text: str) -> None:
    reader = read(text)
    for history in reader.histories():
        stamps = times(history)
        assert all(a < b for a, b in itertools.pairwise(stamps))
        assert history.samples


@given(TEXTS, st.integers(1, 7))
def test_pieces_read_as_the_whole_does(text: str, length: int) -> None:
    reader = LogReader(json.loads)
    for start in range(0, len(text), length):
        reader.feed(text[start : start + length])
    reader.close()
    whole = read(text)
    assert reader.histories() == whole.histories()
    assert reader.ignored == whole.ignored


def as_docker(size: float) -> str:
    """Print a size as docker does: four digits, binary units (docker/go-units)."""
    units = ["B", "KiB", "MiB", "GiB"]
    while size >= 1024.0:
        size /= 1024.0
        del units[0]
    return f"{size:.4g}{units[0]}"


@given(st.lists(st.integers(1, 1 << 39), min_size=1), st.integers(1, 1 << 39))
def test_printed_sizes_come_back_as_exact_as_printed(
    sizes: list[int], limit: int
) -> None:
    text = "".join(f"{as_docker(size)} / {as_docker(limit)}\n" for size in sizes)
    samples = alone(text).samples
    found = [sample.cgroup_usage_bytes or 0 for sample in samples]
    assert found == pytest.approx(sizes, rel=1e-3, abs=0.5)
    assert samples[0].cgroup_limit_bytes == pytest.approx(limit, rel=1e-3, abs=0.5)


@given(st.lists(st.integers(1, 1 << 50), min_size=1))
def test_csv_comes_back_exactly(sizes: list[int]) -> None:
    rows = "".join(f"{n / 4},{size}\n" for n, size in enumerate(sizes))
    samples = alone("t_seconds,rss_bytes\n" + rows).samples
    assert [(s.t_seconds, s.rss_bytes) for s in samples] == [
        (n / 4, size) for n, size in enumerate(sizes)
    ]
