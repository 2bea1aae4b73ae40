"""`client.verify`: right derivatives pass, wrong ones are found with their leaf and node."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4))
PARAMS = {"w": RNG.normal(size=(4, 3)), "b": RNG.normal(size=3)}


def loss(p: Any, x: Any) -> Any:
    return np.mean(np.log(1 + np.exp(x @ p["w"] + p["b"])) ** 2)


def test_right_derivatives_are_verified(client: cr.Client) -> None:
    report = client.verify(loss, PARAMS, X)
    assert report
    assert report.ok
    assert [leaf.name for leaf in report.leaves] == ["args/0/b", "args/0/w", "args/1"]
    assert all(leaf.finite for leaf in report.leaves)
    assert max(leaf.check.error for leaf in report.leaves) < 1e-8
    assert report.adjoint.error < 1e-12
    assert report.evaluations == 2 + 4 * 18
    assert report.worst_leaf in report.leaves
    assert "worst leaf" in repr(report)
    assert "worst node" in repr(report)


def test_vectors_integers_loops_and_batches_are_verified(client: cr.Client) -> None:
    rows = np.array([2, 0, 1])
    assert client.verify(lambda x, rows: {"a": np.sin(x)[rows], "n": rows}, X, rows)
    assert client.verify(loss, PARAMS, X, wrt=0, batch=1)

    def loop(x: Any) -> Any:
        last, all_of_them = cr.scan(lambda c, _: (np.sin(c) * x, c), x, np.zeros(4))
        return last, all_of_them

    assert client.verify(loop, np.array([0.3, 1.1]))
    assert client.verify(lambda x: np.sum(np.tanh(x)), X.astype(np.float32))


def test_a_wrong_rule_is_found_with_its_leaf_and_its_node(client: cr.Client) -> None:
    wrong = cr.custom_vjp(np.sin, lambda x, ct: 1.01 * ct * np.cos(x))

    def f(a: Any, b: Any) -> Any:
        return np.sum(np.exp(a) * 2) + np.sum(wrong(b) ** 2)

    report = client.verify(f, X, X[0])
    assert not report
    assert report.worst_leaf.name == "args/1"
    assert [leaf.check.verdict.name for leaf in report.leaves] == ["AGREES", "DIFFERS"]
    assert 0.0095 < report.worst_leaf.check.error < 0.01
    assert report.worst_node is not None
    assert report.worst_node.op == "CustomVjp"
    assert "test_verification.py" in report.worst_node.source_line
    assert "NOT verified" in report.to_text()


def test_a_kink_is_uncertain_and_no_fault(client: cr.Client) -> None:
    report = client.verify(lambda x: np.sum(cr.nn.relu(x)), np.zeros(1))
    assert report
    assert report.leaves[0].check.verdict.name == "UNCERTAIN"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_kinks_nearby_are_no_fault_and_hide_none(client: cr.Client, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    x = rng.random((64, 50)).astype(dtype)
    p = {"a": rng.normal(size=(50, 64)) / 7, "b": rng.normal(size=(64, 10)) / 8}
    p = {name: w.astype(dtype) for name, w in p.items()}
    wrong = cr.custom_vjp(np.tanh, lambda x, ct: 1.5 * ct * (1 - np.tanh(x) ** 2))

    def net(squash: Any) -> Any:
        return lambda p, x: (
            -np.mean(cr.nn.log_softmax(squash(cr.nn.relu(x @ p["a"]) @ p["b"]))[:, 0])
        )

    assert client.verify(net(np.tanh), p, x, wrt=0)
    report = client.verify(net(wrong), p, x, wrt=0)
    assert not report
    assert 0.1 < report.worst_leaf.check.error < 0.35


def test_stopped_gradients_are_held_still(client: cr.Client) -> None:
    assert client.verify(lambda x: np.sum(cr.stop_gradient(np.exp(x)) * x), X[0])
    assert client.verify(lambda x: np.sum(cr.nn.softmax(x) ** 2), X[0])


def test_what_is_not_finite_is_said_by_input(client: cr.Client) -> None:
    report = client.verify(lambda x, y: np.sum(np.sqrt(x)) + np.sum(y), np.zeros(2), X[0])
    assert not report
    assert [leaf.finite for leaf in report.leaves] == [False, True]
    assert report.value_finite
    assert "not finite" in report.to_text()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda c: c.verify(loss, PARAMS, X, tolerance=2.0), cr.GraphError, "tolerance 2; give"),
        (lambda c: c.verify(loss, PARAMS, X, max_flops=9), cr.LimitExceeded, "the call allows 9"),
        (lambda c: c.verify(loss, PARAMS, X, wrt=3), cr.GraphError, "argument 3 of 2"),
        (lambda c: c.verify(np.argmax, X), cr.GraphError, "no array of floats"),
    ],
)
def test_a_wrong_call_says_what_and_how_to_mend_it(
    client: cr.Client, call: Any, kind: type[cr.ChainruleError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        call(client)
