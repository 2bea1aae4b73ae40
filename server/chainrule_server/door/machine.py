"""What this process may use of the machine: bytes of memory and cores, by cgroup v1, v2 or none."""

import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_SYS = Path("/sys/fs/cgroup")
# cgroup v1 writes "no limit" as a huge number of pages.
_NO_LIMIT = 2**60


def memory_limit(proc: Path = _PROC, sys: Path = _SYS) -> int:
    """Bytes that this process may use: the smallest cgroup limit above it, else the machine's memory."""
    limits = [_memory_total(proc)]
    for folder in _folders("memory", proc, sys):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / name)
            if text.isdecimal() and 0 < int(text) < _NO_LIMIT:
                limits.append(int(text))
    return min(limits)


def core_limit(proc: Path = _PROC, sys: Path = _SYS) -> int:
    """Cores that this process may keep busy: affinity, and the cgroup's quota rounded up."""
    cores = [len(os.sched_getaffinity(0))]
    for folder in _folders("cpu", proc, sys):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not quota:
            quota = _text(folder / "cpu.cfs_quota_us")
            period = _text(folder / "cpu.cfs_period_us")
        if quota.isdecimal() and period.isdecimal() and int(period):
            cores.append(max(1, -(-int(quota) // int(period))))
    return min(cores)


def _folders(controller: str, proc: Path, sys: Path) -> Iterator[Path]:
    """The cgroup folders of this process from its own to the root, in both layouts."""
    for line in _text(proc / "self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            root = sys
        elif controller in names.split(","):
            root = sys / controller
        else:
            continue
        inside = root / path.lstrip("/")
        # In a container the path is the host's and may not exist here: the root is then ours.
        for folder in (inside, *inside.parents):
            if folder.is_dir():
                yield folder
            if folder == root:
                break


def _memory_total(proc: Path) -> int:
    for line in _text(proc / "meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
