"""An optimizer as the two graphs that a session sends."""

from typing import Any

import numpy as np

from chainrule.optim.optimizer import Optimizer
from chainrule.tracing.graph import Graph
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.spec import Spec, spec
from chainrule.tracing.trace import trace


def trace_optimizer(optimizer: Optimizer, params: Any) -> tuple[Graph, Graph]:
    """The graphs of an optimizer for parameters of these shapes.

    Args:
        optimizer: its two functions.
        params: arrays or `cr.spec`s in the structure of the parameters.

    Returns:
        init, `params/..` -> `state/..`, and update, `grads/.. state/.. params/.. step` ->
        `updates/.. state/..`; step is an int64 scalar.

    Raises:
        TraceError: a function of the optimizer can't be traced, or returns another structure.
    """
    optimizer = _with_state(optimizer, params)
    init = trace(optimizer.init, params, inputs=("params",), outputs="state")
    state = _state_specs(optimizer, init, params)
    step = spec((), np.int64)
    update = trace(
        optimizer.update,
        params,
        state,
        params,
        step,
        inputs=("grads", "state", "params", "step"),
        outputs=("updates", "state"),
    )
    return init, update


def _with_state(optimizer: Optimizer, params: Any) -> Optimizer:
    """The optimizer, or one that counts its updates where it has no state: a graph needs an output."""
    if leaves_of(_state_like(optimizer, params), "state"):
        return optimizer

    def update(grads: Any, state: Any, params: Any, step: Any) -> tuple[Any, Any]:
        updates, _ = optimizer.update(grads, {}, params, step)
        return updates, {"count": state["count"] + 1}

    return Optimizer(lambda params: {"count": np.zeros((), np.int64)}, update)


def _state_like(optimizer: Optimizer, params: Any) -> Any:
    """The structure of the state: `init` on 0-stride zeros, which take no memory."""
    leaves = [
        np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape)
        if isinstance(leaf, Spec)
        else np.broadcast_to(np.zeros((), np.asarray(leaf).dtype), np.shape(leaf))
        for _, leaf in leaves_of(params, "params")
    ]
    return optimizer.init(rebuild(params, leaves))


def _state_specs(optimizer: Optimizer, init: Graph, params: Any) -> Any:
    avals = init.out_avals
    tree = _state_like(optimizer, params)
    return rebuild(
        tree,
        [spec(avals[name].dims, avals[name].dtype.numpy) for name, _ in leaves_of(tree, "state")],
    )
