"""Parts of optimizers: chains, clipping, schedules."""

from typing import Any

import numpy as np

from chainrule.optim.optimizer import Optimizer, in_dtype, map_leaves, spelled, stateless
from chainrule.schedules import Schedule
from chainrule.tracing.leaves import leaves_of


@spelled
def chain(*parts: Optimizer) -> Optimizer:
    """Each part's updates are the next one's gradients: `chain(clip_by_global_norm(1.0), adam(1e-3))`.

    The state is a dict with the number of each part.
    """

    def init(params: Any) -> Any:
        return {str(i): part.init(params) for i, part in enumerate(parts)}

    def update(grads: Any, state: Any, params: Any, step: Any) -> tuple[Any, Any]:
        after = {}
        for i, part in enumerate(parts):
            # A part without leaves is absent from a state that came back by names.
            grads, after[str(i)] = part.update(grads, state.get(str(i), {}), params, step)
        return grads, after

    return Optimizer(init, update)


@spelled
def clip_by_global_norm(max_norm: float) -> Optimizer:
    """g * min(1, max_norm / (|g| + 1e-6)), |g| over all gradients together.

    Source: Pascanu, Mikolov, Bengio 2012, arXiv:1211.5063, algorithm 1; torch.nn.utils.clip_grad_norm_.
    """

    def update(grads: Any, params: Any, step: Any) -> Any:
        del params, step
        norm = np.sqrt(sum(np.sum(g**2) for _, g in leaves_of(grads, "g")))
        scale = np.minimum(max_norm / (norm + 1e-6), 1.0)
        return map_leaves(lambda g: g * in_dtype(scale, g), grads)

    return stateless(update)


@spelled
def clip_by_value(limit: float) -> Optimizer:
    """Every element of the gradients held within -limit and limit."""

    def update(grads: Any, params: Any, step: Any) -> Any:
        del params, step
        return map_leaves(lambda g: np.clip(g, -limit, limit), grads)

    return stateless(update)


@spelled
def add_weight_decay(weight_decay: float) -> Optimizer:
    """g + weight_decay * p."""

    def update(grads: Any, params: Any, step: Any) -> Any:
        del step
        return map_leaves(lambda g, p: g + weight_decay * p, grads, params)

    return stateless(update)


@spelled
def scale(factor: float) -> Optimizer:
    """factor * g."""

    def update(grads: Any, params: Any, step: Any) -> Any:
        del params, step
        return map_leaves(lambda g: factor * g, grads)

    return stateless(update)


@spelled
def scale_by_schedule(schedule: Schedule) -> Optimizer:
    """schedule(step) * g."""

    def update(grads: Any, params: Any, step: Any) -> Any:
        del params
        return map_leaves(lambda g: in_dtype(schedule(step), g) * g, grads)

    return stateless(update)
