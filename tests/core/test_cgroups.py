"""What the kernel writes about control groups is read; what is broken is absent."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leakguard._core.cgroups import (
    Place,
    bounded,
    memory_places,
    parse_count,
    parse_counts,
    parse_membership,
    parse_mounts,
    parse_pressure,
    unlimited_bytes,
)

V1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
V2 = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"
SYSTEMD = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd"

#: Any path a group can have: no NUL, no newline, no empty component.
COMPONENTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0\n"),
    min_size=1,
    max_size=12,
).filter(lambda part: part not in {".", ".."})
PATHS = st.lists(COMPONENTS, max_size=5).map(lambda parts: "/" + "/".join(parts))
GARBAGE = st.text(max_size=200) | st.text("\n :,/-0123456789.=\\max", max_size=200)


def escaped(path: str) -> str:
    """Write a path the way the kernel does: proc_pid_mountinfo(5)."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in path)


def mounted(
    root: str, at: str, *optional: str, rest: str = "cgroup cgroup rw,memory"
) -> str:
    fields = ["35 31 0:32", escaped(root), escaped(at), "rw", *optional, "-", rest]
    return " ".join(fields)


def only(mountinfo: str, membership: str) -> Place:
    (place,) = memory_places(mountinfo, membership)
    return place


# mountinfo


def test_cgroup_mounts_are_found_among_others() -> None:
    disk = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard"
    v1, v2 = parse_mounts(f"{disk}\n{V1}\n{V2}\n")
    assert (v1.version, v1.root, v1.mount_point) == (1, "/", "/sys/fs/cgroup/memory")
    assert "memory" in v1.controllers
    assert (v2.version, v2.mount_point) == (2, "/sys/fs/cgroup/unified")


@pytest.mark.parametrize("optional", [(), ("shared:9",), ("shared:9", "master:1", "x")])
def test_several_optional_mount_fields_are_skipped(optional: tuple[str, ...]) -> None:
    (mount,) = parse_mounts(mounted("/", "/cg", *optional))
    assert (mount.root, mount.mount_point) == ("/", "/cg")


def test_spaces_in_super_options_do_not_hide_the_mounts() -> None:
    wsl = r"60 1 0:5 / /mnt/c rw - 9p C:\134 rw,dirsync,aname=drvfs;path=C:\;uid=0 a b"
    odd = mounted("/", "/cg", rest="cgroup cgroup rw,release_agent=/a b,memory")
    (mount,) = parse_mounts(f"{wsl}\n{odd}")
    assert "memory" in mount.controllers


def test_a_mount_without_a_source_is_read() -> None:
    (mount,) = parse_mounts(mounted("/", "/cg", rest="cgroup  rw,memory"))
    assert "memory" in mount.controllers


def test_octal_escapes_in_a_mount_point_are_undone() -> None:
    (mount,) = parse_mounts(
        r"35 31 0:32 /a\134b /c\040g\011\043\012 rw - cgroup none rw,memory"
    )
    assert (mount.root, mount.mount_point) == ("/a\\b", "/c g\t#\n")


@given(PATHS, PATHS, st.lists(st.sampled_from(["shared:1", "master:2"]), max_size=3))
def test_escaped_paths_round_trip(root: str, at: str, optional: list[str]) -> None:
    (mount,) = parse_mounts(mounted(root, at, *optional))
    assert (mount.root, mount.mount_point) == (root, at)


def test_the_later_mount_on_a_directory_hides_the_earlier() -> None:
    (mount,) = parse_mounts(mounted("/old", "/cg") + "\n" + mounted("/new", "/cg"))
    assert mount.root == "/new"


# /proc/self/cgroup


def test_a_group_path_containing_colons_is_whole() -> None:
    text = "4:memory:/docker/a:b:c\n0::/x:y\n"
    assert parse_membership(text) == {"memory": "/docker/a:b:c", "": "/x:y"}


def test_joined_controllers_share_their_path() -> None:
    paths = parse_membership("2:cpu,cpuacct,memory:/a\n1:name=systemd:/b\n")
    assert paths["memory"] == paths["cpu"] == "/a"


@given(PATHS, st.sampled_from(["memory", "cpu,memory", "memory,name=x", ""]))
def test_group_paths_round_trip(path: str, controllers: str) -> None:
    paths = parse_membership(f"9:pids:/other\n4:{controllers}:{path}\n")
    assert paths["memory" if controllers else ""] == path


def test_a_membership_far_beyond_a_kilobyte_is_read_whole() -> None:
    path = "/" + "/".join(["deep" * 20] * 60)
    text = "".join(f"{n}:c{n}:{path}\n" for n in range(12)) + f"13:memory:{path}\n"
    assert parse_membership(text)["memory"] == path


# which directories


def test_version_2_walks_up_to_the_mount_root() -> None:
    place = only(mounted("/", "/cg", rest="cgroup2 none rw"), "0::/a.slice/b.scope\n")
    assert place == Place(
        version=2,
        groups=(
            ("/a.slice/b.scope", "/cg/a.slice/b.scope"),
            ("/a.slice", "/cg/a.slice"),
            ("/", "/cg"),
        ),
        inexact=False,
    )


def test_a_path_that_is_the_mount_root_stops_there() -> None:
    place = only(mounted("/docker/ab", "/cg"), "4:memory:/docker/ab\n")
    assert place.groups == (("/docker/ab", "/cg"),)
    assert not place.inexact


def test_the_root_group_of_a_namespace_is_the_mount_itself() -> None:
    assert only(V1, "4:memory:/\n").groups == (("/", "/sys/fs/cgroup/memory"),)


def test_docker_v1_bind_mount_shows_the_container_as_root() -> None:
    place = only(mounted("/docker/ab", "/cg"), "4:memory:/docker/ab/worker\n")
    assert place.groups == (
        ("/docker/ab/worker", "/cg/worker"),
        ("/docker/ab", "/cg"),
    )


def test_a_path_outside_the_namespace_is_the_mount_root_and_inexact() -> None:
    place = only(mounted("/", "/cg", rest="cgroup2 none rw"), "0::/../x/y\n")
    assert place.groups == (("/", "/cg"),)
    assert place.inexact


def test_a_mount_root_outside_the_namespace_is_inexact() -> None:
    place = only(mounted("/../..", "/cg", rest="cgroup2 none rw"), "0::/\n")
    assert place.groups == (("/../..", "/cg"),)
    assert place.inexact


def test_a_name_that_only_begins_like_the_mount_root_is_another_group() -> None:
    place = only(mounted("/docker/ab", "/cg"), "4:memory:/docker/abc\n")
    assert place.inexact
    assert place.groups == (("/docker/ab", "/cg"),)


@pytest.mark.parametrize("order", [(V1, V2, SYSTEMD), (V2, SYSTEMD, V1)])
def test_hybrid_takes_the_hierarchy_that_carries_memory(order: tuple[str, ...]) -> None:
    places = memory_places("\n".join(order), "4:memory:/a\n1:name=systemd:/s\n0::/b\n")
    assert places[0].groups[0] == ("/a", "/sys/fs/cgroup/memory/a")
    assert [place.version for place in places] == [1, 2]


def test_hybrid_with_memory_in_version_2_takes_that() -> None:
    freezer = "36 31 0:9 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer"
    place = only(
        f"{freezer}\n{SYSTEMD}\n{V2}", "6:freezer:/f\n1:name=systemd:/s\n0::/b"
    )
    assert place.groups[0] == ("/b", "/sys/fs/cgroup/unified/b")


def test_memory_joined_with_other_controllers_is_found() -> None:
    joined = mounted("/", "/cg", rest="cgroup cgroup rw,cpu,cpuacct,memory")
    assert only(joined, "3:cpu,cpuacct,memory:/a\n").groups[0] == ("/a", "/cg/a")


@pytest.mark.parametrize("swapped", [False, True])
def test_of_doubled_mounts_the_one_that_shows_most_is_taken(*, swapped: bool) -> None:
    lines = [mounted("/docker", "/one"), V1, mounted("/elsewhere", "/two")]
    places = memory_places(
        "\n".join(lines[:: -1 if swapped else 1]), "4:memory:/docker/a"
    )
    assert places[0].groups[0] == ("/docker/a", "/sys/fs/cgroup/memory/docker/a")
    assert [place.inexact for place in places] == [False, False, True]


def test_no_memory_controller_is_no_place() -> None:
    assert memory_places(SYSTEMD, "1:name=systemd:/s\n0::/b\n") == []
    assert memory_places(V1, "0::/b\n") == []
    assert memory_places("", "") == []


@given(PATHS, PATHS)
def test_the_walk_begins_at_the_group_and_ends_at_the_mount(
    root: str, path: str
) -> None:
    place = only(mounted(root, "/cg"), f"4:memory:{path}\n")
    names, directories = zip(*place.groups, strict=True)
    assert names[-1] == root
    assert directories[-1] == "/cg"
    assert all(inner.startswith(outer) for inner, outer in pairwise(names))
    if not place.inexact:
        assert names[0] == path


# numbers


STAT = "anon 7\nfile 30\ninactive_file 10\nactive_file 5\ntotal_inactive_file 12\n"


def test_counts_are_looked_up_by_their_whole_name_wherever_they_stand() -> None:
    assert parse_counts(STAT, ("inactive_file", "anon", "file")) == {
        "inactive_file": 10,
        "anon": 7,
        "file": 30,
    }
    assert parse_counts(STAT, ("active",)) == {}


def test_counts_without_a_number_are_absent() -> None:
    text = "low\nmax \nhigh x1\noom -3\noom_kill 4"
    assert parse_counts(text, ("low", "max", "high", "oom", "oom_kill")) == {
        "oom_kill": 4
    }


def test_meminfo_reads_like_other_counts() -> None:
    text = "MemTotal:       24684092 kB\nMemFree:  1 kB\n"
    assert parse_counts(text, ("MemTotal:",)) == {"MemTotal:": 24684092}


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,12}", fullmatch=True), st.integers(0, 2**64 - 1)
    )
)
def test_counts_round_trip(counts: dict[str, int]) -> None:
    text = "".join(f"{key} {count}\n" for key, count in counts.items())
    assert parse_counts(text, counts) == counts


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("max\n", None),
        ("0\n", 0),
        ("67108864\n", 67108864),
        ("18446744073709551615\n", 2**64 - 1),
        ("", None),
        ("-1\n", None),
        ("1.5", None),
        ("\u0663", None),
        ("9" * 5000, None),
    ],
)
def test_a_file_of_one_number_is_read_or_absent(text: str, count: int | None) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("number", [2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62])
def test_numbers_beyond_32_bits_keep_every_byte(number: int) -> None:
    assert parse_count(f"{number}\n") == number
    assert bounded(number, 4096) == number


@pytest.mark.parametrize(
    ("page_size", "sentinel"),
    [(4096, 9223372036854771712), (65536, 9223372036854710272)],
)
def test_the_v1_sentinel_follows_from_the_page_size(
    page_size: int, sentinel: int
) -> None:
    assert unlimited_bytes(page_size) == sentinel
    assert bounded(sentinel, page_size) is None
    assert bounded(sentinel - page_size, page_size) == sentinel - page_size
    assert bounded(2**63 - 1, page_size) is None
    assert bounded(None, page_size) is None


PSI = """some avg10=1.53 avg60=0.87 avg300=0.10 total=17514228
full avg10=0.40 avg60=0.12 avg300=0.01 total=12196149
"""


def test_pressure_lines_are_read() -> None:
    assert parse_pressure(PSI) == {"some": 1.53, "full": 0.4}
    assert parse_pressure("some avg10=1.53 avg60=0.87 avg300=0.10 total=1") == {
        "some": 1.53
    }
    assert parse_pressure("some avg10=x\nfull\n") == {}


@given(GARBAGE, GARBAGE)
def test_garbage_never_raises(one: str, other: str) -> None:
    parse_mounts(one)
    parse_mounts(mounted("/", "/cg", rest=one))
    parse_membership(one)
    memory_places(one, other)
    memory_places(mounted("/a", "/cg"), f"4:memory:{other}")
    parse_counts(one, (other, "a"))
    parse_count(one)
    parse_pressure(one)
    parse_pressure(f"some avg10={one} ")
