"""Losses: traced equal plain for every batch; weights leave examples out; values equal their formulas."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tracing import trace
from support.evaluator import run
from support.traced import assert_same_for_any_batch, numbers


def reals(n: int) -> tuple[Any, Any, Any]:
    return numbers(n, 3, seed="p"), numbers(n, 3, seed="t"), np.arange(n) % 3 + 1.0


def classes(n: int) -> tuple[Any, Any, Any]:
    return numbers(n, 3, seed="z"), np.arange(n) * 2 % 3, np.arange(n) % 3 + 1.0


def binary(n: int) -> tuple[Any, Any, Any]:
    return numbers(n, seed="z") * 5, np.arange(n) % 2 * 1.0, np.arange(n) % 3 + 1.0


def shares(n: int) -> tuple[Any, Any, Any]:
    p, t = (np.array(cr.nn.softmax(numbers(n, 3, seed=s))) for s in "pt")
    return p, t, np.arange(n) + 1.0


CASES = [
    (cr.losses.mse, reals, lambda p, t: np.mean((p - t) ** 2)),
    (cr.losses.mae, reals, lambda p, t: np.mean(np.abs(p - t))),
    (cr.losses.half_squared_error, reals, lambda p, t: 0.5 * np.mean(np.sum((p - t) ** 2, -1))),
    (
        cr.losses.huber,
        reals,
        lambda p, t: np.mean(np.where(np.abs(p - t) <= 1, (p - t) ** 2 / 2, np.abs(p - t) - 0.5)),
    ),
    (
        cr.losses.softmax_cross_entropy,
        classes,
        lambda z, y: np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(len(y)), y]),
    ),
    (
        cr.losses.binary_cross_entropy_with_logits,
        binary,
        lambda z, t: np.mean(
            -t * np.log(1 / (1 + np.exp(-z))) - (1 - t) * np.log(1 / (1 + np.exp(z)))
        ),
    ),
    (
        cr.losses.hinge,
        lambda n: (numbers(n), np.arange(n) % 2 * 2.0 - 1, np.arange(n) + 1.0),
        lambda s, t: np.mean(np.maximum(0, 1 - t * s)),
    ),
    (
        lambda q, t, weights=None: cr.losses.kl_divergence(np.log(q), t, weights),
        shares,
        lambda q, t: np.mean(np.sum(t * np.log(t / q), -1)),
    ),
]
IDS = [
    "mse",
    "mae",
    "half_squared_error",
    "huber",
    "softmax_cross_entropy",
    "binary",
    "hinge",
    "kl",
]


@pytest.mark.parametrize(("loss", "make", "formula"), CASES, ids=IDS)
def test_a_loss_is_the_mean_of_its_formula(loss: Any, make: Any, formula: Any) -> None:
    predictions, targets, _ = make(7)
    np.testing.assert_allclose(loss(predictions, targets), formula(predictions, targets))
    assert_same_for_any_batch(lambda p, t: loss(p, t), lambda n: make(n)[:2], batch=(0, 1))


@pytest.mark.parametrize(("loss", "make", "formula"), CASES, ids=IDS)
def test_a_mask_leaves_examples_out(loss: Any, make: Any, formula: Any) -> None:
    predictions, targets, _ = make(8)
    mask = np.arange(8) < 5
    wide = mask[:, None] if loss in (cr.losses.mse, cr.losses.mae, cr.losses.huber) else mask
    want = formula(predictions[mask], targets[mask])
    np.testing.assert_allclose(loss(predictions, targets, weights=wide), want)
    graph = trace(
        lambda p, t, m: loss(p, t, weights=m), predictions, targets, wide, batch=(0, 1, 2)
    )
    np.testing.assert_allclose(run(graph, predictions, targets, wide), want)


@pytest.mark.parametrize(("loss", "make", "formula"), CASES, ids=IDS)
def test_float32_stays_float32(loss: Any, make: Any, formula: Any) -> None:
    del formula
    predictions, targets, _ = make(6)
    targets = targets.astype(np.float32) if targets.dtype == float else targets
    args = predictions.astype(np.float32), targets, np.ones((6, 1)[: predictions.ndim], bool)
    if loss not in (cr.losses.mse, cr.losses.mae, cr.losses.huber):
        args = (*args[:2], np.ones(6, bool))
    graph = trace(lambda p, t, w: loss(p, t, weights=w), *args, batch=(0, 1, 2))
    assert graph.out_avals["out"].dtype.label == "float32"


def test_cross_entropy_of_class_numbers_equals_that_of_one_hot_probabilities() -> None:
    z, y, w = classes(6)
    hot = cr.nn.one_hot(y, 3)
    np.testing.assert_allclose(
        cr.losses.softmax_cross_entropy(z, y, w), cr.losses.softmax_cross_entropy(z, hot, w)
    )
    graph = trace(lambda z, h: cr.losses.softmax_cross_entropy(z, h), z, hot, batch=(0, 1))
    np.testing.assert_allclose(run(graph, z, hot), cr.losses.softmax_cross_entropy(z, y))


def test_cross_entropy_is_one_library_function() -> None:
    z, y, _ = classes(6)
    graph = trace(
        lambda z, y: cr.losses.softmax_cross_entropy(z, y), z, y.astype(np.int32), batch=(0, 1)
    )
    assert "SoftmaxCrossEntropy" in graph.graph.main.ops


def test_large_logits_do_not_overflow() -> None:
    z = np.array([-1000.0, 1000.0])
    assert cr.losses.binary_cross_entropy_with_logits(z, np.array([0.0, 1.0])) == 0
    wide = np.array([[1000.0, -1000.0]])
    assert cr.losses.softmax_cross_entropy(wide, np.array([1])) == 2000
