"""k*N becomes a number, in avals and attributes; sizes stay within what NumPy can describe."""

import pytest

from chainrule.errors import ErrorCode, LimitExceeded
from chainrule.ir.avals import MAX_ELEMENTS, BatchDim
from chainrule.ir.builder import Builder
from chainrule.ir.checker import check
from chainrule.ir.expr import Expr, concat, expand, pad, reduce_sum, sin
from chainrule.ir.graph import Graph
from chainrule.ir.printer import function_text
from chainrule_server.engine.compiler import compile_request
from chainrule_server.engine.requests import Kind, Request
from chainrule_server.engine.specialise import specialise, specialise_all
from support.written import N, f8, function


def test_text_for_four_examples() -> None:
    f = function(
        {"x": f8(N, 2)},
        lambda x: (
            pad(concat([x, x], 0), (N, 1), (BatchDim(-1), 0), (0, 0))
            * expand(x.like(2.0), (BatchDim(2), 1))
        ),
    )
    assert function_text(specialise(f, 4)) == (
        "function 0 main {\n"
        "  %0 = Input [name='x'] : float64[4,2]\n"
        "  %1 = Concat %0 %0 [axis=0] : float64[8,2]\n"
        "  %2 = Pad %1 [high=(-4, 0), interior=(0, 0), low=(4, 1)] : float64[8,3]\n"
        "  %3 = Constant [data=0000000000000040, dtype=float64, shape=()] : float64[]\n"
        "  %4 = Expand %3 [shape=(8, 1)] : float64[8,1]\n"
        "  %5 = Mul %2 %4 : float64[8,3]\n"
        "  return out = %5\n"
        "}"
    )


def test_a_function_without_a_batch_is_the_same_for_every_n() -> None:
    f = function({"x": f8(3)}, lambda x: reduce_sum(x, (0,)))
    assert specialise(f, 4) == f
    assert specialise_all((f, f), 9) == (f, f)


def test_the_largest_array_is_the_largest() -> None:
    f = function({"x": f8(N, 2**20)}, lambda x: x * 2.0)
    assert specialise(f, 2**39).out_avals[0].size == MAX_ELEMENTS // 2
    with pytest.raises(LimitExceeded, match=r"for a batch of 1099511627776; send a") as caught:
        specialise(f, 2**40)
    assert caught.value.code is ErrorCode.COST_BYTES


def test_an_axis_of_zero_hides_no_size() -> None:
    f = function({"x": f8(0, N, 2**20)}, lambda x: x * 2.0)
    with pytest.raises(LimitExceeded):
        specialise(f, 2**40)


def test_a_stack_that_a_derivative_adds_is_bounded_too() -> None:
    # The carry fits; a copy of it for each of the steps, which the vjp keeps, doesn't.
    wide = f8(2**20, 2**21)
    step = function({"x": wide}, sin)
    b = Builder((step,))
    x = Expr(b, b.input("x", wide))
    last = Expr(b, b.add("Scan", x.id, function=0, n_carry=1, length=1_000_000))
    g = Graph((step, b.finish([reduce_sum(last, (0, 1)).id], ["loss"])))
    check(g)
    program = compile_request(g, [Request(Kind.GRAD, ("x",))])
    with pytest.raises(LimitExceeded, match="fewer steps of a loop") as caught:
        program.layout()
    assert caught.value.code is ErrorCode.COST_BYTES
