"""Structure that stays in a plan. Call, Vjp and Jvp are expanded before there is one."""

from functools import partial

import numpy as np

from chainrule.ir.attrs import AttrValue
from chainrule.ir.expr import Expr
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    NoDerivative,
    Op,
    Tangents,
    Thunk,
    no_cost,
    no_workspace,
)

_CONSTANT = NoDerivative("it is declared constant: that is what it is for")


def _bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    del attrs
    return partial(np.copyto, out, ins[0])


def _same(x: Array, attrs: AttrMap, shape: tuple[int, ...]) -> Array:
    del attrs, shape
    return x


def _pass_ct(ct: Expr, out: Expr, x: Expr, *, token: AttrValue) -> tuple[Expr | None, ...]:
    # y = x:  x_ct = ct
    del out, x, token
    return (ct,)


def _pass_t(tangents: Tangents, out: Expr, x: Expr, *, token: AttrValue) -> Expr | None:
    del out, x, token
    return tangents[0]


STRUCTURE = (
    # y = x, and y' = 0 by decree
    Op(
        "StopGradient",
        _bind,
        _CONSTANT,
        _CONSTANT,
        no_cost,
        no_workspace,
        linear=((0,),),
        view=_same,
        batching=lanes.leading("StopGradient"),
    ),
    # y = x; its token keeps equal nodes behind it from being found by CSE
    Op(
        "Barrier",
        _bind,
        _pass_ct,
        _pass_t,
        no_cost,
        no_workspace,
        linear=((0,),),
        view=_same,
        batching=lanes.leading("Barrier"),
    ),
)
