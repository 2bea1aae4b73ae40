"""Counted work, and what elementwise ops refuse."""

import numpy as np
import pytest

from chainrule.errors import ErrorCode, Unsupported
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, exp, log, reduce_sum, sin, tanh
from chainrule_server.engine import autodiff
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.ops import OPS
from support.op_cases import CASES
from support.op_checks import avals_of, draw, flops, node, rng_for, wrt_of
from support.op_row import Sample

ELEMENTWISE = [name for name, row in CASES.items() if row.oracle == "mpmath"]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_gradient_of_an_elementwise_op_stays_within_five_times_its_value(name: str) -> None:
    row = CASES[name]
    sample = Sample(((64,),) * len(row.samples[0].shapes), row.samples[0].attrs)
    arrays = draw(row, sample, DType.FLOAT64, rng_for(name))
    flat = node(name, avals_of(arrays), sample.attrs)
    both = autodiff.vjp(flat, wrt_of(arrays), (0,))
    assert flops(both) <= 5 * flops(flat)


def mlp(width: int, depth: int) -> Flat:
    b = Builder()
    weights = [Expr(b, b.input(f"w{k}", Aval(DType.FLOAT64, (width, width)))) for k in range(depth)]
    h = Expr(b, b.input("x", Aval(DType.FLOAT64, (width, width))))
    for w in weights:
        h = tanh(h @ w)
    return Flat(b.finish([reduce_sum(h * h, (0, 1)).id], ["loss"]), b.debug())


@pytest.mark.parametrize("depth", [1, 2, 8, 32])
def test_value_and_gradient_of_a_network_cost_at_most_three_times_the_value(depth: int) -> None:
    flat = mlp(128, depth)
    assert flops(autodiff.vjp(flat, range(depth), (0,))) <= 3 * flops(flat)


@pytest.mark.parametrize("depth", [1, 4, 16, 64])
def test_value_and_gradient_of_a_chain_cost_at_most_five_times_the_value(depth: int) -> None:
    b = Builder()
    x = y = Expr(b, b.input("x", Aval(DType.FLOAT64, (1000,))))
    for _ in range(depth):
        y = sin(y * x + 1.0) * exp(-(y * y)) - log(y * y + 2.0) / (x * x + 1.0)
    flat = Flat(b.finish([reduce_sum(y, (0,)).id], ["y"]), b.debug())
    assert flops(autodiff.vjp(flat, (0,), (0,))) <= 5 * flops(flat)


def test_bfloat16_is_refused_where_its_bits_would_be_added_as_integers() -> None:
    stored = np.zeros(3, np.uint16)
    bind = OPS["Add"].bind
    assert bind is not None
    with pytest.raises(Unsupported, match="storage") as caught:
        bind((stored, stored), stored.copy(), {})
    assert caught.value.code is ErrorCode.UNSUPPORTED
    assert caught.value.cure == "cast to float32 first"
