"""Random draws in traced code: keys, streams, counters."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tracing import trace
from support.evaluator import run
from support.traced import refusal
from support.traced_engine import answer


def drawn(f: Any, n: int, key: Any = None) -> Any:
    return run(trace(f, np.zeros(6), batch=0), np.zeros(n), key=key)


def test_uniform_numbers_fill_the_unit_interval() -> None:
    wide = drawn(lambda x: cr.random.uniform((len(x), 3)), 5000)
    assert wide.dtype == np.float64
    assert 0 <= wide.min() < 1e-3 and 1 - 1e-3 < wide.max() < 1
    assert abs(wide.mean() - 0.5) < 0.01 and abs(wide.var() - 1 / 12) < 0.01
    single = drawn(lambda x: cr.random.uniform(x.shape, np.float32), 5000)
    assert single.dtype == np.float32 and single.max() < 1
    assert np.array_equal(single * 2**24, np.round(single * 2**24))


def test_uniform_between_bounds() -> None:
    values = drawn(lambda x: cr.random.uniform(x.shape, low=-2.0, high=3.0), 2000)
    assert -2 <= values.min() < -1.9 and 2.9 < values.max() < 3


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_normal_numbers(dtype: Any) -> None:
    got = answer(lambda x: cr.random.normal((len(x), 3), dtype), np.zeros(4000), n=4000, batch=0)
    assert got.dtype == dtype and np.all(np.isfinite(got))
    assert abs(got.mean()) < 0.03 and abs(got.var() - 1) < 0.04
    assert abs(np.mean(np.abs(got) < 1) - 0.6827) < 0.015
    assert cr.random.normal((3,), dtype).dtype == dtype


def test_an_example_draws_the_same_in_a_larger_batch() -> None:
    def f(x: Any) -> Any:
        return cr.random.bits((len(x), 3)), cr.random.uniform((len(x), 2))

    few, many = drawn(f, 4), drawn(f, 9)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b[:4])


def test_counters_are_apart_and_examples_begin_at_a_block() -> None:
    graph = trace(lambda x: cr.random.bits((len(x), 3, 2)), np.zeros(6), batch=0)
    rows = list(graph.graph.main)
    bits = next(node for node in rows if node.op == "RandomBits")
    assert "DimSize" not in graph.graph.main.ops
    assert dict(bits.attrs)["stream"] == 0
    words = drawn(lambda x: cr.random.bits((len(x), 3, 2)), 50)
    assert len(np.unique(words)) == words.size


def test_equal_draws_have_streams_of_their_own_in_call_order() -> None:
    def f(x: Any) -> Any:
        return cr.random.bits(x.shape), cr.random.bits(x.shape)

    graph = trace(f, np.zeros(6), batch=0)
    streams = [dict(n.attrs)["stream"] for n in graph.graph.main if n.op == "RandomBits"]
    assert streams == [0, 1]
    first, second = drawn(f, 20)
    assert np.any(first != second)


def test_the_key_is_an_input_and_moves_every_draw() -> None:
    graph = trace(lambda x: cr.random.bits(x.shape), np.zeros(6))
    assert graph.uses_random
    assert graph.in_names == ("args/0",)
    assert np.any(
        drawn(lambda x: cr.random.bits(x.shape), 20, key=[1, 2])
        != drawn(lambda x: cr.random.bits(x.shape), 20, key=[1, 3])
    )


def test_bernoulli_of_static_and_traced_probabilities() -> None:
    for p in (0.0, 0.3, 1.0):
        hits = drawn(lambda x, p=p: cr.random.bernoulli(p, (len(x), 4)), 3000)
        assert hits.dtype == bool and abs(hits.mean() - p) < 0.02
    traced = trace(lambda p: cr.random.bernoulli(p, (4000,)), 0.3)
    assert abs(run(traced, 0.3).mean() - 0.3) < 0.03


def test_draws_inside_a_derivative_use_the_same_key() -> None:
    def f(w: Any, x: Any) -> Any:
        def loss(w: Any) -> Any:
            return np.sum(w * x * cr.random.bernoulli(0.5, x.shape))

        return cr.value_and_grad(loss)(w)

    graph = trace(f, 2.0, np.ones(8))
    assert graph.graph.main.input_names == ("args/0", "args/1", "$key")
    value, gradient = run(graph, 2.0, np.ones(8))
    np.testing.assert_allclose(value, 2 * gradient, rtol=1e-9)


def test_a_scalar_draw_and_refusals() -> None:
    assert run(trace(lambda x: cr.random.uniform() + x, 0.0), 0.0).shape == ()
    assert "from 0 to 1" in str(refusal(lambda x: cr.random.bernoulli(1.5, (2,)), 0.0))
    assert "float64 or float32" in str(refusal(lambda x: cr.random.uniform((), np.int64), 0.0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_outside_of_a_trace_numpy_draws(dtype: Any) -> None:
    values = cr.random.uniform((100,), dtype)
    assert values.dtype == dtype and values.min() >= 0 and values.max() < 1
    assert cr.random.bits((3,)).dtype == np.uint32
    assert cr.random.bernoulli(1.0, (3,)).all()
