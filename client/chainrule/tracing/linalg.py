"""numpy.linalg: systems, factorisations and what is made of them; matrices on the last two axes.

Symmetric functions (cholesky, eigh) take the symmetric part of their matrix, where NumPy reads one triangle.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.tracing.elementwise import real, reals
from chainrule.tracing.movement import swapaxes
from chainrule.tracing.operands import emit
from chainrule.tracing.reductions import norm as elementary_norm
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements
from chainrule.tracing.tracer import Tracer


class EighResult(NamedTuple):
    """As np.linalg.eigh gives it."""

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """As np.linalg.qr gives it."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """As np.linalg.svd gives it."""

    U: Any
    S: Any
    Vh: Any


class SlogdetResult(NamedTuple):
    """As np.linalg.slogdet gives it."""

    sign: Any
    logabsdet: Any


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Any:
    """np.linalg.solve: a x = b; b is one vector if it has one axis, else matrices, as in NumPy 2."""
    (x, y), _ = reals(a, b)
    if y.ndim == 1:
        return emit("Solve", x, y[:, None])[..., 0]
    return emit("Solve", x, y)


@implements(np.linalg.inv)
def inv(a: Any) -> Any:
    """np.linalg.inv, by solving for the unit matrix."""
    x = _matrix(a, "inv")
    return emit("Solve", x, real(np.eye(x.shape[-1], dtype=x.dtype)))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> SlogdetResult:
    """np.linalg.slogdet; the derivative of a singular matrix is an error."""
    both = emit("LogAbsDet", _matrix(a, "slogdet"))
    return SlogdetResult(both[..., 0], both[..., 1])


@implements(np.linalg.det)
def det(a: Any) -> Any:
    """np.linalg.det: up to 3 x 3 by its formula, differentiable at 0 too, beyond from slogdet."""
    x: Any = _matrix(a, "det")
    n = x.shape[-1]
    if x.shape[-2] != n or n > 3:
        sign, logabs = slogdet(x)
        return sign * np.exp(logabs)
    if n == 1:
        return x[..., 0, 0]
    if n == 2:
        return x[..., 0, 0] * x[..., 1, 1] - x[..., 0, 1] * x[..., 1, 0]
    minors = [
        x[..., 1, i] * x[..., 2, j] - x[..., 1, j] * x[..., 2, i]
        for i, j in ((1, 2), (2, 0), (0, 1))
    ]
    return x[..., 0, 0] * minors[0] + x[..., 0, 1] * minors[1] + x[..., 0, 2] * minors[2]


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Any:
    """np.linalg.cholesky of the symmetric part."""
    lower = emit("Cholesky", _matrix(a, "cholesky"))
    return swapaxes(lower, -1, -2) if upper else lower


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """np.linalg.eigh of the symmetric part; equal eigenvalues have no derivative of their vectors."""
    del UPLO
    both = emit("Eigh", _matrix(a, "eigh"))
    return EighResult(both[..., 0, :], both[..., 1:, :])


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """np.linalg.eigvalsh of the symmetric part."""
    return eigh(a, UPLO).eigenvalues


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """np.linalg.qr, reduced or r alone."""
    if mode not in ("reduced", "r"):
        raise refuse(f"np.linalg.qr in mode {mode!r} can't be traced", 'use "reduced"')
    x = _matrix(a, "qr")
    both = emit("QR", x)
    m = x.shape[-2]
    r = swapaxes(both[..., m:, :], -1, -2)
    return r if mode == "r" else QRResult(both[..., :m, :], r)


@implements(np.linalg.svd)
def svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    """np.linalg.svd; of matrices that are not square the thin one only."""
    x = _matrix(a, "svd")
    m, n = x.shape[-2:]
    if hermitian:
        raise refuse("np.linalg.svd with hermitian=True can't be traced", "use np.linalg.eigh")
    if full_matrices and compute_uv and m != n:
        raise refuse(
            f"the full svd of {m} x {n} can't be traced: its null vectors have no derivative",
            "give full_matrices=False",
        )
    every = emit("SVD", x)
    s = every[..., m, :]
    if not compute_uv:
        return s
    return SVDResult(every[..., :m, :], s, swapaxes(every[..., m + 1 :, :], -1, -2))


if hasattr(np.linalg, "svdvals"):

    @implements(np.linalg.svdvals)
    def svdvals(x: Any, /) -> Any:
        """np.linalg.svdvals."""
        return svd(x, compute_uv=False)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """np.linalg.pinv of a matrix of full rank: (a^T a)^-1 a^T, or a^T (a a^T)^-1 of a wide one."""
    if rcond is not None or rtol is not None:
        raise refuse(
            "np.linalg.pinv with a cut-off can't be traced: the rank would depend on the numbers",
            "leave it out; the matrix has full rank then",
        )
    del hermitian
    x: Any = _matrix(a, "pinv")
    t: Any = swapaxes(x, -1, -2)
    if x.shape[-2] >= x.shape[-1]:
        return solve(t @ x, t)
    return swapaxes(solve(x @ t, x), -1, -2)


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: int) -> Any:
    """np.linalg.matrix_power by squaring; n is static."""
    x: Any = _matrix(a, "matrix_power")
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        return np.broadcast_to(real(np.eye(x.shape[-1], dtype=x.dtype)), x.shape)
    found = None
    while n:
        if n & 1:
            found = x if found is None else found @ x
        n >>= 1
        x = x @ x if n else x
    return found


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """np.linalg.norm: of vectors by any number, of matrices all of NumPy's."""
    value: Any = real(x)
    axes = tuple(range(value.ndim)) if axis is None else axis
    axes = tuple(axes) if isinstance(axes, tuple | list) else (axes,)
    if ord is None or ord == "fro" or (len(axes) == 1 and ord in (1, 2, np.inf)):
        return elementary_norm(x, ord, axis, keepdims)
    if len(axes) == 1:
        return _vector_norm(value, ord, axes, keepdims)
    if len(axes) != 2:
        raise refuse(f"np.linalg.norm with ord={ord!r} over {len(axes)} axes", "give one or two")
    i, j = (a % value.ndim for a in axes)
    if ord in (1, -1, np.inf, -np.inf):
        first, second = (i, j) if abs(ord) == 1 else (j, i)
        sums = np.sum(np.abs(value), axis=first, keepdims=True)
        extreme = np.max if ord > 0 else np.min
        found = extreme(sums, axis=second, keepdims=True)
        return found if keepdims else np.squeeze(found, axis=(i, j))
    reducers: dict[Any, Callable[..., Any]] = {"nuc": np.sum, 2: np.max, -2: np.min}
    if ord not in reducers:
        raise refuse(f"np.linalg.norm of matrices with ord={ord!r}", "use 1, 2, inf, fro or nuc")
    s = svd(np.moveaxis(value, (i, j), (-2, -1)), compute_uv=False)
    found = reducers[ord](s, axis=-1)
    return np.expand_dims(found, (i, j)) if keepdims else found


def _vector_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: Any) -> Any:
    if ord == -np.inf:
        return np.min(np.abs(x), axis=axes, keepdims=keepdims)
    if ord == 0:
        return np.sum((x != 0).astype(x.dtype), axis=axes, keepdims=keepdims)
    if not isinstance(ord, int | float):
        raise refuse(f"np.linalg.norm of vectors with ord={ord!r}", "give a number")
    return np.sum(np.abs(x) ** ord, axis=axes, keepdims=keepdims) ** (1.0 / ord)


def _matrix(a: Any, name: str) -> Tracer:
    x = real(a)
    if x.ndim < 2:
        raise refuse(f"np.linalg.{name} of {x.aval}, which is no matrix", "give it two axes")
    return x
