"""np.einsum by transposes, products and MatMul, two operands at a time from left to right.

An index that is in one operand only and not in the result is summed first. Of two operands, indices in both
and in what follows are batch axes of the MatMul, indices in both and in nothing that follows are contracted.
"""

from math import prod
from typing import Any

import numpy as np

from chainrule.tracing.contraction import diagonal, matmul
from chainrule.tracing.movement import expand_to, moveaxis, reshape_to, transpose
from chainrule.tracing.operands import as_tracer
from chainrule.tracing.reductions import sum_
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements
from chainrule.tracing.tracer import Tracer

# Capitals from the end of the alphabet stand for the axes of an ellipsis.
_DOTS = "ZYXWVUTS"


@implements(np.einsum)
def einsum(subscripts: Any, *operands: Any, optimize: Any = False, dtype: Any = None) -> Any:
    """np.einsum with subscripts as one string."""
    del optimize
    if not isinstance(subscripts, str):
        raise refuse("np.einsum with lists of axes can't be traced", 'write "ij,jk->ik"')
    values = [as_tracer(v) for v in operands]
    terms, result = _parse(subscripts.replace(" ", ""), values)
    for i, term in enumerate(terms):
        values[i], terms[i] = _diagonals(values[i], term)
    value, term = values[0], terms[0]
    for k in range(1, len(values)):
        later = set(result).union(*terms[k + 1 :])
        value, term = _contract(value, term, values[k], terms[k], later)
    value, term = _sum_out(value, term, set(result))
    out = transpose(value, [term.index(c) for c in result]) if result else value
    return out if dtype is None else out.astype(dtype)


def _parse(text: str, values: list[Tracer]) -> tuple[list[str], str]:
    left, arrow, result = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(values):
        raise refuse(
            f"np.einsum: {len(terms)} subscripts for {len(values)} operands", "give one for each"
        )
    longest = ""
    for i, (term, value) in enumerate(zip(terms, values, strict=True)):
        count = value.ndim - len(term.replace("...", ""))
        if count < 0 or (count and "..." not in term):
            raise refuse(
                f"np.einsum: {term!r} for an operand of {value.ndim} axes",
                "give one letter an axis",
            )
        dots = _DOTS[len(_DOTS) - count :]
        terms[i] = term.replace("...", dots)
        longest = max(longest, dots, key=len)
    if not arrow:
        letters = "".join(terms)
        once = [c for c in sorted(set(letters)) if letters.count(c) == 1 and c not in longest]
        result = ("..." if longest else "") + "".join(once)
    return terms, result.replace("...", longest)


def _diagonals(value: Tracer, term: str) -> tuple[Tracer, str]:
    while len(set(term)) < len(term):
        twice = next(c for c in term if term.count(c) > 1)
        i = term.index(twice)
        j = term.index(twice, i + 1)
        value = diagonal(value, 0, i, j)
        term = term[:i] + term[i + 1 : j] + term[j + 1 :] + twice
    return value, term


def _sum_out(value: Tracer, term: str, keep: set[str]) -> tuple[Tracer, str]:
    axes = tuple(i for i, c in enumerate(term) if c not in keep)
    if not axes:
        return value, term
    return sum_(value, axes), "".join(c for c in term if c in keep)


def _contract(a: Tracer, s: str, b: Tracer, t: str, later: set[str]) -> tuple[Tracer, str]:
    a, s = _sum_out(a, s, later | set(t))
    b, t = _sum_out(b, t, later | set(s))
    both = [c for c in s if c in t]
    sizes = dict(zip(s, a.shape, strict=True))
    for c, d in zip(t, b.shape, strict=True):
        if c in sizes and sizes[c] != d and 1 not in (sizes[c], d):
            raise refuse(f"np.einsum: index {c!r} is {sizes[c]} and {d}", "make the axes equal")
        sizes[c] = max(sizes.get(c, 1), d)
    batch = [c for c in both if c in later]
    inside = [c for c in both if c not in later]
    left = [c for c in s if c not in both]
    right = [c for c in t if c not in both]
    # Length 1 against a longer axis broadcasts; MatMul wants equal axes where it contracts.
    a = _widen(a, s, sizes, both)
    b = _widen(b, t, sizes, both)
    rows, inner, columns = (prod(sizes[c] for c in group) for group in (left, inside, right))
    lead = [sizes[c] for c in batch]
    if not inside:
        shape_a = [*lead, *(sizes[c] for c in left), *(1,) * len(right)]
        shape_b = [*lead, *(1,) * len(left), *(sizes[c] for c in right)]
        x = reshape_to(_ordered(a, s, [*batch, *left]), shape_a)
        y = reshape_to(_ordered(b, t, [*batch, *right]), shape_b)
        product: Tracer = x * y
        return product, "".join((*batch, *left, *right))
    x = reshape_to(_ordered(a, s, [*batch, *left, *inside]), (*lead, rows, inner))
    y = reshape_to(_ordered(b, t, [*batch, *inside, *right]), (*lead, inner, columns))
    shape = [*lead, *(sizes[c] for c in left), *(sizes[c] for c in right)]
    return reshape_to(matmul(x, y), shape), "".join((*batch, *left, *right))


def _ordered(value: Tracer, term: str, order: list[str]) -> Tracer:
    return transpose(value, [term.index(c) for c in order])


def _widen(value: Tracer, term: str, sizes: dict[str, int], shared: list[str]) -> Tracer:
    shape = [sizes[c] if c in shared else d for c, d in zip(term, value.shape, strict=True)]
    return expand_to(value, shape)


@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """np.cross of three-vectors."""
    if axis is not None:
        axisa = axisb = axisc = axis
    x, y = moveaxis(a, axisa, -1), moveaxis(b, axisb, -1)
    if x.shape[-1] != 3 or y.shape[-1] != 3:
        raise refuse("np.cross of vectors that have not three components", "pad them with zeros")
    parts = [x[..., i] * y[..., j] - x[..., j] * y[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.stack(parts, axis=axisc)
