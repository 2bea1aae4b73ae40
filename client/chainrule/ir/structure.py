"""Shape rules of the structure ops: nodes that run functions.

Call(f)               x -> f(x)
Vjp(f, wrt, outs)     x, ct of outs -> f(x), ct of wrt
Jvp(f, wrt, outs)     x, t of wrt -> f(x), t of outs
Vmap(f, axes, size)   x with lanes -> f of each lane, lanes in front; an axis -1 is shared by all lanes
Checkpoint(f)         x -> f(x), whose inside is computed again when a derivative needs it
CustomVjp(f, rule)    x -> f(x); rule: x, ct -> cotangents of the floating-point inputs
Cond(f, g)            p, x -> f(x) if p else g(x)
Scan(f)               consts, carry, xs -> carry, ys [, steps]
FixedPoint(f)         consts, x0 -> x with x = f(consts, x), iterations, residual
"""

from collections.abc import Callable
from typing import cast

from chainrule.errors import ErrorCode, InvalidGraph, ShapeMismatch
from chainrule.ir.attrs import AttrValue, callees
from chainrule.ir.avals import Aval, DType, Shape, check_shape
from chainrule.ir.graph import Function
from chainrule.ir.rules import Avals, mismatch

AttrMap = dict[str, AttrValue]
Functions = tuple[Function, ...]
Infer = Callable[[Avals, AttrMap, Functions], Avals]


def infer_structure(op: str, avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
    """Output avals of a structure node.

    Raises:
        InvalidGraph: it names a function that isn't there (BAD_REF).
        ShapeMismatch: operands that don't fit the function.
    """
    for index in callees(tuple(attrs.items())):
        if not 0 <= index < len(functions):
            raise InvalidGraph(
                f"{op} names function {index} of {len(functions)}",
                code=ErrorCode.BAD_REF,
                cure="a function may name earlier functions only",
            )
    return STRUCTURE[op](avals, attrs, functions)


def _body(attrs: AttrMap, functions: Functions, name: str = "function") -> Function:
    return functions[cast(int, attrs[name])]


def _call(avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
    body = _body(attrs, functions)
    _same(body, body.in_avals, avals)
    return body.out_avals


def _derivative(op: str) -> Infer:
    def infer(avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
        body = _body(attrs, functions)
        wrt = cast(tuple[int, ...], attrs["wrt"])
        outs = cast(tuple[int, ...], attrs["outs"])
        _differentiable(op, "wrt", wrt, body.in_avals)
        _differentiable(op, "outs", outs, body.out_avals)
        in_wrt = tuple(body.in_avals[i] for i in wrt)
        of_outs = tuple(body.out_avals[i] for i in outs)
        seeds, results = (of_outs, in_wrt) if op == "Vjp" else (in_wrt, of_outs)
        _same(body, body.in_avals + seeds, avals)
        return body.out_avals + results

    return infer


def _vmap(avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
    body = _body(attrs, functions)
    axes = cast(tuple[int, ...], attrs["in_axes"])
    sizes = cast(Shape, attrs["size"])
    if len(sizes) != 1 or len(axes) != len(body.in_avals):
        raise InvalidGraph(
            f"Vmap of {body.name} over {len(sizes)} sizes with {len(axes)} axes",
            code=ErrorCode.ATTR_RANGE,
            cure=f"give one size and {len(body.in_avals)} axes, -1 where lanes share a value",
        )
    # The size is no dimension of an input where all lanes share everything.
    check_shape(sizes)
    expected = []
    for aval, axis in zip(body.in_avals, axes, strict=True):
        if not -1 <= axis <= aval.rank:
            raise InvalidGraph(
                f"axis {axis} of lanes for an input {aval} of {body.name}", code=ErrorCode.BAD_AXIS
            )
        shape = aval.shape if axis < 0 else (*aval.shape[:axis], *sizes, *aval.shape[axis:])
        expected.append(Aval(aval.dtype, shape))
    _same(body, tuple(expected), avals)
    return tuple(Aval(a.dtype, (*sizes, *a.shape)) for a in body.out_avals)


def _custom_vjp(avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
    body, rule = _body(attrs, functions), _body(attrs, functions, "otherwise")
    _same(body, body.in_avals, avals)
    expected = body.in_avals + floats(body.out_avals)
    if rule.in_avals != expected or rule.out_avals != floats(body.in_avals):
        raise mismatch(
            f"the rule of {body.name} takes {_list(rule.in_avals)} to {_list(rule.out_avals)}",
            cure=f"take {_list(expected)} to {_list(floats(body.in_avals))}",
        )
    return body.out_avals


def _cond(avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
    yes, no = _body(attrs, functions), _body(attrs, functions, "otherwise")
    if not avals or avals[0] != Aval(DType.BOOL):
        raise mismatch(
            f"a condition is one bool, not {_list(avals[:1])}",
            cure="use where for a choice an element",
        )
    _same(yes, yes.in_avals, avals[1:])
    _same(no, no.in_avals, avals[1:])
    if yes.out_avals != no.out_avals:
        raise mismatch(
            f"the branches give {_list(yes.out_avals)} and {_list(no.out_avals)}",
            cure="make them alike",
        )
    return yes.out_avals


def _scan(avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
    body = _body(attrs, functions)
    shape = ScanShape.of(attrs)
    given = avals[shape.limit :]
    if shape.limit and (not avals or avals[0] != Aval(DType.INT64)):
        raise mismatch("the limit of a Scan is one int64")
    if len(given) != len(body.in_avals) or len(given) < shape.n_consts + shape.n_carry:
        raise mismatch(f"{body.name} takes {len(body.in_avals)} values in a Scan, not {len(given)}")
    fixed = shape.n_consts + shape.n_carry
    _same(body, body.in_avals[:fixed], given[:fixed])
    for inner, outer in zip(body.in_avals[fixed:], given[fixed:], strict=True):
        if outer != Aval(inner.dtype, (shape.length, *inner.shape)):
            raise mismatch(
                f"a Scan of {shape.length} steps takes slices {inner}, it is given {outer}",
                cure="put the steps on the leading axis",
            )
    outs = body.out_avals
    if shape.until:
        if not outs or outs[0] != Aval(DType.BOOL):
            raise mismatch("a Scan with until gives one bool first")
        outs = outs[1:]
    carry, ys = outs[: shape.n_carry], outs[shape.n_carry :]
    if carry != body.in_avals[shape.n_consts : fixed]:
        raise mismatch(
            f"{body.name} takes the carry {_list(body.in_avals[shape.n_consts : fixed])} "
            f"and gives {_list(carry)}",
            cure="give the carry back in the same shape and dtype",
        )
    stacked = tuple(Aval(y.dtype, (shape.length, *y.shape)) for y in ys)
    steps = (Aval(DType.INT64),) if shape.until else ()
    return carry + stacked + steps


def _fixed_point(avals: Avals, attrs: AttrMap, functions: Functions) -> Avals:
    body = _body(attrs, functions)
    n_consts = cast(int, attrs["n_consts"])
    _same(body, body.in_avals, avals)
    state = body.in_avals[n_consts:]
    if not state or any(not a.dtype.is_float for a in state):
        raise mismatch("a fixed point is of floating-point values")
    if body.out_avals != state:
        raise mismatch(
            f"{body.name} takes {_list(state)} to {_list(body.out_avals)}",
            cure="give back what is taken, in the same shape and dtype",
        )
    return (*state, Aval(DType.INT64), Aval(DType.FLOAT64))


STRUCTURE: dict[str, Infer] = {
    "Call": _call,
    "Vjp": _derivative("Vjp"),
    "Jvp": _derivative("Jvp"),
    "Vmap": _vmap,
    "Checkpoint": _call,
    "CustomVjp": _custom_vjp,
    "Cond": _cond,
    "Scan": _scan,
    "FixedPoint": _fixed_point,
}


class ScanShape:
    """The attributes of a Scan, read."""

    __slots__ = ("length", "limit", "n_carry", "n_consts", "reverse", "until")

    def __init__(
        self, n_consts: int, n_carry: int, length: int, reverse: bool, until: bool, limit: bool
    ) -> None:
        self.n_consts = n_consts
        self.n_carry = n_carry
        self.length = length
        self.reverse = reverse
        self.until = until
        self.limit = limit

    @staticmethod
    def of(attrs: AttrMap) -> "ScanShape":
        """From the attributes of a node."""
        return ScanShape(
            cast(int, attrs["n_consts"]),
            cast(int, attrs["n_carry"]),
            cast(int, attrs["length"]),
            cast(bool, attrs["reverse"]),
            cast(bool, attrs["until"]),
            cast(bool, attrs["limit"]),
        )


def floats(avals: Avals) -> Avals:
    """Those that derivatives flow through."""
    return tuple(a for a in avals if a.dtype.is_float)


def _list(avals: Avals) -> str:
    return f"({', '.join(map(str, avals))})"


def _same(body: Function, expected: Avals, given: Avals) -> None:
    if len(expected) != len(given):
        raise ShapeMismatch(
            f"{body.name} takes {len(expected)} values here, not {len(given)}",
            code=ErrorCode.SHAPE_MISMATCH,
        )
    for i, (want, have) in enumerate(zip(expected, given, strict=True)):
        if want != have:
            raise ShapeMismatch(
                f"value {i} given to {body.name} is {have}, it takes {want}",
                code=ErrorCode.SHAPE_MISMATCH,
            )


def _differentiable(op: str, name: str, positions: tuple[int, ...], avals: Avals) -> None:
    if len(set(positions)) != len(positions):
        raise InvalidGraph(f"{name} of {op} names a position twice", code=ErrorCode.ATTR_RANGE)
    for p in positions:
        if not 0 <= p < len(avals):
            raise InvalidGraph(
                f"{name} of {op} names position {p} of {len(avals)}", code=ErrorCode.ATTR_RANGE
            )
        if not avals[p].dtype.is_float:
            raise InvalidGraph(
                f"{op} with respect to position {p}, which is {avals[p]}",
                code=ErrorCode.NOT_DIFFERENTIABLE,
                cure="derivatives are taken of floating-point values only",
            )
