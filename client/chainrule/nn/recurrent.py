"""Recurrent layers over (batch, time, features): a scan over time where traced, a loop on plain arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.nn.library import sigmoid
from chainrule.tracing.loops import scan
from chainrule.tracing.tape import current

State = tuple[Any, ...]


def lstm(x: Any, params: dict[str, Any], state: State | None = None) -> tuple[Any, State]:
    """h of every step (batch, time, units), and the last (h, c).

        i, f, g, o = x_t W + h U + b;   c = s(f) c + s(i) tanh(g);   h = s(o) tanh(c)

    Source: Hochreiter, Schmidhuber 1997; with forget gates: Gers, Schmidhuber, Cummins 2000.

    Args:
        x: (batch, time, inputs).
        params: {"w": (inputs, 4 units), "u": (units, 4 units), "b": (4 units,)}, gates in the order i f g o.
        state: the first (h, c), (batch, units) each; zeros by default.
    """
    units = np.shape(params["u"])[0]

    def step(carry: State, z: Any) -> tuple[State, Any]:
        h, c = carry
        i, f, g, o = np.split(z + h @ params["u"], 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h, c), h

    return _over_time(step, x @ params["w"] + params["b"], state or (None, None), units)


def gru(x: Any, params: dict[str, Any], state: State | None = None) -> tuple[Any, State]:
    """h of every step (batch, time, units), and the last (h,).

        r, z = s(x_t W + h U + b);   n = tanh(x_t W_n + b_n + r (h U_n + b_u));   h = (1 - z) n + z h

    Source: Cho et al. 2014, arXiv:1406.1078, with the reset behind the product, as PyTorch's.

    Args:
        x: (batch, time, inputs).
        params: {"w": (inputs, 3 units), "u": (units, 3 units), "b": (3 units,), "bu": (units,)}, gates in the
            order r z n; bu is the bias inside the reset.
        state: the first (h,), (batch, units); zeros by default.
    """
    units = np.shape(params["u"])[0]

    def step(carry: State, z: Any) -> tuple[State, Any]:
        (h,) = carry
        ours, theirs = np.split(z, 3, axis=-1), np.split(h @ params["u"], 3, axis=-1)
        reset, keep = sigmoid(ours[0] + theirs[0]), sigmoid(ours[1] + theirs[1])
        new = np.tanh(ours[2] + reset * (theirs[2] + params["bu"]))
        h = (1 - keep) * new + keep * h
        return (h,), h

    return _over_time(step, x @ params["w"] + params["b"], state or (None,), units)


def _over_time(
    step: Callable[[State, Any], tuple[State, Any]], z: Any, state: State, units: int
) -> tuple[Any, State]:
    # The products of all inputs are one; only what depends on the state is inside the loop.
    zero = np.zeros((len(z), units), z.dtype)
    start = tuple(zero if s is None else s for s in state)
    steps = np.swapaxes(z, 0, 1)
    if current() is not None:
        last, out = scan(step, start, steps)
        return np.swapaxes(out, 0, 1), last
    every = []
    for row in steps:
        start, h = step(start, row)
        every.append(h)
    return np.stack(every, axis=1), start
