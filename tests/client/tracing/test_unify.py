"""Three calls at three batch sizes become one graph that serves every size, or an error names the line."""

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import chainrule as cr
from chainrule.errors import ChainruleError
from chainrule.ir.avals import BatchDim
from chainrule.tracing import spec, trace
from support.evaluator import run
from support.traced import assert_same_for_any_batch, line_of, numbers, refusal

W = numbers(4, 3)
TABLE = numbers(3, 4, seed="table")


def batch_of(n: int) -> tuple[Any, Any]:
    return numbers(n, 4, seed="x"), np.arange(n) * 7 % 4


def constructors(x: Any, y: Any) -> Any:
    n, d = x.shape
    h = np.zeros((n, d)) + x + np.ones((n, 1)) * 2 + np.full(x.shape, 0.5)
    return h + np.ones_like(x) * np.empty((n, 4), bool).shape[1]


def picked(x: Any, y: Any) -> Any:
    return x[np.arange(x.shape[0]), y] + x[range(len(x)), y]


def means(x: Any, y: Any) -> Any:
    n = x.shape[0]
    return x.sum() / n, x.mean(), np.mean(x, axis=0), x.sum() / (n * 4), x.var(), x.std(ddof=1)


def scalars(x: Any, y: Any) -> Any:
    n = x.shape[0]
    s = np.sum(x)
    powers = s / np.sqrt(n), s * n**2, s / n**2, s * (1 / n), s * np.float32(n), s * (2.5 / n)
    return *powers, s * (n + 1), s * (0.5 * n + 0.25), s / (n + 0.5), s * (1 / (n + 2)), s * (3 - n)


def reshaped(x: Any, y: Any) -> Any:
    n = x.shape[0]
    flat = x.reshape(n, -1) + x.reshape(-1).reshape(n, 4)
    return flat, x.reshape(n, 2, 2).transpose(0, 2, 1), x.T.reshape(4, n), x.ravel()


def indices(x: Any, y: Any) -> Any:
    n = x.shape[0]
    grid = np.arange(n)[:, None] * 4 + np.arange(4)
    return x * np.arange(n)[:, None], x + grid, x * (np.arange(n)[:, None] / n), x.T * np.arange(n)


def reversed_indices(x: Any, y: Any) -> Any:
    n = x.shape[0]
    return x * np.arange(n)[::-1, None], x[::-1], x[np.arange(n)]


def table_rows(x: Any, y: Any) -> Any:
    n = len(x)
    wide = np.broadcast_to(TABLE[0], (n, 4))
    return x + wide, x + np.tile(TABLE[1], (n, 1)), np.concatenate([x, np.stack([TABLE[2]] * n)], 1)


def doubled(x: Any, y: Any) -> Any:
    both = np.concatenate([x, -x], axis=0)
    return both, both[: len(x)], both[len(x) :], both.reshape(2, len(x), 4), np.repeat(x, 3, axis=0)


def pairwise(x: Any, y: Any) -> Any:
    scores = x @ x.T
    return scores - np.max(scores, axis=1, keepdims=True), scores * np.eye(len(x)), y[:, None] == y


def network(x: Any, y: Any) -> Any:
    h = np.tanh(x @ W)
    z = np.einsum("ni,ij->nj", h, W.T)
    logits = z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))
    return -np.mean(logits[np.arange(len(y)), y]), {"hits": np.mean(np.argmax(z, 1) == y)}


def split_columns(x: Any, y: Any) -> Any:
    a, b = np.split(x, 2, axis=1)
    return a * b, x[:, 1:3], x[:, ::-1], np.pad(x, ((0, 0), (1, 2))), np.roll(x, 1, axis=1)


PROGRAMS = [
    constructors,
    picked,
    means,
    scalars,
    reshaped,
    indices,
    reversed_indices,
    table_rows,
    doubled,
    pairwise,
    network,
    split_columns,
]


@pytest.mark.parametrize("f", PROGRAMS, ids=[f.__name__ for f in PROGRAMS])
def test_a_program_traced_once_serves_every_batch_size(f: Any) -> None:
    assert_same_for_any_batch(f, batch_of, batch=(0, 1))


def test_batch_dimensions_are_multiples_of_n() -> None:
    graph = trace(lambda x: (x, x.reshape(-1), x.T, x.sum(0)), numbers(6, 4), batch=0)
    shapes = [a.shape for a in graph.out_avals.values()]
    assert shapes == [(BatchDim(), 4), (BatchDim(4),), (4, BatchDim()), (4,)]
    assert graph.batch_axes == {"args/0": 0}


def test_a_count_is_one_dim_size_row() -> None:
    graph = trace(lambda x: np.sum(x) / x.shape[0], numbers(6, 4), batch=0)
    assert graph.graph.main.ops == ("Input", "ReduceSum", "DimSize", "Cast", "Div")


def test_arange_is_a_global_iota() -> None:
    graph = trace(lambda x: x * np.arange(len(x)), numbers(6), batch=0)
    assert "Iota" in graph.graph.main.ops
    assert not graph.captures


def test_a_model_dimension_that_equals_a_traced_size_is_no_batch() -> None:
    for d in (5, 7, 11, 13):
        graph = trace(lambda x, w: x @ w, numbers(3, d), numbers(d, d), batch=0)
        assert graph.out_avals["out"].shape == (BatchDim(), d)


def test_another_batch_axis_by_spec() -> None:
    graph = trace(lambda x: np.mean(x, axis=1), spec((4, None), np.float32, batch_axis=1))
    assert graph.in_avals["args/0"].shape == (4, BatchDim())
    assert graph.batch_axes == {"args/0": 1}
    x = numbers(4, 9).astype(np.float32)
    np.testing.assert_allclose(run(graph, x), np.mean(x, 1), rtol=1e-6)


def test_without_batch_the_graph_is_concrete_and_f_is_called_once() -> None:
    calls: list[int] = []
    graph = trace(lambda x: calls.append(1) or np.mean(x), numbers(6, 4))  # type: ignore[func-returns-value]
    assert calls == [1]
    assert "DimSize" not in graph.graph.main.ops
    assert not graph.batch_axes


def loop(x: Any) -> Any:
    total = 0.0
    for i in range(x.shape[0]):
        total = total + x[i]
    return total


def iterated(x: Any) -> Any:
    return sum(row.sum() for row in x)


def branch(x: Any) -> Any:
    return np.sin(x) if x.shape[0] > 6 else np.cos(x)


def other_tree(x: Any) -> Any:
    return [np.sum(x)] * x.shape[0]


def grads_in_a_loop(x: Any) -> Any:
    w = np.sum(x)
    return sum(cr.grad(lambda v: v * v)(w) for _ in range(len(x)))


def halved(x: Any) -> Any:
    return x[: x.shape[0] // 2]


def without_last(x: Any) -> Any:
    return x[1:] - x[:-1]


def squared_shape(x: Any) -> Any:
    return np.zeros((len(x), len(x))).reshape(-1)[: len(x)] + np.outer(x[:, 0], x[:, 0]).ravel()[0]


def odd_constant(x: Any) -> Any:
    return x * np.random.default_rng(0).uniform(size=(len(x), 1))


def odd_scalar(x: Any) -> Any:
    return x * np.sin(len(x))


def joined(x: Any) -> Any:
    return np.concatenate([x, np.ones((3, 4))], axis=0)


def padded(x: Any) -> Any:
    return np.pad(x, ((1, 0), (0, 0)))


def step_over_batch(x: Any) -> Any:
    return x[::2]


def one_example(x: Any) -> Any:
    return x[0]


REFUSED = [
    (loop, 3, "whole batch"),
    (iterated, 1, "axis=0"),
    (branch, 1, "branches on its size"),
    (other_tree, 1, "the same tree"),
    (grads_in_a_loop, 2, "whole batch"),
    (halved, 1, "k times the batch"),
    (without_last, 1, "k times the batch"),
    (squared_shape, 1, "batch"),
    (odd_constant, 1, "pass it as an argument"),
    (odd_scalar, 1, "pass it as an argument"),
    (joined, 1, "k times the batch"),
    (padded, 1, "k times the batch"),
    (step_over_batch, 1, "k times the batch"),
    (one_example, 1, "multiples of"),
]


@pytest.mark.parametrize(("f", "offset", "cure"), REFUSED, ids=[r[0].__name__ for r in REFUSED])
def test_what_depends_on_the_batch_otherwise_is_refused_at_its_line(
    f: Any, offset: int, cure: str
) -> None:
    error = refusal(f, numbers(6, 4), batch=0)
    assert isinstance(error, ChainruleError)
    assert cure in str(error)
    assert error.line == line_of(f, offset)


def test_batches_of_unlike_length_are_refused() -> None:
    error = refusal(lambda x, y: x, numbers(6, 4), numbers(5), batch=(0, 1))
    assert "differ in length" in str(error)
    assert "has no axis" in str(refusal(lambda x, y: x, numbers(6), 1.0, batch=(0, 1)))
    assert "argument 4 of 2" in str(refusal(lambda x, y: x, 1.0, 2.0, batch=4))


STEPS: list[Any] = [
    lambda x, n: x + np.arange(n)[:, None],
    lambda x, n: x * (np.arange(n * 4).reshape(n, 4) / n),
    lambda x, n: x - np.mean(x, axis=0),
    lambda x, n: np.tanh(x / np.sqrt(n)),
    lambda x, n: x[::-1] + np.ones((n, 1)),
    lambda x, n: np.concatenate([x, x], axis=0)[n:],
    lambda x, n: x.reshape(-1).reshape(n, 4),
    lambda x, n: x.T.reshape(4, n).T,
    lambda x, n: np.where(x > np.zeros((n, 4)), x, -x),
    lambda x, n: x[np.arange(n), :],
    lambda x, n: x[np.arange(n)[:, None], np.array([3, 1, 2, 0])],
    lambda x, n: x * np.full(n, 1.0 / n)[:, None],
    lambda x, n: x + np.eye(n) @ x,
    lambda x, n: np.repeat(x, 2, axis=0).reshape(n, 2, 4).sum(1),
    lambda x, n: x @ (np.ones((4, 4)) * (n - 1)) / (n + 1),
    lambda x, n: x - np.max(np.stack([x, x**2]), axis=0),
    lambda x, n: np.broadcast_to(x.sum(1, keepdims=True), (n, 4)) / n,
    lambda x, n: np.take_along_axis(x, np.argmax(x, 1)[:, None], 1) * np.ones(4),
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(range(len(STEPS))), min_size=1, max_size=6))
def test_any_program_of_such_steps_serves_every_batch_size(chosen: list[int]) -> None:
    def f(x: Any) -> Any:
        for k in chosen:
            x = STEPS[k](x, len(x))
        return x, np.sum(x) / x.size

    graph = trace(f, numbers(6, 4), batch=0)
    for n in (1, 2, 9):
        x = numbers(n, 4)
        for have, want in zip(run(graph, x), f(x), strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-9)
