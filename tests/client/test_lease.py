"""One forward on the server, many derivatives: equal to single calls, without the forward's work."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(0)
X, A = RNG.normal(size=(200, 8)), RNG.normal(size=(8, 8))


def deep(x: Any, a: Any) -> Any:
    for _ in range(6):
        x = np.tanh(x @ a)
    return {"y": x, "s": np.sum(x**2)}


COTANGENT = {"y": RNG.normal(size=(200, 8)), "s": 2.0}
TANGENTS = (RNG.normal(size=(200, 8)), RNG.normal(size=(8, 8)))


def test_derivatives_of_a_lease_are_those_of_single_calls(client: cr.Client) -> None:
    value, cts = client.vjp(deep, (X, A), COTANGENT)
    _, tangent = client.jvp(deep, (X, A), TANGENTS)
    with client.linearize(deep, X, A) as lease:
        np.testing.assert_array_equal(lease.value["y"], value["y"])
        for found, want in zip(lease.vjp(COTANGENT), cts, strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-13, atol=1e-14)
        for again in (lease.jvp(*TANGENTS), lease.jvp(TANGENTS)):
            np.testing.assert_allclose(again["y"], tangent["y"], rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(again["s"], tangent["s"], rtol=1e-12)


def test_the_forward_is_not_run_again(client: cr.Client) -> None:
    forward = client.compute(deep, X, A, requests="value", wrt=0).stats.flops
    loss = client.compute(lambda x, a: deep(x, a)["s"], X, A, wrt=(0, 1)).stats.flops
    with client.linearize(deep, X, A) as lease:
        lease.vjp({"y": np.zeros((200, 8)), "s": 1.0})
        back = lease.last_stats.flops
        lease.jvp(*TANGENTS)
        push = lease.last_stats.flops
        assert lease.stats.flops < 1.2 * forward
        assert back < loss - 0.9 * forward
        assert push < 2.1 * forward


def test_many_seeds_go_through_a_lease_at_once(client: cr.Client) -> None:
    x, w = X[0], A
    with client.linearize(lambda x: np.tanh(w @ x), x) as lease:
        jacobian = client.jacobian(lambda x: np.tanh(w @ x), x)
        np.testing.assert_allclose(lease.vjp(np.eye(8), many=True), jacobian, rtol=1e-12)
        np.testing.assert_allclose(lease.jvp(np.eye(8), many=True), jacobian.T, rtol=1e-12)


def test_a_batch_is_split_in_both_halves(client: cr.Client) -> None:
    rows = RNG.normal(size=(5000, 8))

    def mean(a: Any, x: Any) -> Any:
        return np.mean(np.tanh(x @ a) ** 2)

    with client.linearize(mean, A, rows, batch=1) as lease:
        gradient, _ = lease.vjp(1.0)
        np.testing.assert_allclose(gradient, client.grad(mean, A, rows), rtol=1e-11, atol=1e-15)


def test_loops_are_leased_too(client: cr.Client) -> None:
    def f(x: Any) -> Any:
        last, _ = cr.scan(lambda c, _: (np.sin(c) * x, None), x, np.zeros(5))
        return last

    x = np.array([0.3, 1.1])
    with client.linearize(f, x) as lease:
        want = client.vjp(f, x, np.array([1.0, -2.0]))[1]
        np.testing.assert_allclose(lease.vjp(np.array([1.0, -2.0])), want, rtol=1e-13)
        want = client.jvp(f, x, np.array([1.0, -2.0]))[1]
        np.testing.assert_allclose(lease.jvp(np.array([1.0, -2.0])), want, rtol=1e-13)


def test_a_released_lease_is_gone(client: cr.Client) -> None:
    lease = client.linearize(np.sin, X)
    assert lease.nbytes == X.nbytes
    assert "bytes on the server" in repr(lease)
    assert lease.release()
    assert not lease.release()
    with pytest.raises(cr.NotFound, match="linearize again") as caught:
        lease.vjp(X)
    assert caught.value.cure


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda c: c.linearize(np.sin, X, ttl_s=-1), cr.GraphError, "ttl_s is -1; give seconds"),
        (lambda c: c.linearize(np.sin, X).vjp(X[0]), cr.ShapeMismatch, "is needed; give cot"),
        (lambda c: c.linearize(np.sin, X).jvp(X, X), cr.GraphError, "2 tangents for 1 primals"),
        (lambda c: c.linearize(np.argmax, X), cr.GraphError, "no array of floats"),
    ],
)
def test_a_wrong_call_says_what_and_how_to_mend_it(
    client: cr.Client, call: Any, kind: type[cr.ChainruleError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        call(client)
