"""What Linux is asked to do for a process of ours: die with its parent, keep its bounds, its name."""

import ctypes
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_NO_NEW_PRIVS = 38
# Fields of /proc/self/stat behind the closing bracket of the name: proc(5) counts them from 3.
_ARG_START, _ARG_END = 48 - 3, 49 - 3

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have the kernel SIGKILL this process when the thread that started it ends.

    SIGKILL also ends a stopped process. A parent that went before the request was made is seen by
    its pid, and this process leaves at once.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def refuse_new_privileges() -> None:
    """No set-uid program started from here gains anything."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def ignore_group_signals() -> None:
    """Leave Ctrl-C and a manager's SIGTERM to the group to the server, which drains first."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def set_bounds(*, grant_bytes: int | None, max_files: int, oom_score_adj: int) -> None:
    """Bound this process; what it already uses is its own.

    Args:
        grant_bytes: private memory it may take beyond what it holds now, None for no bound.
            RLIMIT_DATA: shared mappings don't count, and NumPy raises MemoryError.
        max_files: open fds; the system's own bound stands where it is lower.
        oom_score_adj: 0 to 1000, how much rather than others the kernel shall end it.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = max_files if hard == resource.RLIM_INFINITY else min(max_files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write(str(oom_score_adj))
    if grant_bytes is not None:
        limit = data_bytes() + grant_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def data_bytes() -> int:
    """Private writable memory mapped by this process: what RLIMIT_DATA counts."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmData:"):
                return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmData line")


def set_title(title: str) -> None:
    """Show `title` in ps and top: written over the arguments this process was started with.

    A title longer than they were is cut.
    """
    _prctl(_PR_SET_NAME, title.encode()[:15])
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    if 0 < start < end:
        # The last byte stays 0: without it the kernel reads on into the environment.
        text = title.encode()[: end - start - 1].ljust(end - start, b"\0")
        ctypes.memmove(start, text, len(text))


def _prctl(option: int, value: int | bytes) -> None:
    argument = value if isinstance(value, bytes) else ctypes.c_ulong(value)
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, argument, zero, zero, zero) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl({option}): {os.strerror(code)}")
