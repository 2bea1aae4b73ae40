"""Stochastic gradient descent."""

from typing import Any

import numpy as np

from chainrule.optim.optimizer import Optimizer, Rate, check_setting, map_leaves, rate_at, spelled


@spelled
def sgd(
    learning_rate: Rate,
    momentum: float = 0.0,
    nesterov: bool = False,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """p <- p - rate * g, with momentum m <- mu m + (1 - dampening) g in place of g.

    The first m is g itself. Nesterov takes g + mu m. Weight decay adds weight_decay * p to g.
    Source: torch.optim.SGD; Sutskever et al. 2013, ICML, equation 3, in its form.

    Args:
        learning_rate: a number, or a schedule of the step.
        momentum: mu; 0 keeps no state.
        nesterov: whether to look ahead; it needs momentum and no dampening.
        dampening: of the gradient in the momentum.
        weight_decay: an L2 penalty of weight_decay / 2 |p|^2.

    Raises:
        GraphError: a number out of range.
        ValueError: nesterov without momentum or with dampening.
    """
    check_setting(learning_rate, "learning_rate", 0)
    check_setting(momentum, "momentum", 0)
    check_setting(weight_decay, "weight_decay", 0)
    if nesterov and (momentum <= 0 or dampening != 0):
        raise ValueError("nesterov needs momentum > 0 and dampening == 0: set both")

    def init(params: Any) -> Any:
        return {"momentum": map_leaves(np.zeros_like, params)} if momentum else {}

    def update(grads: Any, state: Any, params: Any, step: Any) -> tuple[Any, Any]:
        if weight_decay:
            grads = map_leaves(lambda g, p: g + weight_decay * p, grads, params)
        directions = grads
        if momentum:
            buffers = map_leaves(lambda m, g: _buffer(m, g, step), state["momentum"], grads)
            state = {"momentum": buffers}
            directions = buffers
            if nesterov:
                directions = map_leaves(lambda g, m: g + momentum * m, grads, buffers)
        return map_leaves(lambda d: -rate_at(learning_rate, step, d) * d, directions), state

    def _buffer(m: Any, g: Any, step: Any) -> Any:
        # Without dampening mu * 0 + g is the first gradient already.
        if not dampening:
            return momentum * m + g
        return np.where(step == 0, g, momentum * m + (1.0 - dampening) * g)

    return Optimizer(init, update)
