"""What a traced function gives on the real engine: compiled, laid out, run in this process."""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ir import canonical, checker
from chainrule.tracing import Graph, trace
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import Kind, Request
from support.engine_run import run


def answer(f: Callable[..., Any], *args: Any, n: int = 1, workers: int = 1, **options: Any) -> Any:
    """f's result at these arguments, with its structure.

    Args:
        f: traced with the options.
        args: its arguments.
        n: examples of the batch.
        workers: how many share it.
        options: of `trace`.
    """
    traced = trace(f, *args, **options)
    feeds = {**traced.feeds(args), **traced.captures}
    if traced.uses_random:
        feeds["$key"] = np.array([1, 2], np.uint32)
    got = run(program_of(traced), n, feeds, workers=workers)
    return traced.unflatten({name.removeprefix("value/"): v for name, v in got.items()})


def program_of(traced: Graph) -> Program:
    """The program of its value; the graph has passed the checker and the canonical form."""
    graph = traced.graph
    checker.check(graph)
    assert canonical.encode(canonical.decode(canonical.encode(graph))) == canonical.encode(graph)
    return compile_request(graph, [Request(Kind.VALUE)])


def peak_of(f: Callable[..., Any], *args: Any) -> int:
    """Bytes that running it takes at once."""
    return program_of(trace(f, *args)).layout(1).peak_bytes
