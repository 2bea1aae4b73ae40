"""Batching rules that many ops share: one node for all lanes, with a new leading axis.

A rule takes (size, batched, *inputs, **attrs) and gives the output with a leading axis of length `size`.
Inputs that `batched` marks have that axis in front, the others have none. Nothing is copied a lane, so the
number of nodes, and of kernel calls, doesn't depend on `size`.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Dim
from chainrule.ir.expr import Expr, apply, expand, reshape
from chainrule_server.engine.ops.table import Batching

Flags = Sequence[bool]


def in_front(x: Expr, size: Dim) -> Expr:
    """The same value in every lane; a view."""
    return expand(x, (size, *x.shape))


def every(size: Dim, batched: Flags, inputs: Sequence[Expr]) -> list[Expr]:
    """All inputs with the leading axis."""
    return [x if b else in_front(x, size) for x, b in zip(inputs, batched, strict=True)]


def aligned(batched: Flags, inputs: Sequence[Expr], kept: int = 0) -> list[Expr]:
    """Operands that broadcast, with axes of length 1 behind the lanes so that ranks agree.

    Args:
        batched: which have the leading axis.
        inputs: the operands.
        kept: trailing axes that take no part in the broadcast, 2 for matrices.
    """
    ranks = [x.aval.rank - b - kept for x, b in zip(inputs, batched, strict=True)]
    rank = max(ranks)
    return [
        reshape(x, (x.shape[0], *(1,) * (rank - r), *x.shape[1:])) if b else x
        for x, b, r in zip(inputs, batched, ranks, strict=True)
    ]


def broadcasting(name: str, kept: int = 0) -> Batching:
    """For ops whose operands broadcast over all axes, but for the last `kept` ones."""

    def rule(size: Dim, batched: Flags, *inputs: Expr, **attrs: AttrValue) -> Expr:
        del size
        return apply(name, *aligned(batched, inputs, kept), **attrs)

    return rule


def leading(name: str) -> Batching:
    """For ops of one operand that take any leading axes as a batch already."""

    def rule(size: Dim, batched: Flags, x: Expr, **attrs: AttrValue) -> Expr:
        del size, batched
        return apply(name, x, **attrs)

    return rule


def shifted(name: str, attr: str, front: tuple[int, ...] = ()) -> Batching:
    """For ops of one operand that name axes: each is one further on.

    Args:
        name: of the primitive.
        attr: the attribute that holds an axis, or several.
        front: axes that come before the shifted ones; (0,) for a permutation.
    """

    def rule(size: Dim, batched: Flags, x: Expr, **attrs: AttrValue) -> Expr:
        del size, batched
        rank = x.aval.rank - 1
        axes = attrs[attr]
        if isinstance(axes, tuple):
            moved: AttrValue = (*front, *(cast(int, a) % rank + 1 for a in axes))
        else:
            moved = cast(int, axes) % rank + 1
        return apply(name, x, **{**attrs, attr: moved})

    return rule


def prefixed(name: str, front: Callable[[Dim], dict[str, Dim]]) -> Batching:
    """For ops of one operand with attributes that have an entry an axis; `front` gives that of the lanes."""

    def rule(size: Dim, batched: Flags, x: Expr, **attrs: Any) -> Expr:
        del batched
        longer = {key: (first, *attrs[key]) for key, first in front(size).items()}
        return apply(name, x, **{**attrs, **longer})

    return rule
