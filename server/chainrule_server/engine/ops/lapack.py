"""What the kernels of linear algebra share: matrices with NaN, failures that name the matrix, copies."""

from collections.abc import Callable
from functools import partial

import numpy as np

from chainrule.errors import ErrorCode, NumericError, Unsupported
from chainrule_server.engine.ops.table import Array, Thunk

# LAPACK's blocked algorithms take a panel of this many columns beside the matrix.
PANEL = 64

Compute = Callable[..., None]


def guarded(compute: Compute, a: Array, *rest: Array, fails: str, cure: str) -> Thunk:
    """Run a factorisation over a stack of matrices.

    A matrix with NaN or infinity gives NaN throughout, where LAPACK would stop, loop or answer nonsense. One
    that can't be factorised is an error.

    Args:
        compute: (matrices, *others, out), which fills out or raises LinAlgError.
        a: (..., m, n), checked for NaN.
        rest: further operands, then the output, with the same leading axes.
        fails: what is wrong with a matrix that makes `compute` fail.
        cure: what to do about it.

    Raises:
        NumericError: NUMERIC_FAILURE, naming the first matrix that fails.
        Unsupported: a dtype that LAPACK has no routines for.
    """
    if a.dtype not in (np.float64, np.float32):
        raise Unsupported(
            f"linear algebra in {a.dtype}",
            code=ErrorCode.UNSUPPORTED,
            cure="cast to float32 first",
        )
    if not rest[-1].size:
        return _nothing
    return partial(_run, compute, a, rest, fails, cure)


def _run(compute: Compute, a: Array, rest: tuple[Array, ...], fails: str, cure: str) -> None:
    if np.isfinite(a).all():
        try:
            compute(a, *rest)
            return
        except np.linalg.LinAlgError:
            pass
    for at in np.ndindex(a.shape[:-2]):
        if not np.isfinite(a[at]).all():
            rest[-1][at] = np.nan
            continue
        try:
            compute(a[at], *(x[at] for x in rest))
        except np.linalg.LinAlgError as error:
            which = f"matrix {at[0] if len(at) == 1 else at}" if at else "the matrix"
            raise NumericError(
                f"{which} {fails}", code=ErrorCode.NUMERIC_FAILURE, cure=cure
            ) from error


def _nothing() -> None:
    """No matrix, or none with an element."""


def flipped(x: Array) -> Array:
    """The matrices transposed."""
    return np.swapaxes(x, -1, -2)


def stack_bytes(x: Array) -> int:
    """A copy of a stack, its finiteness test, and what LAPACK takes for one matrix of it."""
    rows, columns = x.shape[-2:]
    one = 2 * rows * columns + PANEL * (rows + columns)
    return int(x.size * x.itemsize + x.size + one * x.itemsize)
