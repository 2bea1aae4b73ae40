"""Adam and its kin: steps scaled by running moments of the gradient."""

from typing import Any

import numpy as np

from chainrule.optim.optimizer import (
    Optimizer,
    Rate,
    check_setting,
    in_dtype,
    map_leaves,
    rate_at,
    spelled,
)


@spelled
def adam(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """p <- p - rate * m_hat / (sqrt(v_hat) + eps).

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  m_hat = m / (1 - b1^t),  v_hat = v / (1 - b2^t),
    t = step + 1. Weight decay adds weight_decay * p to g.
    Source: Kingma, Ba 2014, arXiv:1412.6980, algorithm 1; torch.optim.Adam.

    Args:
        learning_rate: a number, or a schedule of the step.
        b1, b2: decay of the two moments.
        eps: added outside of the root.
        weight_decay: an L2 penalty of weight_decay / 2 |p|^2.

    Raises:
        GraphError: a number out of range.
    """
    _check(learning_rate, b1, b2, eps, weight_decay)

    def update(grads: Any, state: Any, params: Any, step: Any) -> tuple[Any, Any]:
        if weight_decay:
            grads = map_leaves(lambda g, p: g + weight_decay * p, grads, params)
        return _step(learning_rate, b1, b2, eps, grads, state, step)

    return Optimizer(_init, update)


@spelled
def adamw(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
) -> Optimizer:
    """Adam with decoupled decay: p <- p - rate * weight_decay * p - rate * m_hat / (sqrt(v_hat) + eps).

    Source: Loshchilov, Hutter 2017, arXiv:1711.05101, algorithm 2; torch.optim.AdamW.

    Args:
        learning_rate: a number, or a schedule of the step.
        b1, b2, eps: as in `adam`.
        weight_decay: the part of p that one step of rate 1 takes away.

    Raises:
        GraphError: a number out of range.
    """
    _check(learning_rate, b1, b2, eps, weight_decay)

    def update(grads: Any, state: Any, params: Any, step: Any) -> tuple[Any, Any]:
        updates, state = _step(learning_rate, b1, b2, eps, grads, state, step)

        def decayed(u: Any, p: Any) -> Any:
            return u - rate_at(learning_rate, step, p) * weight_decay * p

        return map_leaves(decayed, updates, params), state

    return Optimizer(_init, update)


def _check(learning_rate: Rate, b1: float, b2: float, eps: float, weight_decay: float) -> None:
    check_setting(learning_rate, "learning_rate", 0)
    check_setting(b1, "b1", 0, 1)
    check_setting(b2, "b2", 0, 1)
    check_setting(eps, "eps", 0)
    check_setting(weight_decay, "weight_decay", 0)


def _init(params: Any) -> Any:
    return {
        "mean": map_leaves(np.zeros_like, params),
        "square": map_leaves(np.zeros_like, params),
    }


def _step(
    rate: Rate, b1: float, b2: float, eps: float, grads: Any, state: Any, step: Any
) -> tuple[Any, Any]:
    means = map_leaves(lambda m, g: b1 * m + (1.0 - b1) * g, state["mean"], grads)
    squares = map_leaves(lambda v, g: b2 * v + (1.0 - b2) * g**2, state["square"], grads)
    # The corrections are computed in float64 and rounded once, as PyTorch's are.
    t = step + 1.0
    first, second = 1.0 - b1**t, np.sqrt(1.0 - b2**t)

    def update(m: Any, v: Any) -> Any:
        size = rate_at(rate, step, m) / in_dtype(first, m)
        return -size * m / (np.sqrt(v) / in_dtype(second, v) + eps)

    return map_leaves(update, means, squares), {"mean": means, "square": squares}
