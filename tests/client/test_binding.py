"""Functions that are registered once."""

from typing import Any

import numpy as np
import pytest
from scipy import optimize

import chainrule as cr

START = np.array([-1.2, 1.0, 0.5])


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_scipy_minimises_a_bound_function_as_it_is(client: cr.Client) -> None:
    g = client.bind(rosenbrock)
    found = optimize.minimize(g.value_and_grad, START, jac=True, method="L-BFGS-B")
    np.testing.assert_allclose(found.x, np.ones(3), atol=1e-4)
    newton = optimize.minimize(g.value, START, jac=g.grad, hessp=g.hvp, method="Newton-CG")
    np.testing.assert_allclose(newton.x, np.ones(3), atol=1e-4)
    assert repr(g) == "<Bound rosenbrock, 1 graphs registered>"


def test_other_shapes_are_traced_anew_and_a_batch_is_not(client: cr.Client) -> None:
    g = client.bind(lambda w, x: np.mean((x @ w) ** 2), batch=1)
    rng = np.random.default_rng(0)
    for d, n in ((3, 10), (3, 20), (4, 10)):
        w, x = rng.normal(size=d), rng.normal(size=(n, d))
        np.testing.assert_allclose(g.value(w, x), np.mean((x @ w) ** 2))
        np.testing.assert_allclose(g.grad(w, x), 2 * x.T @ (x @ w) / n)
    assert "2 graphs" in repr(g)


def test_aux_and_further_arguments(client: cr.Client) -> None:
    g = client.bind(lambda x, a: (np.sum(a * x**3), x), has_aux=True)
    (value, aux), gradient = g.value_and_grad(START, 2.0)
    np.testing.assert_allclose(value, 2 * np.sum(START**3))
    np.testing.assert_array_equal(aux, START)
    np.testing.assert_allclose(gradient, 6 * START**2)
    np.testing.assert_allclose(g.hvp(START, np.ones(3), 2.0), 12 * START)


def test_options_may_be_changed(client: cr.Client) -> None:
    g = client.bind(rosenbrock).with_options(max_bytes=1)
    with pytest.raises(cr.LimitExceeded):
        g.value(START)


def test_a_graph_that_the_server_forgot_is_registered_again() -> None:
    with cr.connect("local", workers=1) as first:
        g = first.bind(rosenbrock)
        expected = g.grad(START)
        digest = next(iter(g._graphs.values()))[1]
    with cr.connect("local", workers=1) as second:
        other = second.bind(rosenbrock)
        other._graphs = {k: (graph, digest) for k, (graph, _) in g._graphs.items()}
        np.testing.assert_array_equal(other.grad(START), expected)
