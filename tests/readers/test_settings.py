"""The settings around a process: read on fake trees, and in a process set up badly."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import leakguard
from leakguard._core.records import Unknown
from leakguard._core.samples import Reading
from leakguard._readers.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

READING = Reading(Unknown("unsupported: not asked"))
CGROUP2 = "34 1 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
CGROUP1 = "35 1 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


def tree(root: Path, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return str(root)


def test_this_process_is_described() -> None:
    settings = read_settings(READING)
    assert settings.reading is READING
    assert settings.version == sys.version_info[:3]
    assert settings.pid == os.getpid()
    assert settings.gc_enabled is gc.isenabled()
    assert settings.gc_threshold == gc.get_threshold()
    assert settings.python_blocks > 0
    assert settings.allocator


def test_nothing_to_read_is_none(tmp_path: Path) -> None:
    settings = read_settings(READING, str(tmp_path))
    assert settings.oom_group is None
    assert settings.oom_kill_disabled is None
    assert settings.huge_pages is None
    assert settings.init is None


def test_the_kernels_settings_are_read(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        {
            "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
            "proc/1/comm": "gunicorn\n",
        },
    )
    settings = read_settings(READING, root)
    assert settings.huge_pages == "always"
    assert settings.init == "gunicorn"


def test_broken_settings_are_none(tmp_path: Path) -> None:
    files = {
        "sys/kernel/mm/transparent_hugepage/enabled": "no brackets\n",
        "proc/1/comm": "",
    }
    settings = read_settings(READING, tree(tmp_path, files))
    assert (settings.huge_pages, settings.init) == (None, None)


@pytest.mark.parametrize(
    ("own", "above", "expected"),
    [("0", "1", True), ("1", "0", True), ("0", "0", False)],
)
def test_a_group_above_may_be_killed_as_a_whole(
    own: str, above: str, *, expected: bool, tmp_path: Path
) -> None:
    files = {
        "proc/self/mountinfo": CGROUP2,
        "proc/self/cgroup": "0::/pod/app\n",
        "sys/fs/cgroup/pod/app/memory.max": "max\n",
        "sys/fs/cgroup/pod/app/memory.oom.group": f"{own}\n",
        "sys/fs/cgroup/pod/memory.oom.group": f"{above}\n",
    }
    settings = read_settings(READING, tree(tmp_path, files))
    assert settings.oom_group is expected
    assert settings.oom_kill_disabled is None


@pytest.mark.parametrize("disabled", [0, 1])
def test_version_1_may_hang_instead_of_killing(disabled: int, tmp_path: Path) -> None:
    control = f"oom_kill_disable {disabled}\nunder_oom 0\noom_kill 0\n"
    files = {
        "proc/self/mountinfo": CGROUP1,
        "proc/self/cgroup": "4:memory:/app\n",
        "sys/fs/cgroup/memory/app/memory.oom_control": control,
    }
    settings = read_settings(READING, tree(tmp_path, files))
    assert settings.oom_kill_disabled is bool(disabled)
    assert settings.oom_group is None


def test_only_variables_of_allocators_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    environ = read_settings(READING).environ
    assert environ["MALLOC_ARENA_MAX"] == "2"
    assert "SECRET_TOKEN" not in environ


def test_without_resource_there_are_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    assert read_settings(READING).rlimits == {}


@pytest.mark.skipif(tracemalloc.is_tracing(), reason="somebody is tracing")
def test_a_process_set_up_badly_is_seen_through() -> None:
    code = """if True:
        import dataclasses, gc, json, resource
        from leakguard._core.records import Unknown
        from leakguard._core.samples import Reading
        from leakguard._readers.settings import read_settings
        gc.disable()
        gc.callbacks.append(print)
        gc.set_debug(gc.DEBUG_SAVEALL)
        resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))
        print(json.dumps(dataclasses.asdict(read_settings(Reading(Unknown(""))))))
        gc.set_debug(0)
        gc.callbacks.clear()
    """
    done = subprocess.run(
        [sys.executable, "-X", "tracemalloc=7", "-X", "dev", "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(leakguard.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = json.loads(done.stdout)
    assert found["gc_enabled"] is False
    assert found["gc_debug"] == 32
    assert found["gc_callbacks"] == 1
    assert found["traced_frames"] == 7
    assert found["development_mode"] is True
    assert found["rlimits"]["as"] == 1 << 40
