"""Elementwise functions: one row each where there is a primitive, else a composition of them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.tracing.operands import as_tracer, emit, normal, together, typed, weakly
from chainrule.tracing.promotion import floating
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements, implements_ufunc
from chainrule.tracing.tracer import Tracer

_FLOAT_PRIMITIVES = {
    "exp": "Exp",
    "expm1": "Expm1",
    "log": "Log",
    "log1p": "Log1p",
    "sqrt": "Sqrt",
    "sin": "Sin",
    "cos": "Cos",
    "tanh": "Tanh",
}
_BINARY_PRIMITIVES = {"add": "Add", "subtract": "Sub", "multiply": "Mul"}


def real(x: Any) -> Tracer:
    """x as a float: integers and bools become float64."""
    found = floating(typed(normal(x)))
    return weakly(as_tracer(x, found.dtype), found.weak)


def reals(*xs: Any) -> tuple[list[Tracer], bool]:
    """The operands in one float dtype, and whether the result stays weak."""
    tracers, weak = together(*xs)
    if tracers[0].aval.dtype.is_float:
        return tracers, weak
    return [as_tracer(t, DType.FLOAT64) for t in tracers], False


def _float_unary(op: str) -> Callable[[Any], Tracer]:
    def handler(x: Any) -> Tracer:
        value = real(x)
        return weakly(emit(op, value), value.weak)

    return handler


def _float_binary(op: str) -> Callable[[Any, Any], Tracer]:
    def handler(x: Any, y: Any) -> Tracer:
        (a, b), weak = reals(x, y)
        return weakly(emit(op, a, b), weak)

    return handler


def _arithmetic(op: str, on_bool: str | None) -> Callable[[Any, Any], Tracer]:
    def handler(x: Any, y: Any) -> Tracer:
        (a, b), weak = together(x, y)
        if a.aval.dtype is DType.BOOL:
            if on_bool is None:
                raise refuse("bools can't be subtracted", "use np.logical_xor, or cast one first")
            return weakly(emit(on_bool, a, b), weak)
        return weakly(emit(op, a, b), weak)

    return handler


for _name, _op in _FLOAT_PRIMITIVES.items():
    implements_ufunc(_name)(_float_unary(_op))
implements_ufunc("add")(_arithmetic("Add", "Or"))
implements_ufunc("multiply")(_arithmetic("Mul", "And"))
implements_ufunc("subtract")(_arithmetic("Sub", None))
implements_ufunc("maximum")(_arithmetic("Max", "Or"))
implements_ufunc("minimum")(_arithmetic("Min", "And"))


def number(x: Any) -> Tracer:
    """x as it is, a bool as int64."""
    value = as_tracer(x)
    return as_tracer(value, DType.INT64) if value.aval.dtype is DType.BOOL else value


@implements_ufunc("negative")
def negative(x: Any) -> Tracer:
    """-x."""
    value = as_tracer(x)
    return weakly(emit("Neg", value), value.weak)


@implements_ufunc("positive", "conjugate")
def positive(x: Any) -> Tracer:
    """x itself."""
    return as_tracer(x)


@implements_ufunc("absolute", "fabs")
def absolute(x: Any) -> Tracer:
    """|x|, with derivative 0 at 0."""
    value = as_tracer(x)
    if value.aval.dtype in (DType.BOOL, DType.UINT32, DType.UINT8):
        return value
    return weakly(emit("Abs", value), value.weak)


@implements_ufunc("sign")
def sign(x: Any) -> Tracer:
    """-1, 0 or 1."""
    value = as_tracer(x)
    return weakly(emit("Sign", value), value.weak)


# Integers give float64, as in NumPy.
divide = implements_ufunc("divide", "true_divide")(_float_binary("Div"))
implements_ufunc("arctan2")(_float_binary("Atan2"))


@implements_ufunc("power", "float_power")
def power(x: Any, y: Any) -> Tracer:
    """x^y. A whole static exponent is IntPow, differentiable at 0 to any order."""
    exponent = normal(y)
    if isinstance(exponent, int | float | np.number) and not isinstance(exponent, bool):
        return _static_power(x, exponent)
    (a, b), weak = together(x, exponent)
    if not a.aval.dtype.is_float:
        raise refuse(
            "an integer to the power of a traced integer can't be traced",
            "cast the base with .astype(np.float64)",
        )
    return weakly(emit("Pow", a, b), weak)


def _static_power(x: Any, exponent: Any) -> Tracer:
    base = as_tracer(x)
    whole = float(exponent).is_integer() and abs(exponent) <= 1024
    integers = not base.aval.dtype.is_float
    if integers and isinstance(exponent, float | np.floating):
        base, integers = real(base), False
    if integers and exponent < 0:
        raise refuse(
            "integers to negative powers are no integers", "cast the base with .astype(np.float64)"
        )
    if whole:
        base = number(base)
        if exponent == 1:
            return base
        return weakly(emit("IntPow", base, n=int(exponent)), base.weak)
    if exponent == 0.5:
        return weakly(emit("Sqrt", base), base.weak)
    return weakly(emit("Pow", base, as_tracer(exponent, base.aval.dtype)), base.weak)


@implements_ufunc("square")
def square(x: Any) -> Tracer:
    """x^2."""
    return power(x, 2)


@implements_ufunc("reciprocal")
def reciprocal(x: Any) -> Tracer:
    """1 / x."""
    value = as_tracer(x)
    if not value.aval.dtype.is_float:
        raise refuse("the reciprocal of an integer is 0", "write 1 / x")
    return divide(1, value)


@implements_ufunc("floor")
def floor(x: Any) -> Tracer:
    """The largest whole number not above x."""
    value = as_tracer(x)
    return weakly(emit("Floor", value), value.weak) if value.aval.dtype.is_float else value


@implements_ufunc("ceil")
def ceil(x: Any) -> Tracer:
    """The smallest whole number not below x."""
    return negative(floor(negative(x)))


@implements_ufunc("trunc")
@implements(np.fix)
def trunc(x: Any) -> Any:
    """x without its fraction."""
    value = as_tracer(x)
    return where(value < 0, ceil(value), floor(value))


@implements_ufunc("rint")
def rint(x: Any) -> Any:
    """To the nearest integer, halves to the even one."""
    value = real(x)
    return weakly(emit("Round", value), value.weak)


@implements(np.round, np.around)
def round_(a: Any, decimals: int = 0) -> Any:
    """np.round."""
    return rint(a) if decimals == 0 else rint(as_tracer(a) * 10.0**decimals) / 10.0**decimals


@implements_ufunc("floor_divide")
def floor_divide(x: Any, y: Any) -> Any:
    """floor(x / y)."""
    (a, b), weak = together(x, y)
    if a.aval.dtype.is_integer:
        return weakly(emit("IntDiv", a, b), weak)
    return floor(divide(a, b))


@implements_ufunc("remainder", "mod")
def remainder(x: Any, y: Any) -> Any:
    """x - y floor(x / y)."""
    (a, b), weak = together(x, y)
    if a.aval.dtype.is_integer:
        return weakly(emit("Mod", a, b), weak)
    return weakly(a - b * floor(divide(a, b)), weak)


def truth(x: Any) -> Tracer:
    """x as a bool: x != 0."""
    value = as_tracer(x)
    return value if value.aval.dtype is DType.BOOL else emit("Not", _equal(value, 0))


def _equal(x: Any, y: Any) -> Tracer:
    (a, b), _ = together(x, y)
    return emit("Equal", a, b)


def _less(x: Any, y: Any) -> Tracer:
    (a, b), _ = together(x, y)
    if a.aval.dtype is DType.BOOL:
        a, b = as_tracer(a, DType.INT64), as_tracer(b, DType.INT64)
    return emit("Less", a, b)


implements_ufunc("equal")(_equal)
implements_ufunc("less")(_less)


@implements_ufunc("not_equal")
def not_equal(x: Any, y: Any) -> Tracer:
    """x != y; true for NaN."""
    return emit("Not", _equal(x, y))


@implements_ufunc("greater")
def greater(x: Any, y: Any) -> Tracer:
    """x > y."""
    return _less(y, x)


@implements_ufunc("less_equal")
def less_equal(x: Any, y: Any) -> Tracer:
    """x <= y; false for NaN, so it isn't the negation of >."""
    return emit("Or", _less(x, y), _equal(x, y))


@implements_ufunc("greater_equal")
def greater_equal(x: Any, y: Any) -> Tracer:
    """x >= y; false for NaN."""
    return emit("Or", _less(y, x), _equal(x, y))


def _logical(op: str) -> Callable[[Any, Any], Tracer]:
    def handler(x: Any, y: Any) -> Tracer:
        return emit(op, truth(x), truth(y))

    return handler


def _bitwise(op: str) -> Callable[[Any, Any], Tracer]:
    def handler(x: Any, y: Any) -> Tracer:
        (a, b), weak = together(x, y)
        return weakly(emit(op, a, b), weak)

    return handler


for _name, _op in {"and": "And", "or": "Or", "xor": "Xor"}.items():
    implements_ufunc(f"logical_{_name}")(_logical(_op))
    implements_ufunc(f"bitwise_{_name}")(_bitwise(_op))


@implements_ufunc("logical_not")
def logical_not(x: Any) -> Tracer:
    """Whether x is false or 0."""
    return emit("Not", truth(x))


@implements_ufunc("invert", "bitwise_not", "bitwise_invert")
def invert(x: Any) -> Any:
    """~x: the negation of a bool, -1 - x of an integer."""
    value = as_tracer(x)
    return emit("Not", value) if value.aval.dtype is DType.BOOL else -1 - value


@implements_ufunc("isfinite")
def isfinite(x: Any) -> Tracer:
    """Whether x is neither NaN nor infinite."""
    return emit("IsFinite", real(x))


@implements_ufunc("isnan")
def isnan(x: Any) -> Tracer:
    """Whether x is NaN, the one value unequal to itself."""
    return not_equal(x, x)


@implements_ufunc("isinf")
def isinf(x: Any) -> Tracer:
    """Whether x is infinite."""
    return emit("Not", emit("Or", isfinite(x), isnan(x)))


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Tracer:
    """np.where with three arguments."""
    if x is None or y is None:
        raise refuse(
            "np.where with one argument can't be traced: the number of hits is not known",
            "give both branches, np.where(mask, a, b)",
        )
    (a, b), weak = together(x, y)
    return weakly(emit("Where", truth(condition), a, b), weak)


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """np.select: the first choice whose condition holds."""
    result = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        result = where(condition, choice, result)
    return result


@implements(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """np.clip; a bound that is None holds nothing."""
    low = a_min if min is None else min
    high = a_max if max is None else max
    value = as_tracer(a)
    if low is not None:
        value = _arithmetic("Max", "Or")(value, low)
    if high is not None:
        value = _arithmetic("Min", "And")(value, high)
    return value


@implements_ufunc("clip")
def clip_ufunc(x: Any, low: Any, high: Any) -> Any:
    """The ufunc behind ndarray.clip."""
    return clip(x, low, high)


@implements(np.nan_to_num)
def nan_to_num(
    x: Any,
    copy: bool = True,
    nan: float = 0.0,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Any:
    """np.nan_to_num; the derivative is 0 where a value was replaced."""
    del copy
    value = real(x)
    info = np.finfo(value.dtype)
    high = float(info.max) if posinf is None else posinf
    low = float(info.min) if neginf is None else neginf
    replaced = where(isnan(value), nan, where(value > 0, high, low))
    return where(isfinite(value), value, replaced)


@implements(np.isclose)
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Any:
    """np.isclose: |a - b| <= atol + rtol |b|, or equal."""
    near = less_equal(absolute(a - b), atol + rtol * absolute(b))
    both = emit("Or", near, _equal(a, b))
    return emit("Or", both, emit("And", isnan(a), isnan(b))) if equal_nan else both


@implements(np.real, np.real_if_close)
def real_part(x: Any) -> Tracer:
    """x: there are no complex values."""
    return as_tracer(x)


@implements(np.sinc)
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), 1 at 0."""
    y = real(x) * math.pi
    safe = where(y == 0, 1.0, y)
    return where(y == 0, 1.0, np.sin(safe) / safe)
