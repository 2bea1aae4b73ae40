"""A function over a session's parameters as a graph."""

import inspect
from typing import Any

from chainrule.lossgraphs import takes_train
from chainrule.prepared import Function, check_callable
from chainrule.tracing import Graph, trace


def trace_prediction(f: Function, params: Any, buffers: Any, batch: tuple[Any, ...]) -> Graph:
    """The graph of f(params, *batch), or of f(params, buffers, *batch) where f takes so many.

    Args:
        f: NumPy code, or a graph, which is itself.
        params, buffers: `cr.spec`s; buffers None without any.
        batch: arrays with the examples as leading axis.

    Raises:
        TraceError, ShapeMismatch: as `cr.trace`.
    """
    if isinstance(f, Graph):
        return f
    check_callable(f)
    with_buffers = buffers is not None and _positional(f) != 1 + len(batch)
    state = (params, buffers) if with_buffers else (params,)
    first = len(state)
    return trace(
        f,
        *state,
        *batch,
        kwargs={"train": False} if takes_train(f) else None,
        batch=tuple(range(first, first + len(batch))),
        inputs=(*("params", "buffers")[:first], *(f"batch/{i}" for i in range(len(batch)))),
        outputs="out",
    )


def _positional(f: Any) -> int | None:
    """How many positional arguments f takes; None where it takes any number."""
    try:
        parameters = inspect.signature(f).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in places and p.name != "train" for p in parameters)
