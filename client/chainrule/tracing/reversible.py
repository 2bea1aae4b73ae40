"""`reversible`: a network whose gradient needs no stored activations, since each layer can be undone.

Layer k:    y1 = x1 + f(x2, p_k)        y2 = x2 + g(y1, p_k)
Undone:     x2 = y2 - g(y1, p_k)        x1 = y1 - f(x2, p_k)

Backwards, from the last layer to the first, inputs are reconstructed and each layer is differentiated:
    y1_ct += vjp of g in y1 (y2_ct),    y2_ct += vjp of f in x2 (y1_ct)

Source: Gomez, Ren, Urtasun, Grosse, The reversible residual network, arXiv:1707.04585, algorithm 1.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval, DType
from chainrule.tracing.bodies import Body, Slot, call_body, call_vjp, emit_structure
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.loops import scan
from chainrule.tracing.operands import as_tracer, emit, inside
from chainrule.tracing.refusals import refuse
from chainrule.tracing.rules import custom_vjp
from chainrule.tracing.tracer import Tracer

Leaves = tuple[Any, ...]

# Below this a sum of two multiples of one unit is exact in float64: 53 bits, one for the sum.
_MANTISSA = 52
# Bits of an int64 without its sign.
_INTEGER = 63


def reversible(
    f: Callable[[Any, Any], Any],
    g: Callable[[Any, Any], Any],
    inputs: tuple[Any, Any],
    stacked_params: Any,
    exact: int | None = None,
) -> tuple[Any, Any]:
    """The last layer's (y1, y2); the memory of a gradient doesn't grow with the number of layers.

    Reconstruction loses a rounding a layer. With exact=q nothing is lost: the inputs and what f and g give
    are rounded to multiples of 2^-q, which changes the function by that much; its derivative is that of the
    unrounded f and g at the rounded values.

    Args:
        f, g: from an array or tree like x and one layer's parameters to one like x. What they close over is
            differentiated too.
        inputs: (x1, x2), trees of equal structure and shapes.
        stacked_params: a tree of arrays with the layers on the leading axis.
        exact: q. Values have to stay below 2^(52 - q); where one doesn't, the call is refused.

    Raises:
        TraceError: inputs that differ, or layers that change the structure or shape.
    """
    inside("reversible")
    x1, x2 = inputs
    params = [as_tracer(p) for _, p in leaves_of(stacked_params, "params")]
    _check(x1, x2, params, exact)
    one = rebuild(stacked_params, [Slot(Aval(p.aval.dtype, p.shape[1:])) for p in params])
    like = [as_tracer(x) for _, x in leaves_of(x1, "x")]
    slots = rebuild(x1, [Slot(x.aval) for x in like])
    layers = [_Half(call_body(h, (slots, one), {}), x1, like) for h in (f, g)]
    network = _network(layers[0], layers[1], exact)
    y1, y2 = network(
        tuple(like),
        tuple(as_tracer(x) for _, x in leaves_of(x2, "x")),
        tuple(params),
        *(half.outside for half in layers),
    )
    return rebuild(x1, y1), rebuild(x2, y2)


class _Half:
    """f or g as a closed function of leaves: what it closed over is an argument."""

    def __init__(self, body: Body, tree: Any, like: Sequence[Tracer]) -> None:
        self.body = body
        self.n = len(like)
        parent = body.tape.parent
        assert parent is not None
        self.outside = tuple(Tracer(parent, row) for row in body.closures)
        if [name for name, _ in leaves_of(body.result, "x")] != [
            name for name, _ in leaves_of(tree, "x")
        ]:
            raise refuse(
                f"{body.tape.name} of cr.reversible returns another tree than it takes",
                "return one like x",
            )
        for have, want in zip(body.out_avals, like, strict=True):
            if have != want.aval:
                raise refuse(
                    f"{body.tape.name} of cr.reversible gives {have} for an input {want.aval}",
                    "give back the shape and dtype of x",
                )

    def __call__(self, x: Leaves, p: Leaves, c: Leaves) -> list[Tracer]:
        """Its value."""
        return emit_structure("Call", self.body, [*x, *p, *c], {}, self.body.out_avals)

    def back(self, x: Leaves, p: Leaves, c: Leaves, ct: Leaves) -> tuple[Leaves, Leaves, Leaves]:
        """Cotangents of x, p and c; None for integers."""
        operands = [as_tracer(v) for v in (*x, *p, *c)]
        wrt = [i for i, v in enumerate(operands) if v.aval.dtype.is_float]
        found = call_vjp(self.body, operands, wrt, range(self.n), ct)[self.n :]
        by_place: dict[int, Any] = dict(zip(wrt, found, strict=True))
        every = tuple(by_place.get(i) for i in range(len(operands)))
        cut = len(x) + len(p)
        return every[: len(x)], every[len(x) : cut], every[cut:]


def _network(f: _Half, g: _Half, exact: int | None) -> Callable[..., tuple[Leaves, Leaves]]:
    def rounded(values: Sequence[Any]) -> Leaves:
        return tuple(values) if exact is None else tuple(_rounded(v, exact) for v in values)

    def bounded(values: Sequence[Any]) -> Leaves:
        return tuple(values) if exact is None else tuple(_bounded(v, exact) for v in values)

    def forward(x1: Leaves, x2: Leaves, ps: Leaves, cf: Leaves, cg: Leaves) -> Any:
        def layer(x: Any, p: Leaves) -> Any:
            y1 = bounded(_add(x[0], rounded(f(x[1], p, cf))))
            y2 = bounded(_add(x[1], rounded(g(y1, p, cg))))
            return (y1, y2), None

        return scan(layer, (bounded(rounded(x1)), bounded(rounded(x2))), ps)[0]

    def way_back(x1: Leaves, x2: Leaves, ps: Leaves, cf: Leaves, cg: Leaves, ct: Any) -> Any:
        def layer(carry: Any, p: Leaves) -> Any:
            y1, y2, ct1, ct2, sum_f, sum_g = carry
            x2 = _sub(y2, rounded(g(y1, p, cg)))
            x1 = _sub(y1, rounded(f(x2, p, cf)))
            from_g, p_g, c_g = g.back(y1, p, cg, ct2)
            ct1 = _add(ct1, from_g)
            from_f, p_f, c_f = f.back(x2, p, cf, ct1)
            ct2 = _add(ct2, from_f)
            carry = (x1, x2, ct1, ct2, _gather(sum_f, c_f), _gather(sum_g, c_g))
            return carry, _gather(p_f, p_g)

        # Equal to the forward pass, so the engine finds that one and computes nothing twice.
        y1, y2 = forward(x1, x2, ps, cf, cg)
        start = (y1, y2, *ct, _zeros(cf), _zeros(cg))
        last, p_ct = scan(layer, start, ps, reverse=True)
        return last[2], last[3], p_ct, last[4], last[5]

    return custom_vjp(forward, way_back)


def _rounded(x: Any, q: int) -> Any:
    """The nearest multiple of 2^-q, with the derivative of x."""
    unit = 2.0**q

    def nearest(v: Any) -> Any:
        return emit("Round", as_tracer(v * unit)) * (1 / unit)

    return custom_vjp(nearest, lambda v, ct: ct)(x)


def _bounded(x: Any, q: int) -> Any:
    """x itself, and an error beyond the exact range: the loss of exactness can't pass.

    x is a multiple of 2^-q. Made as large as an int64 just at the end of the range, it is cast to one and
    back: of a number within, every bit; of one beyond, or of NaN, the cast is refused. The derivative is that
    of x, which a cast has not: second derivatives go through the forward pass.
    """
    scale = 2.0 ** (q + _INTEGER - _MANTISSA)

    def checked(v: Any) -> Any:
        whole = emit("Cast", as_tracer(v * scale), dtype=DType.INT64)
        return emit("Cast", whole, dtype=DType.FLOAT64) * (1 / scale)

    return custom_vjp(checked, lambda v, ct: ct)(x)


def _add(a: Sequence[Any], b: Sequence[Any]) -> Leaves:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def _sub(a: Sequence[Any], b: Sequence[Any]) -> Leaves:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _gather(a: Sequence[Any], b: Sequence[Any]) -> Leaves:
    """Sums of cotangents; None where there is no derivative."""
    return tuple(None if x is None or y is None else x + y for x, y in zip(a, b, strict=True))


def _zeros(values: Sequence[Tracer]) -> Leaves:
    return tuple(np.zeros_like(v) if v.aval.dtype.is_float else None for v in values)


def _check(x1: Any, x2: Any, params: Sequence[Tracer], exact: int | None) -> None:
    pairs = [[(n, as_tracer(v).aval) for n, v in leaves_of(x, "x")] for x in (x1, x2)]
    if pairs[0] != pairs[1] or not pairs[0]:
        raise refuse(
            f"cr.reversible of {[str(a) for _, a in pairs[0]]} and {[str(a) for _, a in pairs[1]]}",
            "give two inputs of equal structure, shapes and dtypes",
        )
    floats = all(aval.dtype.is_float for _, aval in pairs[0])
    doubles = all(aval.dtype.itemsize == 8 for _, aval in pairs[0])
    if not floats or (exact is not None and not doubles):
        raise refuse(
            f"cr.reversible of {pairs[0][0][1].dtype.label}"
            + ("" if exact is None else " with exact="),
            "give floating-point inputs, float64 with exact=",
        )
    if exact is not None and not 1 <= exact < _MANTISSA:
        raise refuse(f"exact={exact}", f"give bits after the point from 1 to {_MANTISSA - 1}")
    if not params or any(not p.shape for p in params):
        raise refuse("cr.reversible without stacked parameters", "stack them: layers in front")
