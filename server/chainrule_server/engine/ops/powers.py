"""Powers: with an exponent that is a value, and with one that is a plain integer.

x**2 as Pow would need log x in its rule; as IntPow it stays differentiable at 0, to any order.
"""

from functools import partial
from typing import cast

import numpy as np

from chainrule.errors import ErrorCode, NumericError
from chainrule.ir.avals import Aval
from chainrule.ir.expr import Expr, apply, equal, less, log, power, where
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import (
    POWER,
    buffer_bytes,
    elementwise,
    refuse_stored,
    rules,
)
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Op,
    Thunk,
)

# Above this exponent the rounding errors of repeated products pass those of one `power`, as does the time.
_MAX_PRODUCTS = 16


def _base(v: Expr, out: Expr, x: Expr, y: Expr) -> Expr:
    # x^y:  x_ct = ct y x^(y - 1), and 0 where x = y = 0. There another exponent stands in before the power is
    # taken: 0^-1 = inf would come back as NaN, also when this rule is differentiated in turn.
    del out
    both = apply("And", equal(x, x.like(0)), equal(y, y.like(0)))
    return v * (where(both, y.like(0), y) * power(x, where(both, y.like(1), y) - 1.0))


def _exponent(v: Expr, out: Expr, x: Expr, y: Expr) -> Expr:
    # x^y:  y_ct = ct x^y log x, and 0 where x = 0 and y >= 0, the limit for y > 0. There log sees 1.
    flat = apply("And", equal(x, x.like(0)), apply("Not", less(y, y.like(0))))
    return v * (out * log(where(flat, x.like(1), x)))


def _int_power(v: Expr, out: Expr, x: Expr, *, n: int) -> Expr:
    # x^n:  x_ct = ct n x^(n - 1)
    del out
    if n == 1:
        return v
    return v * (float(n) * (x if n == 2 else x ** (n - 1)))


_VJP, _JVP = rules((_int_power,))


def _int_vjp(ct: Expr, out: Expr, x: Expr, *, n: int) -> tuple[Expr | None, ...]:
    # x^0 = 1, also at 0:  x_ct = 0
    return _VJP(ct, out, x, n=n) if n else (None,)


def _int_jvp(tangents: tuple[Expr | None, ...], out: Expr, x: Expr, *, n: int) -> Expr | None:
    return _JVP(tangents, out, x, n=n) if n else None


def _bind_int_power(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    (x,), n = ins, cast(int, attrs["n"])
    refuse_stored(ins)
    if n < 0 and x.dtype.kind != "f":
        raise NumericError(
            f"an integer to the power {n}",
            code=ErrorCode.NUMERIC_FAILURE,
            cure="cast to a float dtype first",
        )
    if n == 0:
        return partial(out.fill, 1)
    if n == 1:
        return partial(np.copyto, out, x)
    if n == 2:
        return partial(np.multiply, x, x, out)
    if abs(n) > _MAX_PRODUCTS:
        return partial(np.power, x, n, out)
    return partial(_products, x, out, bin(abs(n))[3:], n < 0)


def _products(x: Array, out: Array, bits: str, invert: bool) -> None:
    """x^n by squaring: `bits` are those of n after the leading one."""
    np.copyto(out, x)
    for bit in bits:
        np.multiply(out, out, out)
        if bit == "1":
            np.multiply(out, x, out)
    if invert:
        np.reciprocal(out, out)


def _int_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    del inputs
    n = abs(cast(int, attrs["n"]))
    products = n.bit_length() + n.bit_count() - 2 if n <= _MAX_PRODUCTS else POWER
    return max(products, 1) * out.size


def _int_buffers(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    # n = 2 reads x twice
    del attrs
    return 2 * buffer_bytes(inputs[0], out.shape)


POWERS = (
    elementwise("Pow", np.power, _base, _exponent, cost=POWER),
    # Not in place: x is read again after the first product.
    Op(
        "IntPow",
        _bind_int_power,
        _int_vjp,
        _int_jvp,
        _int_cost,
        _int_buffers,
        batching=lanes.leading("IntPow"),
    ),
)
