"""`chainrule doctor`: what this machine has, and whether a gradient comes back right."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from chainrule.cli.handing import missing_packages
from chainrule.cli.machine import blas_name, cores, memory, port_owner
from chainrule.cli.screen import say, show_mark
from chainrule.connecting import connect
from chainrule.errors import ChainruleError
from chainrule.results import si

_PORT = 50051
_ENOUGH_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: `mark` is ok, note or fail."""

    mark: str
    name: str
    text: str


def run(options: argparse.Namespace) -> int:
    """Runs every check; 1 where one failed."""
    findings = []
    for check in CHECKS:
        for finding in check():
            findings.append(finding)
            if not options.json:
                show_mark(finding.mark, finding.name, finding.text)
    failed = [f for f in findings if f.mark == "fail"]
    if options.json:
        say(json.dumps([asdict(f) for f in findings]))
    else:
        say(f"\n{len(failed)} of {len(findings)} failed" if failed else "\neverything works")
    return 1 if failed else 0


def check_python() -> Iterator[Finding]:
    """The interpreter and the platform."""
    version = ".".join(map(str, sys.version_info[:3]))
    mark = "ok" if sys.version_info >= (3, 11) else "fail"
    yield Finding(mark, "python", f"{version} on {sys.platform}, {sys.executable}")
    if sys.platform != "linux":
        yield Finding("note", "platform", "private servers need Linux; the client runs anywhere")


def check_packages() -> Iterator[Finding]:
    """What the base install brings, and the extra."""
    import google.protobuf
    import grpc

    yield Finding("ok", "numpy", f"{np.__version__}, {blas_name()}")
    yield Finding("ok", "grpc", f"{grpc.__version__}, protobuf {google.protobuf.__version__}")
    missing = missing_packages("serve")
    if missing:
        extra = 'pip install "chainrule[server]"'
        yield Finding("note", "server", f"{', '.join(missing)} not installed; {extra}")
    else:
        yield Finding("ok", "server", "the server extra is installed")


def check_machine() -> Iterator[Finding]:
    """Cores and memory, as a container sees them."""
    usable, quota = cores()
    limited = f", the cgroup allows {quota:.3g}" if quota is not None else ""
    yield Finding("ok", "cores", f"{usable} usable{limited}")
    available, limit = memory()
    limited = f", the cgroup allows {si(limit)}B" if limit is not None else ""
    room = min(available, limit) if limit is not None else available
    mark = "ok" if room >= _ENOUGH_BYTES else "note"
    yield Finding(mark, "memory", f"{si(available)}B available{limited}")


def check_port() -> Iterator[Finding]:
    """The port that `chainrule serve` takes."""
    owner = port_owner(_PORT)
    if owner is None:
        yield Finding("ok", "port", f"{_PORT} is free for chainrule serve")
    else:
        yield Finding("note", "port", f"{_PORT} is taken by {owner}; --listen takes another")


def check_gradient() -> Iterator[Finding]:
    """A private server, its workers, and one gradient against its closed form."""
    if sys.platform != "linux" or missing_packages("serve"):
        yield Finding("note", "gradient", "not tried: there is no private server here")
        return
    begin = time.perf_counter()
    try:
        with connect("local") as client:
            info = client.info()
            started = time.perf_counter() - begin
            yield Finding("ok", "private", f"{info.workers} workers, up in {started:.2f} s")
            yield _gradient(client.grad)
    except ChainruleError as error:
        yield Finding("fail", "private", str(error))


def check_remote() -> Iterator[Finding]:
    """The server that the environment names, where it names one."""
    address = os.environ.get("CHAINRULE_ADDRESS")
    if not address or address == "local":
        return
    try:
        with connect() as client:
            begin = time.perf_counter()
            info = client.info(timeout_s=10.0)
            took = 1e3 * (time.perf_counter() - begin)
            yield Finding("ok", "remote", f"{address}: chainrule {info.version}, {took:.1f} ms")
            yield _gradient(client.grad)
    except ChainruleError as error:
        yield Finding("fail", "remote", f"{address}: {error}")


def _gradient(grad: Callable[..., Any]) -> Finding:
    x = np.linspace(-1.0, 1.0, 5)
    begin = time.perf_counter()
    found = grad(lambda x: np.sum(np.sin((2 * x + 1) ** 2)), x)
    took = 1e3 * (time.perf_counter() - begin)
    error = float(np.max(np.abs(found - 4 * (2 * x + 1) * np.cos((2 * x + 1) ** 2))))
    text = f"d/dx sin((2x + 1)^2), largest error {error:.1e}, {took:.1f} ms"
    return Finding("ok" if error < 1e-12 else "fail", "gradient", text)


CHECKS = (
    check_python,
    check_packages,
    check_machine,
    check_port,
    check_gradient,
    check_remote,
)
