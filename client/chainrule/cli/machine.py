"""What a machine or container has: cores, memory, BLAS, who holds a port."""

import os
import socket
from pathlib import Path
from typing import Any

import numpy as np

_CGROUP = Path("/sys/fs/cgroup")
# A v1 cgroup says "no limit" by a number near 2^63.
_NO_LIMIT = 2**60


def cores() -> tuple[int, float | None]:
    """Cores that this process may use, and the cgroup's quota in cores, None without one."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _read(_CGROUP / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdecimal():
        return usable or 1, int(quota[0]) / int(quota[1])
    v1 = _read(_CGROUP / "cpu/cpu.cfs_quota_us"), _read(_CGROUP / "cpu/cpu.cfs_period_us")
    if v1[0].isdecimal() and v1[1].isdecimal():
        return usable or 1, int(v1[0]) / int(v1[1])
    return usable or 1, None


def memory() -> tuple[int, int | None]:
    """Bytes available, and the cgroup's limit, None without one."""
    available = 0
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    for path in (_CGROUP / "memory.max", _CGROUP / "memory/memory.limit_in_bytes"):
        text = _read(path)
        if text.isdecimal() and int(text) < _NO_LIMIT:
            return available, int(text)
    return available, None


def blas_name() -> str:
    """Name and version of NumPy's BLAS."""
    shown: Any = np.show_config(mode="dicts")
    blas = (shown or {}).get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'BLAS unknown')} {blas.get('version', '')}".strip()


def port_owner(port: int) -> str | None:
    """Who answers on a port of this machine; None where nobody does."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)):
            return None
    return "another process"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
