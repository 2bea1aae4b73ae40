"""Derivatives inside traced code: `grad`, `vjp`, `jvp` and kin, with JAX's signatures, nesting freely.

Each traces its function on a tape of its own and emits one structure row that names it; the engine expands it
by the rules of the primitives. A derivative is another graph, so every order is one more row.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, TraceError
from chainrule.tracing.bodies import Body, call_body, emit_call, emit_jvp, emit_vjp
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, emit, inside, weakly
from chainrule.tracing.refusals import refuse
from chainrule.tracing.source import user_source
from chainrule.tracing.tape import current
from chainrule.tracing.tracer import Tracer

Argnums = int | Sequence[int]
_ASK = "outside, ask the server: client.grad(f, x), client.jvp(...)"


def value_and_grad(
    f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that gives f's value and its gradient.

    Args:
        f: a scalar function; with has_aux it returns (scalar, aux).
        argnums: the argument, or a tuple of them, that the gradient is taken of.
        has_aux: whether f returns something beside the value.

    Returns:
        A function of f's arguments: (value, gradient), or ((value, aux), gradient). The gradient has the
        structure of the argument; a tuple of them for a tuple of argnums.
    """

    def derivative(*args: Any, **kwargs: Any) -> Any:
        inside("value_and_grad", _ASK)
        body = call_body(f, args, kwargs)
        numbers, single = argument_numbers(argnums, len(args))
        wrt = [i for k in numbers for i in _positions(body, k)]
        _check_scalar(body, has_aux)
        one = np.ones((), body.out_avals[0].dtype.numpy)
        rows = emit_vjp(body, wrt, (0,), (one,))
        result = rebuild(body.result, rows[: len(body.out_avals)])
        cotangents = iter(rows[len(body.out_avals) :])
        grads = [_like(args[k], body, k, cotangents) for k in numbers]
        return result, grads[0] if single else tuple(grads)

    return derivative


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives f's gradient; with has_aux (gradient, aux).

    The arguments are those of `value_and_grad`.
    """

    def derivative(*args: Any, **kwargs: Any) -> Any:
        value, grads = value_and_grad(f, argnums, has_aux)(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return derivative


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """f's value and the function from a cotangent of it to cotangents of the primals.

    Returns:
        (value, vjp_fn), with has_aux (value, vjp_fn, aux). vjp_fn(ct) gives a tuple, one a primal.
    """
    inside("vjp", _ASK)
    body = call_body(f, primals, {})
    outs = emit_call(body)
    result = rebuild(body.result, outs)
    value, aux = result if has_aux else (result, None)
    n_values = len(leaves_of(value, "out"))
    wrt = [i for k in range(len(primals)) for i in _positions(body, k)]

    def vjp_fn(ct: Any) -> tuple[Any, ...]:
        seeds = [leaf for _, leaf in leaves_of(ct, "ct")]
        rows = emit_vjp(body, wrt, tuple(range(n_values)), seeds)
        cotangents = iter(rows[len(body.out_avals) :])
        return tuple(_like(p, body, k, cotangents) for k, p in enumerate(primals))

    return (value, vjp_fn, aux) if has_aux else (value, vjp_fn)


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """f's value and its derivative along tangents.

    Args:
        f: any function of arrays.
        primals: its arguments.
        tangents: one an argument, with its structure.
    """
    inside("jvp", _ASK)
    body = call_body(f, tuple(primals), {})
    return _pushed(body, primals, tangents)


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """f's value, and the function from tangents of the primals to the tangent of the value."""
    inside("linearize", _ASK)
    body = call_body(f, primals, {})
    value = rebuild(body.result, emit_call(body))
    return value, lambda *tangents: _pushed(body, primals, tangents)[1]


def hvp(f: Callable[..., Any], *args: Any, vector: Any, wrt: int = 0) -> Any:
    """The Hessian of a scalar function times a vector: forward over reverse, no Hessian is formed.

    Args:
        f: a scalar function.
        args: its arguments.
        vector: what the Hessian is applied to, with the structure of argument `wrt`.
        wrt: the argument that is differentiated twice.
    """

    def gradient(x: Any) -> Any:
        return grad(f, wrt)(*args[:wrt], x, *args[wrt + 1 :])

    return jvp(gradient, (args[wrt],), (vector,))[1]


def stop_gradient(x: Any) -> Any:
    """x with derivative zero; a tree of arrays too."""
    leaves = [leaf for _, leaf in leaves_of(x, "x")]
    return rebuild(x, [_stopped(leaf) for leaf in leaves])


def _stopped(leaf: Any) -> Any:
    if not isinstance(leaf, Tracer) or not leaf.aval.dtype.is_float:
        return leaf
    return weakly(emit("StopGradient", leaf), leaf.weak)


def asarray(x: Any, dtype: Any = None) -> Any:
    """x as a traced value, so that a captured table can be indexed by one: `cr.asarray(table)[y]`.

    Outside of traced code it is `np.asarray`.
    """
    if current() is None:
        return np.asarray(x, dtype)
    value = as_tracer(x)
    return value if dtype is None else value.astype(dtype)


def _pushed(body: Body, primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    if len(primals) != len(tangents):
        raise refuse(
            f"{len(tangents)} tangents for {len(primals)} primals", "give one tangent a primal"
        )
    wrt: list[int] = []
    seeds: list[Any] = []
    for k, tangent in enumerate(tangents):
        wrt += _positions(body, k)
        seeds += [leaf for _, leaf in leaves_of(tangent, "t")]
    outs = [i for i, aval in enumerate(body.out_avals) if aval.dtype.is_float]
    rows = emit_jvp(body, wrt, outs, seeds)
    n = len(body.out_avals)
    pushed: list[Any] = [np.zeros(a.dims, a.dtype.numpy) for a in body.out_avals]
    for i, row in zip(outs, rows[n:], strict=True):
        pushed[i] = row
    return rebuild(body.result, rows[:n]), rebuild(body.result, pushed)


def argument_numbers(argnums: Argnums, count: int) -> tuple[list[int], bool]:
    """The arguments meant, from 0, and whether it is one by itself.

    Raises:
        TraceError: there is no such argument.
    """
    single = isinstance(argnums, int)
    numbers = [argnums] if isinstance(argnums, int) else list(argnums)
    for k in numbers:
        if not -count <= k < count:
            raise refuse(f"argnums {k} of {count} arguments", "count arguments from 0")
    return [k % count for k in numbers], single


def _positions(body: Body, argument: int) -> list[int]:
    """The inputs that are leaves of an argument, all of them floats."""
    found = [i for i in body.arg_leaves[argument] if i is not None]
    for i in found:
        if not body.in_aval(i).dtype.is_float:
            raise TraceError(
                f"argument {argument} holds {body.in_aval(i)}, which has no derivative",
                code=ErrorCode.NOT_DIFFERENTIABLE,
                line=user_source().text,
                cure="differentiate floating-point arguments only; cast it with .astype(np.float64)",
            )
    return found


def _check_scalar(body: Body, has_aux: bool) -> None:
    value = body.result[0] if has_aux else body.result
    first = body.out_avals[0]
    if len(leaves_of(value, "out")) != 1 or first.rank or not first.dtype.is_float:
        raise refuse(
            f"a gradient of {body.tape.name}, which returns {first}"
            + ("" if first.rank else " and is no float scalar"),
            "return one float scalar: reduce with np.sum or np.mean, or use cr.vjp",
        )


def _like(arg: Any, body: Body, number: int, values: Any) -> Any:
    """Cotangents in the structure of an argument; None where a leaf is static."""
    return rebuild(arg, [None if i is None else next(values) for i in body.arg_leaves[number]])
