"""Which batches may be cut, and what meets in a row that couples examples."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.expr import (
    Expr,
    apply,
    arg_sort,
    concat,
    cum_sum,
    dft,
    expand,
    gather,
    pad,
    reduce_max,
    reduce_sum,
    reshape,
    scatter_add,
    sin,
    slice_,
    transpose,
    unfold,
)
from chainrule.ir.graph import Debug, Function
from chainrule.ir.matrices import solve
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.split import Coupled, analyse
from chainrule_server.engine.states import Batched, Partial, Replicated, State
from support import naive
from support.engine_run import run
from support.random_graphs import random_function
from support.written import N, f8, feeds_for, function, i8

N2 = BatchDim(2)


def state_of(f: Function) -> State:
    return analyse(Flat(f, Debug()))[f.outputs[0]]


def iota(x: Expr, *shape: int | BatchDim, axis: int) -> Expr:
    return Expr(x.b, x.b.add("Iota", dtype=DType.FLOAT64, shape=shape, axis=axis))


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (function({"x": f8(N, 3)}, lambda x: sin(x)), Batched(0, 1)),
        (function({"x": f8(N, 3)}, lambda x: transpose(x, (1, 0))), Batched(1, 1)),
        (function({"x": f8(N, 3)}, lambda x: reshape(x, (BatchDim(3),))), Batched(0, 1)),
        (function({"x": f8(3, N)}, lambda x: reshape(x, (BatchDim(3),))), Batched(0, 3)),
        (function({"x": f8(2, 3, N)}, lambda x: reshape(x, (2, BatchDim(3)))), Batched(1, 3)),
        (function({"x": f8(N)}, lambda x: concat([x, x], 0)), Batched(0, 2)),
        (function({"x": f8(N)}, lambda x: pad(x, (N,), (0,), (0,))), Batched(0, 2)),
        (function({"x": f8(N)}, lambda x: expand(x.like(1.0), (N, 3))), Batched(0, None)),
        (function({"x": f8(N, 3)}, lambda x: reduce_sum(x, (1,))), Batched(0, 1)),
        (function({"x": f8(N, 3)}, lambda x: reduce_sum(x, (0,))), Partial("sum")),
        (function({"x": f8(N, 3)}, lambda x: reduce_max(x, (0, 1))), Partial("max")),
        (function({"x": f8(N, 3)}, lambda x: -reduce_sum(x, (0,))), Partial("sum")),
        (function({"x": f8(N, 3)}, lambda x: sin(reduce_sum(x, (0,)))), Replicated(1)),
        (function({"x": f8(N, 3)}, lambda x: x - reduce_max(x, (0,))), Batched(0, 1, 1)),
        (function({"x": f8(N, 3), "w": f8(3, 2)}, lambda x, w: x @ w), Batched(0, 1)),
        (function({"x": f8(N, 3)}, lambda x: x.mT @ x), Partial("sum")),
        (function({"t": f8(9, 2), "k": i8(N)}, lambda t, k: gather(t, k, 0)), Batched(0, 1)),
        (
            function({"k": i8(N), "x": f8(N, 2)}, lambda k, x: scatter_add(k, x, 0, 9)),
            Partial("sum"),
        ),
        (function({"x": f8(N, 3)}, lambda x: cum_sum(x, 1)), Batched(0, 1)),
        (function({"x": f8(3, N)}, lambda x: arg_sort(x, 0)), Batched(1, 1)),
        (function({"x": f8(N, 3)}, lambda x: cum_sum(reduce_sum(x, (0,)), 0)), Partial("sum")),
        (function({"x": f8(N, 5)}, lambda x: unfold(x, (1,), (2,), (1,), (1,))), Batched(0, 1)),
        (function({"x": f8(3, N, 2)}, lambda x: dft(x, (0,))), Batched(1, 1)),
        (function({"a": f8(2, N, 3, 3)}, lambda a: apply("Cholesky", a)), Batched(1, 1)),
        (function({"a": f8(N, 3, 3)}, lambda a: apply("LogAbsDet", a)), Batched(0, 1)),
        (function({"a": f8(3, 3), "b": f8(N, 3, 1)}, lambda a, b: solve(a, b)), Batched(0, 1)),
        (function({"x": f8(3)}, lambda x: sin(x)), Replicated()),
    ],
)  # fmt: skip
def test_state(f: Function, expected: State) -> None:
    assert state_of(f) == expected


@pytest.mark.parametrize(
    ("f", "why"),
    [
        (function({"a": f8(N, 3), "b": f8(N, 3)}, lambda a, b: a @ b.mT), "two batch axes"),
        (function({"x": f8(N)}, lambda x: apply("Flip", x, axes=(0,))), "a flip of the batch"),
        (function({"x": f8(N)}, lambda x: apply("Flip", x, axes=(-1,))), "a flip of the batch"),
        (function({"x": f8(N)}, lambda x: apply("ArgMax", x, axis=0)), "argmax over examples"),
        (function({"x": f8(N)}, lambda x: cum_sum(x, 0)), "running sum"),
        (function({"x": f8(2, N)}, lambda x: arg_sort(x, -1)), "an order"),
        (function({"x": f8(N, 2)}, lambda x: dft(x, (0,))), "transform along the batch"),
        (
            function({"x": f8(N2)}, lambda x: slice_(x, (0,), (N,), (1,))),
            "doesn't fall between examples",
        ),
        (
            function({"x": f8(N2)}, lambda x: pad(x, (N,), (BatchDim(-1),), (0,))),
            "doesn't fall between examples",
        ),
        (function({"x": f8(N2)}, lambda x: reshape(x, (2, N))), "mixes examples"),
        (function({"x": f8(0, N)}, lambda x: reshape(x, (N, 0))), "no examples to keep apart"),
        (function({"x": f8(0, N)}, lambda x: reshape(x, (0, 5))), "no examples to keep apart"),
        (function({"x": f8(N)}, lambda x: slice_(x, (0,), (0,), (1,))), "leaves no examples"),
        (
            function({"x": f8(N), "k": i8(3)}, lambda x, k: gather(x, k, 0)),
            "taken along the batch",
        ),
        (
            function({"k": i8(3), "x": f8(3)}, lambda k, x: scatter_add(k, x, 0, N)),
            "makes examples out of values",
        ),
        (
            function({"x": f8(N)}, lambda x: concat([x, x], 0) * iota(x, N2, axis=-1)),
            "in different orders",
        ),
    ],
)  # fmt: skip
def test_rows_that_couple_examples(f: Function, why: str) -> None:
    with pytest.raises(Coupled, match=why) as caught:
        analyse(Flat(f, Debug()))
    assert caught.value.row == f.outputs[0]


def test_an_input_with_two_batch_axes_couples_whatever_becomes_of_it() -> None:
    f = function({"x": f8(N, N)}, lambda x: reduce_sum(x, (0, 1)))
    with pytest.raises(Coupled, match=r"Input gives float64\[N,N\], which has two batch axes"):
        analyse(Flat(f, Debug()))
    program = compile_flat(Flat(f, Debug()))
    assert [n.code for n in program.notices] == ["COUPLED"]
    x = np.arange(9.0).reshape(3, 3)
    assert run(program, 3, {"x": x})["out"] == 36.0


def test_a_whole_segment_may_be_cut_from_joined_ones() -> None:
    f = function(
        {"x": f8(N), "y": f8(N)},
        lambda x, y: slice_(concat([x, y], 0), (N,), (N2,), (1,)),
    )
    assert state_of(f) == Batched(0, 1)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**9), st.sampled_from((1, 2, 3, 7)), st.sampled_from((1, 5, 7)))
def test_any_graph_gives_split_what_it_gives_whole(seed: int, rows: int, n: int) -> None:
    f = random_function(random.Random(seed), batched=True, scalar=seed % 2 == 0)
    feeds = feeds_for(f, n, seed)
    got = run(compile_flat(Flat(f, Debug()), microshard=rows), n, feeds, workers=2)
    for name, want in naive.outputs(f, feeds, n).items():
        np.testing.assert_allclose(got[name], want, rtol=1e-12, atol=1e-12)


def test_an_integer_table_by_example_stays_batched() -> None:
    f = function(
        {"t": Aval(DType.FLOAT64, (N, 4)), "k": i8(N, 2)},
        lambda t, k: gather(t, k, 1, batch_dims=1),
    )
    assert state_of(f) == Batched(0, 1)
