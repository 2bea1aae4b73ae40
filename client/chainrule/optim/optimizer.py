"""What an optimizer is: two pure functions of trees, written in NumPy, sent to the server as two graphs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chainrule.schedules import Schedule
from chainrule.tracing.leaves import leaves_of, rebuild

Rate = float | Schedule


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A rule for updates.

    Attributes:
        init: params -> state, a tree of arrays.
        update: (grads, state, params, step) -> (updates, state); step counts the updates made before this
            one, from 0. New parameters are params + updates. Grads, params and updates have one structure.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any, Any], tuple[Any, Any]]


def custom(
    init: Callable[[Any], Any], update: Callable[[Any, Any, Any, Any], tuple[Any, Any]]
) -> Optimizer:
    """An optimizer of one's own; see `Optimizer` for the two functions."""
    return Optimizer(init, update)


def stateless(update: Callable[[Any, Any, Any], Any]) -> Optimizer:
    """An optimizer without state: update(grads, params, step) -> updates."""
    return Optimizer(
        lambda params: {}, lambda grads, state, params, step: (update(grads, params, step), state)
    )


def map_leaves(fn: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """A tree like the first one, of fn(leaf, leaf of the second, ...)."""
    columns = [[leaf for _, leaf in leaves_of(t, "leaf")] for t in (tree, *others)]
    return rebuild(tree, [fn(*leaves) for leaves in zip(*columns, strict=True)])


def rate_at(rate: Rate, step: Any, like: Any) -> Any:
    """The learning rate at a step, in the dtype of an array, which it must not widen."""
    return in_dtype(rate(step) if callable(rate) else rate, like)


def in_dtype(value: Any, like: Any) -> Any:
    """A scalar in the dtype of an array; a Python number takes it by itself."""
    return value.astype(like.dtype) if hasattr(value, "astype") else value
