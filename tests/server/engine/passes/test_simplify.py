"""Each rewrite as printed graphs, and the same bits with and without, whatever the numbers."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.expr import Expr, apply, expand, ones, reshape, sin, stop_gradient, transpose
from chainrule.ir.graph import Debug, Function
from chainrule.ir.printer import function_text
from chainrule_server.engine.executor import evaluate
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.passes.simplify import simplify
from chainrule_server.engine.plan import plan_function
from chainrule_server.engine.specialise import specialise
from support import naive
from support.random_graphs import random_function
from support.written import Array, N, f4, f8, feeds_for, function, i8

Body = Callable[[Expr], Expr]


def body_of(f: Function) -> str:
    """The printed rows between the inputs and the outputs, and what is returned."""
    lines = function_text(f).splitlines()[1 + f.n_inputs : -1]
    return "; ".join(line.strip() for line in lines)


def simplified(f: Function) -> Function:
    return simplify(Flat(f, Debug())).function


@pytest.mark.parametrize(
    ("body", "before", "after"),
    [
        (lambda x: x * 1.0, 2, "return out = %0"),
        (lambda x: 1.0 * x, 2, "return out = %0"),
        (lambda x: x * ones(x.b, x.aval), 2, "return out = %0"),
        (lambda x: x / 1.0, 2, "return out = %0"),
        (lambda x: x**1, 1, "return out = %0"),
        (lambda x: apply("Neg", -x), 2, "return out = %0"),
        (lambda x: reshape(reshape(x, (6,)), (2, 3)), 2, "return out = %0"),
        (
            lambda x: reshape(reshape(x, (6,)), (3, 2)),
            2,
            "%1 = Reshape %0 [shape=(3, 2)] : float64[3,2]; return out = %1",
        ),
        (lambda x: transpose(transpose(x, (1, 0)), (1, 0)), 2, "return out = %0"),
        (lambda x: apply("Expand", x, shape=(2, 3)), 1, "return out = %0"),
        (stop_gradient, 1, "return out = %0"),
        (
            lambda x: sin(x) + expand(x.like(2.0), (2, 3)),
            4,
            "%1 = Sin %0 : float64[2,3]; "
            "%2 = Constant [data=0000000000000040, dtype=float64, shape=()] : float64[]; "
            "%3 = Add %1 %2 : float64[2,3]; return out = %3",
        ),
        (
            lambda x: transpose(reshape(expand(x.like(2.0), (2, 3)), (3, 2)), (1, 0)),
            4,
            "%1 = Constant [data=0000000000000040, dtype=float64, shape=(2, 3)] : float64[2,3]; "
            "return out = %1",
        ),
    ],
)
def test_rewrite(body: Body, before: int, after: str) -> None:
    f = function({"x": f8(2, 3)}, body)
    assert len(f) - 1 == before
    assert body_of(simplified(f)) == after


def test_transposes_are_multiplied() -> None:
    f = function({"x": f8(2, 3, 4)}, lambda x: transpose(transpose(x, (1, 2, 0)), (2, 0, 1)))
    assert body_of(simplified(f)) == "return out = %0"
    f = function({"x": f8(2, 3, 4)}, lambda x: transpose(transpose(x, (1, 2, 0)), (1, 2, 0)))
    got = body_of(simplified(f))
    assert got == "%1 = Transpose %0 [perm=(2, 0, 1)] : float64[4,2,3]; return out = %1"


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x + 0.0,
        lambda x: x - 0.0,
        lambda x: x * 0.0,
        lambda x: x * -1.0,
        lambda x: x**0,
        lambda x: x.like(1.0) / x,
        lambda x: expand(sin(reshape(x, (6,))), (4, 6)),
        lambda x: x * ones(x.b, f8(4, 2, 3)),
    ],
)
def test_what_would_move_a_bit_or_a_shape_stays(body: Body) -> None:
    f = function({"x": f8(2, 3)}, body)
    assert simplified(f).ops == f.ops


def test_an_expand_along_the_batch_goes_where_another_operand_gives_it() -> None:
    f = function({"x": f8(N, 3), "b": f8(3)}, lambda x, b: x + expand(b, (N, 3)))
    assert body_of(simplified(f)) == "%2 = Add %0 %1 : float64[N,3]; return out = %2"
    f = function({"b": f8(3), "c": f8(3)}, lambda b, c: expand(b, (N, 3)) + expand(c, (N, 3)))
    assert simplified(f).ops.count("Expand") == 1
    assert simplified(f).out_avals == (f8(N, 3),)


SPECIAL = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.5, 5e-324, 1e308])


def run(f: Function, feeds: dict[str, Array], n: int) -> list[Array]:
    plan = plan_function(specialise(f, n))
    return evaluate(plan, [feeds[name] for name in f.input_names])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10**9), st.booleans())
def test_bits_are_kept_on_any_graph_and_any_number(seed: int, special: bool) -> None:
    r = random.Random(seed)
    f = random_function(r, nodes=14)
    feeds = feeds_for(f, 3, seed)
    if special:
        for name in feeds:
            if feeds[name].dtype.kind == "f":
                feeds[name] = np.random.default_rng(seed).choice(SPECIAL, feeds[name].shape)
    g = simplified(f)
    assert len(g) <= len(f)
    for a, b in zip(run(f, feeds, 3), run(g, feeds, 3), strict=True):
        np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
        keep = ~np.isnan(a)
        assert np.asarray(a)[keep].tobytes() == np.asarray(b)[keep].tobytes()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_a_simplified_batched_graph_means_the_same(seed: int) -> None:
    f = random_function(random.Random(seed), batched=True)
    feeds = feeds_for(f, 3, seed)
    want, got = naive.outputs(f, feeds, 3), naive.outputs(simplified(f), feeds, 3)
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-14, atol=1e-14)


def test_other_dtypes_have_a_one_too() -> None:
    assert len(simplified(function({"x": f4(2)}, lambda x: x * 1.0))) == 1
    assert len(simplified(function({"x": i8(2)}, lambda x: x * 1))) == 1
    bits = Aval(DType.UINT8, (BatchDim(1),))
    assert len(simplified(function({"x": bits}, lambda x: x * 1))) == 1
