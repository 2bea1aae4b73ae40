"""Derivatives to the fourth order, through solutions, reversible layers and recomputation, as requests."""

import hashlib
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import chainrule as cr
from support.higher_order import arrays

Function = Callable[[Any], Any]
W1, B1, W2, B2, V = arrays(2, 4), arrays(4), arrays(4, 3), arrays(3), arrays(3)
X, DIRECTIONS = arrays(2, seed=1), arrays(4, 2, seed=2)


def network(x: Any) -> Any:
    return np.tanh(np.tanh(x @ W1 + B1) @ W2 + B2) @ V


def exact_network(x: Any) -> Any:
    h = [mpmath.tanh(s + b) for s, b in zip(x @ W1, B1, strict=True)]
    y = [mpmath.tanh(s + b) for s, b in zip(np.array(h) @ W2, B2, strict=True)]
    return sum(a * v for a, v in zip(y, V, strict=True))


def forward(f: Function, v: Any) -> Function:
    return lambda x: cr.jvp(f, (x,), (v,))[1]


def reverse(f: Function, v: Any) -> Function:
    return lambda x: np.sum(cr.grad(f)(x) * v)


@pytest.mark.parametrize("modes", ["rrrr", "ffff", "rfrf", "frrf"])
def test_the_fourth_derivative_of_a_tanh_network(client: cr.Client, modes: str) -> None:
    f: Function = network
    for mode, v in zip(modes, DIRECTIONS, strict=True):
        f = (forward if mode == "f" else reverse)(f, v)

    def line(*steps: Any) -> Any:
        return exact_network(X + sum(h * v for h, v in zip(steps, DIRECTIONS, strict=True)))

    with mpmath.workdps(50):
        expected = float(mpmath.diff(line, (0,) * 4, (1,) * 4))
    assert client.value(f, X) == pytest.approx(expected, rel=1e-8)


def cosine_point(a: Any, **options: Any) -> Any:
    return cr.fixed_point(lambda x: np.cos(a * x) / 4, np.full(np.shape(a), 0.2), **options)


def test_the_peak_of_an_implicit_gradient_is_free_of_iterations(client: cr.Client) -> None:
    def peak(n: int) -> int:
        def f(a: Any) -> Any:
            return np.sum(cosine_point(a, max_iter=n, adjoint_max_iter=n, tol=1e-6))

        result = client.compute(f, arrays(1000), requests=("value", "grad"))
        assert result.stats.peak_bytes == client.estimate(f, arrays(1000)).peak_bytes
        return result.stats.peak_bytes

    assert peak(10) == peak(10_000)


def test_the_bits_of_an_example_do_not_depend_on_the_others(client: cr.Client) -> None:
    def alone(a: Any) -> Any:
        return cosine_point(a, tol=1e-12, per_example=True)

    a = arrays(9)
    together = client.value(alone, a, batch=0)
    single = [client.value(alone, a[i : i + 1], batch=0) for i in range(9)]
    assert together.tobytes() == np.concatenate(single).tobytes()


def test_an_equilibrium_alone_is_the_one_in_a_batch(client: cr.Client) -> None:
    w, u, x = arrays(4, 4, scale=0.2), arrays(3, 4), arrays(9, 3)

    def loss(w: Any, x: Any) -> Any:
        z = cr.fixed_point(
            lambda z: np.tanh(z @ w + x @ u), np.zeros((len(x), 4)), tol=1e-14, per_example=True
        )
        return np.sum(z**2)

    value, gradient = client.value_and_grad(loss, w, x, batch=1)
    parts = [client.value_and_grad(loss, w, x[i : i + 1], batch=1) for i in range(9)]
    assert value == pytest.approx(sum(v for v, _ in parts), rel=1e-12)
    np.testing.assert_allclose(gradient, sum(g for _, g in parts), rtol=1e-12, atol=1e-13)


def test_the_hessian_through_a_root_is_that_of_the_closed_form(client: cr.Client) -> None:
    # u^2 + v = p, u v = q:  u^3 - p u + q = 0, and with s = 3 u^2 - p:  u_p = u / s, u_q = -1 / s
    def first(b: Any) -> Any:
        start = {"u": np.array(1.5), "v": np.array(1.2)}
        found = cr.root(lambda t: [t["u"] ** 2 + t["v"] - b[0], t["u"] * t["v"] - b[1]], start)
        return found["u"]

    u, s = 2.0, 7.0
    u_p, u_q = u / s, -1 / s
    s_p, s_q = 6 * u * u_p - 1, 6 * u * u_q
    mixed = (u_q * s - u * s_q) / s**2
    expected = [[(u_p * s - u * s_p) / s**2, mixed], [mixed, s_q / s**2]]
    hessian = client.hessian(first, np.array([5.0, 2.0]))
    np.testing.assert_allclose(hessian, expected, rtol=1e-9)


def test_an_adjoint_that_does_not_converge_is_an_error(client: cr.Client) -> None:
    def f(a: Any) -> Any:
        return cr.fixed_point(lambda x: np.cos(a * x), 0.5, adjoint_max_iter=1)

    assert np.isfinite(client.value(f, 0.8))
    with pytest.raises(cr.NotConverged, match="allow more iterations") as caught:
        client.grad(f, 0.8)
    assert caught.value.code.name == "NOT_CONVERGED"
    assert caught.value.line == f"test_every_order.py:{f.__code__.co_firstlineno + 1}"


def layer(x: Any, p: Any) -> Any:
    return 0.1 * np.tanh(x * p)


def reversible(x: Any, ps: Any, exact: int | None = None) -> Any:
    return cr.reversible(layer, layer, (x, 0.5 * x), ps, exact)


def stored(x: Any, ps: Any) -> Any:
    def step(c: Any, p: Any) -> Any:
        y1 = c[0] + layer(c[1], p)
        return (y1, c[1] + layer(y1, p)), None

    return cr.scan(step, (x, 0.5 * x), ps)[0]


def test_reversible_layers_have_the_stored_gradient_in_flat_memory(client: cr.Client) -> None:
    x, peaks = arrays(4000), {}
    for depth in (10, 1000):
        ps = arrays(depth)
        result, kept = (
            client.compute(
                lambda x, ps, net=net: np.sum(net(x, ps)[0] * net(x, ps)[1]), x, ps, wrt=(0, 1)
            )
            for net in (reversible, stored)
        )
        for have, want in zip(result.grad, kept.grad, strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-9 * np.abs(want).max())
        peaks[depth] = result.stats.peak_bytes, kept.stats.peak_bytes
    # a layer has eight bytes of parameter and as many of its gradient; its activations 64,000
    assert peaks[1000][0] - peaks[10][0] <= 990 * 16 + 128
    assert peaks[1000][1] - peaks[10][1] >= 990 * 2 * x.nbytes


def test_exact_layers_give_back_their_inputs_or_an_error(client: cr.Client) -> None:
    q, ps = 40, arrays(300)
    x = np.rint(arrays(50) * 2**q) / 2**q

    def nearest(v: Any) -> Any:
        return np.rint(v * 2.0**q) * 2.0**-q

    def there_and_back(x: Any, ps: Any) -> Any:
        def undone(y: Any, p: Any) -> Any:
            x2 = y[1] - nearest(layer(y[0], p))
            return (y[0] - nearest(layer(x2, p)), x2), None

        return cr.scan(undone, reversible(x, ps, q), ps, reverse=True)[0]

    found = client.value(there_and_back, x, ps)
    for have, want in zip(found, (x, nearest(0.5 * x)), strict=True):
        assert hashlib.sha256(have).hexdigest() == hashlib.sha256(want).hexdigest()
    with pytest.raises(cr.NumericError, match="is no int64"):
        client.grad(lambda x: np.sum(reversible(x, ps, q)[0]), x + 2.0 ** (52 - q))


def test_checkpoint_keeps_the_bits_and_lowers_the_peak_as_predicted(client: cr.Client) -> None:
    layers, x = 8, arrays(20_000)

    def block(x: Any) -> Any:
        return np.sin(np.exp(np.sin(np.exp(np.sin(x)))))

    def net(wrap: Any) -> Any:
        def loss(x: Any) -> Any:
            for _ in range(layers):
                x = wrap(block)(x)
            return np.sum(x)

        return loss

    results = []
    for f in (net(lambda f: f), net(cr.checkpoint)):
        result = client.compute(f, x, requests=("value", "grad"))
        assert result.stats.peak_bytes == client.estimate(f, x).peak_bytes
        results.append(result)
    plain, kept = results
    assert plain.grad.tobytes() == kept.grad.tobytes()
    # Backwards a block needs its input, which serves the first sine, and both exponentials, each of which
    # serves its own rule and the next sine. All blocks but the one at work keep their input alone.
    saved = (layers - 1) * 2 * x.nbytes
    assert plain.stats.peak_bytes - kept.stats.peak_bytes == saved


def test_two_equal_dropouts_differ(client: cr.Client) -> None:
    a, b = client.value(lambda x: (cr.nn.dropout(0.5, x), cr.nn.dropout(0.5, x)), np.ones((9, 9)))
    assert np.any(a != b)


def test_a_dropout_mask_does_not_depend_on_the_microshards(client: cr.Client) -> None:
    # row i holds 2^i, so that the gradient of the column's weight spells out which rows stayed
    n = 40
    x = np.repeat(2.0 ** np.arange(n)[:, None], 3, axis=1)

    def loss(w: Any, x: Any) -> Any:
        return np.sum(cr.nn.dropout(0.5, x * w))

    found = set()
    for rows in (1, 3, 8, 64):
        optimizer = cr.optim.sgd(1.0)
        session = client.create_session(
            loss, np.zeros(3), optimizer=optimizer, microshard=rows, seed=3
        )
        session.step(x)
        found.add(session.params().tobytes())
        session.close()
    (bits,) = found
    masks = -np.frombuffer(bits).reshape(3) / 2
    assert len(set(masks)) == 3 and all(0 < m < 2**n and m == int(m) for m in masks)
