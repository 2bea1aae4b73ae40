"""Neural-network functions: traced equal plain, and both equal their formulas."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tracing import trace
from support.evaluator import run
from support.traced import assert_same, assert_same_for_any_batch, compare, numbers, refusal, rows
from support.traced_engine import answer

X = numbers(3, 4)
FAR = np.array([-1000.0, -30.0, -1.0, 0.0, 1.0, 30.0, 1000.0])


@rows(
    *(
        (f"{name} {kind}", getattr(cr.nn, name), (x,))
        for name in ["sigmoid", "relu", "softplus", "tanh", "silu", "gelu", "leaky_relu", "elu"]
        for kind, x in (("near", X), ("far", FAR))
    ),
    ("softmax", lambda x: (cr.nn.softmax(x), cr.nn.softmax(x, axis=0)), (X,)),
    ("log_softmax", lambda x: (cr.nn.log_softmax(x), cr.nn.log_softmax(x, axis=0)), (X,)),
    ("softmax far", cr.nn.softmax, (FAR,)),
    ("logsumexp", lambda x: (cr.nn.logsumexp(x), cr.nn.logsumexp(x, -1, keepdims=True)), (X,)),
    ("logsumexp far", cr.nn.logsumexp, (FAR,)),
    ("linear", lambda x, w: (cr.nn.linear(x, w), cr.nn.linear(x, w, w[0])), (X, numbers(4, 2))),
    ("one_hot", lambda y: cr.nn.one_hot(y, 4), (np.array([[0, 3], [2, 7]]),)),
    ("one_hot dtype", lambda y: cr.nn.one_hot(y, 4, np.float32), (np.array([0, 3]),)),
    ("embedding", cr.nn.embedding, (X, np.array([[0, 2], [1, 1]]))),
    ("layer_norm", lambda x: cr.nn.layer_norm(x, x[0], 1.0), (X,)),
    ("rms_norm", lambda x: cr.nn.rms_norm(x, 2.0), (X,)),
    ("attention", cr.nn.attention, tuple(numbers(2, 5, 4, seed=s) for s in "qkv")),
    (
        "masked attention",
        lambda q, k, v: cr.nn.attention(q, k, v, np.tri(5, dtype=bool)),
        tuple(numbers(2, 5, 4, seed=s) for s in "qkv"),
    ),
)
def test_traced_equals_plain(f: Any, args: Any) -> None:
    assert_same(f, *args)


def test_values_are_those_of_the_formulas() -> None:
    np.testing.assert_allclose(cr.nn.sigmoid(X), 1 / (1 + np.exp(-X)))
    np.testing.assert_allclose(cr.nn.softplus(X), np.log1p(np.exp(X)))
    np.testing.assert_allclose(cr.nn.softmax(X).sum(-1), 1)
    np.testing.assert_allclose(np.exp(cr.nn.log_softmax(X)), cr.nn.softmax(X))
    np.testing.assert_allclose(cr.nn.layer_norm(X).mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(cr.nn.layer_norm(X, eps=0).std(-1), 1)
    np.testing.assert_allclose(cr.nn.gelu(np.array([1.0, -1.0])), [0.841192, -0.158808], rtol=1e-6)


FLOATS = "sigmoid relu softplus gelu layer_norm softmax silu elu"


@pytest.mark.parametrize("name", FLOATS.split())
def test_float32_stays_float32(name: str) -> None:
    graph = trace(getattr(cr.nn, name), X.astype(np.float32))
    assert graph.out_avals["out"].dtype.label == "float32"


def test_library_functions_are_named_not_expanded() -> None:
    graph = trace(lambda x: cr.nn.softmax(cr.nn.relu(cr.nn.sigmoid(x))), X)
    assert graph.graph.main.ops == ("Input", "Sigmoid", "Relu", "Softmax")


def test_one_hot_takes_the_dtype_it_meets() -> None:
    graph = trace(lambda x, y: x * cr.nn.one_hot(y, 4), X.astype(np.float32), np.array([0, 1, 3]))
    assert graph.out_avals["out"].dtype.label == "float32"


def test_one_hot_serves_every_batch() -> None:
    assert_same_for_any_batch(
        lambda x, y: np.sum(x * cr.nn.one_hot(y, 4), -1),
        lambda n: (numbers(n, 4), np.arange(n) % 4),
        batch=(0, 1),
    )


@pytest.mark.parametrize(("axis", "k"), [(-1, 3), (0, 4)])
def test_top_k_is_the_same_on_plain_arrays(axis: int, k: int) -> None:
    x = np.round(numbers(4, 6))  # with ties

    compare(answer(lambda x: cr.nn.top_k(x, k, axis), x), cr.nn.top_k(x, k, axis), 0, 0)


def test_gelu_by_the_error_function() -> None:
    def f(x: Any) -> Any:
        return cr.nn.gelu(x, approximate=False)

    compare(answer(f, X), f(X), 1e-13, 1e-15)
    # x Phi(x) has the derivative Phi(x) + x phi(x)
    slope = f(X) / X + X * np.exp(-(X**2) / 2) / np.sqrt(2 * np.pi)
    compare(answer(lambda x: cr.grad(lambda x: np.sum(f(x)))(x), X), slope, 1e-12, 1e-14)


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm(train: bool) -> None:
    x, state = numbers(7, 3, 4), {"mean": numbers(4), "var": numbers(4) ** 2}
    scale, bias = numbers(4, seed="g"), numbers(4, seed="b")

    def f(state: Any, x: Any) -> Any:
        return cr.nn.batch_norm(x, state, scale, bias, train)

    y, new = f(state, x)
    mean, var = (x.mean((0, 1)), x.var((0, 1))) if train else (state["mean"], state["var"])
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(var + 1e-5) * scale + bias, rtol=1e-12)
    moved = 0.9 * state["var"] + 0.1 * x.var((0, 1), ddof=1) if train else state["var"]
    np.testing.assert_allclose(new["var"], moved, rtol=1e-12)
    compare(answer(f, state, x, n=7, batch=1), (y, new), 1e-12, 1e-13)


def test_dropout_keeps_the_mean_and_zeroes_a_share() -> None:
    x = np.ones((400, 50))
    y = run(trace(lambda x: cr.nn.dropout(0.25, x), x, batch=0), x)
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert abs(np.mean(y == 0) - 0.25) < 0.02
    plain = cr.nn.dropout(0.25, x)
    assert abs(np.mean(plain == 0) - 0.25) < 0.02


def test_dropout_outside_of_training_is_the_identity() -> None:
    assert cr.nn.dropout(0.5, X, train=False) is X
    assert cr.nn.dropout(0.0, X) is X
    assert "from 0 up to" in str(refusal(lambda x: cr.nn.dropout(1.0, x), X))


def test_two_equal_dropouts_differ() -> None:
    x = np.ones((50, 8))
    a, b = run(trace(lambda x: (cr.nn.dropout(0.5, x), cr.nn.dropout(0.5, x)), x), x)
    assert np.any(a != b)
