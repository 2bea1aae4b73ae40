"""Arithmetic of dimensions in movement rules: integers, or multiples of N, never mixed.

A bound of a batch axis is 0 or a multiple of N, so sums and differences of bounds stay in that set.
"""

from chainrule.ir.avals import BatchDim, Dim


def plus(a: Dim, b: Dim) -> Dim:
    """a + b."""
    if isinstance(a, BatchDim) or isinstance(b, BatchDim):
        return _multiple(_k(a) + _k(b))
    return a + b


def minus(a: Dim, b: Dim) -> Dim:
    """a - b."""
    if isinstance(a, BatchDim) or isinstance(b, BatchDim):
        return _multiple(_k(a) - _k(b))
    return a - b


def sign(a: Dim) -> int:
    """A number with the sign of a."""
    return a.k if isinstance(a, BatchDim) else a


def _k(dim: Dim) -> int:
    if isinstance(dim, BatchDim):
        return dim.k
    if dim:
        raise ValueError(f"{dim} is no multiple of N")
    return 0


def _multiple(k: int) -> Dim:
    return BatchDim(k) if k else 0
