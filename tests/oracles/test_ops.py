"""JAX nests its derivatives beside ours, op by op: orders 1 to 3, forward, reverse, reverse of forward."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest

from chainrule.ir.attrs import AttrValue
from chainrule_server.engine.batching import vmap
from support.op_cases import CASES
from support.op_checks import (
    Array,
    avals_of,
    draw,
    first,
    node,
    reverse,
    rng_for,
    run,
    second,
    third,
    wrt_of,
)
from support.op_row import Sample

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("jax")]


class Case(NamedTuple):
    """An op, JAX's function (of `jax`, then the operands), shapes, attributes and the highest order."""

    op: str
    theirs: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    attrs: dict[str, AttrValue] = {}  # noqa: RUF012 - never written to
    orders: int = 3


def _packed(jax: Any, *factors: Any) -> Any:
    return jax.numpy.concatenate(factors, axis=-2)


def _eigh(jax: Any, a: Any) -> Any:
    w, v = jax.numpy.linalg.eigh(a)
    return _packed(jax, w[..., None, :], v)


def _qr(jax: Any, a: Any) -> Any:
    q, r = jax.numpy.linalg.qr(a)
    return _packed(jax, q, r.mT)


def _svd(jax: Any, a: Any) -> Any:
    u, s, vh = jax.numpy.linalg.svd(a, full_matrices=False)
    return _packed(jax, u, s[..., None, :], vh.mT)


def _dft(jax: Any, x: Any) -> Any:
    y = jax.numpy.fft.fft(x[..., 0] + 1j * x[..., 1], axis=0)
    return jax.numpy.stack([y.real, y.imag], -1)


def _windows(jax: Any, x: Any) -> Any:
    """Windows of 3 with stride 2 along the last axis."""
    return jax.numpy.stack([x[:, k : k + 3 : 2] for k in range(3)], -1)


def _triangle(jax: Any, a: Any, b: Any) -> Any:
    return jax.scipy.linalg.solve_triangular(a, b, lower=True, trans=1)


_WINDOW: dict[str, AttrValue] = {
    "axes": (1,),
    "sizes": (3,),
    "strides": (2,),
    "dilations": (1,),
}
ONE, TWO = ((2, 3),), ((2, 3), (2, 3))

TABLE = (
    Case("Exp", lambda j, x: j.numpy.exp(x), ONE),
    Case("Expm1", lambda j, x: j.numpy.expm1(x), ONE),
    Case("Log", lambda j, x: j.numpy.log(x), ONE),
    Case("Log1p", lambda j, x: j.numpy.log1p(x), ONE),
    Case("Sqrt", lambda j, x: j.numpy.sqrt(x), ONE),
    Case("Sin", lambda j, x: j.numpy.sin(x), ONE),
    Case("Cos", lambda j, x: j.numpy.cos(x), ONE),
    Case("Tanh", lambda j, x: j.numpy.tanh(x), ONE),
    Case("Abs", lambda j, x: j.numpy.abs(x), ONE),
    Case("Neg", lambda j, x: -x, ONE),
    Case("IntPow", lambda j, x: x**3, ONE, {"n": 3}),
    Case("IntPow", lambda j, x: x**-2, ONE, {"n": -2}),
    Case("Add", lambda j, x, y: x + y, TWO),
    Case("Sub", lambda j, x, y: x - y, TWO),
    Case("Mul", lambda j, x, y: x * y, ((2, 3), (3,))),
    Case("Div", lambda j, x, y: x / y, TWO),
    Case("Pow", lambda j, x, y: x**y, TWO),
    Case("Max", lambda j, x, y: j.numpy.maximum(x, y), TWO),
    Case("Min", lambda j, x, y: j.numpy.minimum(x, y), TWO),
    Case("Atan2", lambda j, x, y: j.numpy.arctan2(x, y), TWO),
    Case("Erf", lambda j, x: j.scipy.special.erf(x), ONE),
    Case("ErfInv", lambda j, x: j.scipy.special.erfinv(x), ONE),
    Case("Lgamma", lambda j, x: j.scipy.special.gammaln(x), ONE),
    Case("Polygamma", lambda j, x: j.scipy.special.digamma(x), ONE, {"n": 0}),
    Case("MatMul", lambda j, a, b: a @ b, ((2, 3), (3, 4))),
    Case("MatMul", lambda j, a, b: a @ b, ((2, 2, 3), (3, 4))),
    Case("ReduceSum", lambda j, x: x.sum(0), ONE, {"axes": (0,), "keepdims": False}),
    Case("CumSum", lambda j, x: j.numpy.cumsum(x, 1), ONE, {"axis": 1}),
    Case("Unfold", _windows, ((2, 6),), _WINDOW),
    Case("Dft", _dft, ((5, 2),), {"axes": (0,)}),
    Case("Cholesky", lambda j, a: j.numpy.linalg.cholesky(a), ((3, 3),)),
    Case("Cholesky", lambda j, a: j.numpy.linalg.cholesky(a), ((2, 3, 3),)),
    Case("Solve", lambda j, a, b: j.numpy.linalg.solve(a, b), ((3, 3), (3, 2))),
    Case("TriangularSolve", _triangle, ((3, 3), (3, 2)), {"lower": True, "transpose": True}),
    Case("LogAbsDet", lambda j, a: j.numpy.stack(j.numpy.linalg.slogdet(a), -1), ((3, 3),)),
    Case("Eigh", _eigh, ((3, 3),), orders=2),
    Case("QR", _qr, ((4, 3),), orders=2),
    Case("SVD", _svd, ((4, 3),), orders=2),
    Case("SVD", _svd, ((3, 3),), orders=2),
)
_TOLERANCE = {1: 1e-9, 2: 1e-9, 3: 1e-7}


def close(found: Array, expected: Any, order: int) -> None:
    scale = float(np.max(np.abs(expected), initial=1.0))
    rtol = _TOLERANCE[order]
    np.testing.assert_allclose(found, np.asarray(expected), rtol=rtol, atol=rtol * scale)


def _tangent(jax: Any, f: Callable[..., Any], t: Sequence[Array]) -> Callable[..., Any]:
    return lambda *x: jax.jvp(f, x, tuple(t))[1]


@pytest.mark.parametrize("number", range(len(TABLE)), ids=lambda n: f"{TABLE[n].op}-{n}")
def test_every_order_is_jaxs(jax: Any, number: int) -> None:
    case = TABLE[number]
    rng = rng_for(case.op, number)
    row, sample = CASES[case.op], Sample(case.shapes, case.attrs)
    x: list[Any] = draw(row, sample, row.dtypes[0], rng)
    flat, wrt = node(case.op, avals_of(x), case.attrs), wrt_of(x)
    tangents = [[rng.standard_normal(a.shape) for a in x] for _ in range(3)]

    def theirs(*operands: Any) -> Any:
        return case.theirs(jax, *operands)

    flat_t = [t for direction in tangents for t in direction]
    k, f = len(x), theirs
    for order, derive in ((1, first), (2, second), (3, third))[: case.orders]:
        ct = rng.standard_normal(np.shape(f(*x)))
        pulled = jax.vjp(f, *x)[1](jax.numpy.asarray(ct))
        below = flat if order == 1 else (first, second)[order - 2](flat, wrt)
        ours = run(reverse(below, wrt), [*x, *flat_t[: k * (order - 1)], ct])
        for a, b in zip(ours, pulled, strict=True):
            close(a, b, order)
        f = _tangent(jax, f, tangents[order - 1])
        (tangent,) = run(derive(flat, wrt), [*x, *flat_t[: k * order]])
        close(tangent, f(*x), order)
        (lanes,) = run(
            vmap(derive(flat, wrt), [0] * (k * (order + 1)), 2),
            [np.stack([a, a]) for a in (*x, *flat_t[: k * order])],
        )
        close(lanes[1], f(*x), order)
