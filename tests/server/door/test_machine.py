"""Limits of cgroup v1, v2 and none, in made-up trees."""

from pathlib import Path

import pytest

from chainrule_server.door.machine import core_limit, memory_limit


def tree(root: Path, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "sys").mkdir(exist_ok=True)
    return root / "proc", root / "sys"


MEMINFO = {"proc/meminfo": "MemTotal:       2097152 kB\n"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 2 * 2**30),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/a/b/memory.max": "max\n"}, 2 * 2**30),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/a/b/memory.max": "1000000\n"}, 1_000_000),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/a/b/memory.max": "max\n",
                "sys/a/memory.max": "5000\n",
            },
            5000,
        ),
        ({"proc/self/cgroup": "0::/not/here\n", "sys/memory.max": "7000\n"}, 7000),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/c\n4:memory:/m\n",
                "sys/memory/m/memory.limit_in_bytes": "9000\n",
            },
            9000,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/m\n",
                "sys/memory/m/memory.limit_in_bytes": "9223372036854771712\n",
            },
            2 * 2**30,
        ),
    ],
)
def test_memory_is_the_smallest_limit_above(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert memory_limit(*tree(tmp_path, MEMINFO | files)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/cpu.max": "50000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/c\n",
                "sys/cpu/c/cpu.cfs_quota_us": "100000\n",
                "sys/cpu/c/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
    ],
)
def test_cores_are_bounded_by_the_quota(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert core_limit(*tree(tmp_path, files)) == expected


def test_this_machine_has_some_of_both() -> None:
    assert memory_limit() > 2**20
    assert core_limit() >= 1
