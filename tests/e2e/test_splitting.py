"""Losses as people write them: split over workers they equal the unsplit ones, or a warning says why not."""

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

import chainrule as cr

# Three microshards of the release's table for this graph, the last one ragged.
N = 1_237
RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(N, 6)), RNG.normal(size=(N, 3))
W = RNG.normal(size=(6, 3)) / 3
MASK, WEIGHT = (RNG.random(N) > 0.4).astype(float), RNG.random(N)
CLASS = RNG.integers(0, 3, N)
DATA = (X, Y, MASK, WEIGHT, CLASS)
BATCH = (1, 2, 3, 4, 5)


def error(w: Any, x: Any, y: Any) -> Any:
    return np.sum((np.tanh(x @ w) - y) ** 2, axis=-1)


def mean(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.mean(error(w, x, y))


def sum_over_n(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    e = error(w, x, y)
    return e.sum() / x.shape[0]


def masked(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.sum(m * error(w, x, y)) / np.sum(m)


def masked_by_where(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.mean(error(w, x, y), where=m > 0)


def weighted(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.average(error(w, x, y), weights=v)


def with_l2(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.mean(error(w, x, y)) + 0.01 * np.sum(w**2)


def two_masks(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    e, rest = error(w, x, y), 1 - m
    return np.sum(m * e) / np.sum(m) + 0.5 * np.sum(rest * np.sin(e)) / np.sum(rest)


def exp_of_mean(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.exp(np.mean(error(w, x, y)))


def log_of_mean_exp(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.log(np.mean(np.exp(-error(w, x, y))))


def norm(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return np.linalg.norm(error(w, x, y))


def cross_entropy(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return cr.losses.softmax_cross_entropy(x @ w, k)


def picked(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    return -np.mean(cr.nn.log_softmax(x @ w)[np.arange(x.shape[0]), k])


def reshaped(w: Any, x: Any, y: Any, m: Any, v: Any, k: Any) -> Any:
    flat = np.stack([x[:, :3], x[:, 3:]], axis=1).reshape(x.shape[0], -1)
    return np.mean((flat @ w + np.zeros((x.shape[0], 3))) * np.arange(len(x))[:, None] / len(x))


SPLIT = (
    mean,
    sum_over_n,
    masked,
    masked_by_where,
    weighted,
    with_l2,
    two_masks,
    exp_of_mean,
    log_of_mean_exp,
    norm,
    cross_entropy,
    picked,
    reshaped,
)


@pytest.mark.parametrize("loss", SPLIT, ids=lambda loss: str(loss.__name__))
def test_split_equals_unsplit(client: cr.Client, loss: Any) -> None:
    value, gradient = client.value_and_grad(loss, W, *DATA)
    split = client.compute(loss, W, *DATA, batch=BATCH)
    assert 0 < split.numerics.microshard_rows < N
    assert N % split.numerics.microshard_rows
    np.testing.assert_allclose(split.value, value, rtol=1e-12)
    np.testing.assert_allclose(
        split.grad, gradient, rtol=1e-12, atol=1e-12 * np.abs(gradient).max()
    )


def test_outputs_by_example_come_back_in_their_order(client: cr.Client) -> None:
    def outputs(w: Any, x: Any, y: Any) -> Any:
        e = error(w, x, y)
        return np.mean(e), {"each": e, "columns": np.tanh(x @ w).T}

    (value, aux), gradient = client.value_and_grad(outputs, W, X, Y, has_aux=True)
    (split, split_aux), split_gradient = client.value_and_grad(
        outputs, W, X, Y, has_aux=True, batch=(1, 2)
    )
    np.testing.assert_allclose(split, value, rtol=1e-12)
    np.testing.assert_allclose(split_gradient, gradient, rtol=1e-12)
    np.testing.assert_allclose(split_aux["each"], aux["each"], rtol=1e-12)
    np.testing.assert_allclose(split_aux["columns"], aux["columns"], rtol=1e-12)


def test_gradients_by_example_are_rows_of_the_batch(client: cr.Client) -> None:
    whole = client.grad(lambda w, x: np.sum(np.tanh(x @ w)), W, X, wrt=1)
    split = client.grad(lambda w, x: np.sum(np.tanh(x @ w)), W, X, wrt=1, batch=1)
    np.testing.assert_allclose(split, whole, rtol=1e-12)


def info_nce(w: Any, x: Any, y: Any) -> Any:
    scores = (x @ w) @ y.T / 0.5
    return np.mean(cr.nn.logsumexp(scores, axis=1) - np.diagonal(scores))


def contrast_by_index(w: Any, x: Any, y: Any) -> Any:
    scores = cr.nn.log_softmax((x @ w) @ y.T)
    return -np.mean(scores[np.arange(len(x)), np.arange(len(x))])


def batch_norm(w: Any, x: Any, y: Any) -> Any:
    h = x @ w
    centred = h - np.mean(h, axis=0)
    return np.mean((centred / np.sqrt(np.mean(centred**2, axis=0) + 1e-5) - y) ** 2)


@pytest.mark.parametrize("loss", [info_nce, contrast_by_index, batch_norm])
def test_what_couples_examples_runs_whole_and_names_its_line(client: cr.Client, loss: Any) -> None:
    x, y = X[:200], Y[:200]
    value, gradient = client.value_and_grad(loss, W, x, y)
    with pytest.warns(cr.UnsplitWarning, match="unsplit") as caught:
        split = client.compute(loss, W, x, y, batch=(1, 2))
    assert split.numerics.microshard_rows == 0
    np.testing.assert_allclose(split.value, value, rtol=1e-12)
    np.testing.assert_allclose(split.grad, gradient, rtol=1e-12)
    lines, first = inspect.getsourcelines(loss)
    (warning,) = caught
    file, _, number = str(warning.message).split(": ")[0].partition(":")
    assert file == "test_splitting.py"
    assert first < int(number) < first + len(lines)
    assert warning.filename == __file__


def test_a_loss_that_splits_does_not_warn(client: cr.Client) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.value_and_grad(mean, W, *DATA, batch=BATCH)


def test_a_session_of_a_coupled_loss_warns_at_its_step(client: cr.Client) -> None:
    session = client.create_session(info_nce, W, optimizer=cr.optim.sgd(0.1))
    with pytest.warns(cr.UnsplitWarning) as caught:
        result = session.step(X[:50], Y[:50])
    assert result.notices
    assert caught[0].filename == __file__
