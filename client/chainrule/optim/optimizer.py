"""What an optimizer is: two pure functions of trees, written in NumPy, sent to the server as two graphs."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, ParamSpec

from chainrule.errors import ErrorCode, GraphError
from chainrule.schedules import Schedule
from chainrule.tracing.leaves import leaves_of, rebuild

Rate = float | Schedule
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A rule for updates.

    Attributes:
        init: params -> state, a tree of arrays.
        update: (grads, state, params, step) -> (updates, state); step counts the updates made before this
            one, from 0. New parameters are params + updates. Grads, params and updates have one structure.
        text: the call that made it.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any, Any], tuple[Any, Any]]
    text: str = field(default="custom(...)", compare=False)

    def __repr__(self) -> str:
        return self.text


def spelled(make: Callable[P, Optimizer]) -> Callable[P, Optimizer]:
    """Makes optimizers that print as the call that made them."""

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> Optimizer:
        given = [_brief(a) for a in args] + [f"{k}={_brief(v)}" for k, v in kwargs.items()]
        return replace(make(*args, **kwargs), text=f"{make.__name__}({', '.join(given)})")

    return made


def _brief(value: Any) -> str:
    # A schedule is a function made inside of the one whose name is known.
    return value.__qualname__.split(".")[0] if hasattr(value, "__qualname__") else repr(value)


def check_setting(value: Any, name: str, least: float, end: float = math.inf) -> None:
    """Refuses a number outside of least <= value < end; schedules and arrays show theirs only later.

    Raises:
        GraphError: ATTR_RANGE.
    """
    if callable(value) or hasattr(value, "dtype"):
        return
    if not isinstance(value, int | float) or not least <= value < end:
        bound = "and finite" if end == math.inf else f"and below {end:g}"
        raise GraphError(
            f"{name} is {value!r}",
            code=ErrorCode.ATTR_RANGE,
            field=name,
            cure=f"give a number from {least:g} up, {bound}",
        )


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
