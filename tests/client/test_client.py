"""Values and derivatives through a private server, against closed forms."""

import threading
from typing import Any

import numpy as np
import pytest

import chainrule as cr

X = np.array([0.0, 0.5, -1.25])


def composition(x: Any) -> Any:
    return np.sum(np.sin((2 * x + 1) ** 2))


def derivative(x: Any) -> Any:
    return 4 * (2 * x + 1) * np.cos((2 * x + 1) ** 2)


def test_value_and_gradient_are_those_of_the_closed_form(client: cr.Client) -> None:
    value, gradient = client.value_and_grad(composition, X)
    np.testing.assert_allclose(value, np.sum(np.sin((2 * X + 1) ** 2)), rtol=1e-14)
    np.testing.assert_allclose(gradient, derivative(X), rtol=1e-13)
    assert client.value(composition, X) == value
    np.testing.assert_array_equal(client.grad(composition, X), gradient)


def test_a_gradient_has_the_structure_of_its_argument(client: cr.Client) -> None:
    params = {"w": X, "deep": [np.ones(2), (np.float64(2.0), None)]}

    def f(p: Any, scale: Any) -> Any:
        return scale * (np.sum(p["w"] ** 2) + np.sum(p["deep"][0]) * p["deep"][1][0])

    gradient = client.grad(f, params, 3.0)
    np.testing.assert_allclose(gradient["w"], 6 * X)
    np.testing.assert_allclose(gradient["deep"][0], [6.0, 6.0])
    assert gradient["deep"][1] == (6.0, None)
    both = client.grad(f, params, 3.0, wrt=(0, 1))
    assert isinstance(both, tuple)
    np.testing.assert_allclose(both[1], np.sum(X**2) + 4.0)
    assert client.grad(f, params, 3.0, wrt=-1) == both[1]


def test_aux_comes_back_beside_the_value_as_in_jax(client: cr.Client) -> None:
    def f(x: Any) -> Any:
        return np.sum(x**2), {"double": 2 * x}

    (value, aux), gradient = client.value_and_grad(f, X, has_aux=True)
    np.testing.assert_allclose(value, np.sum(X**2))
    np.testing.assert_allclose(aux["double"], 2 * X)
    np.testing.assert_allclose(gradient, 2 * X)
    gradient, aux = client.grad(f, X, has_aux=True)
    np.testing.assert_allclose(aux["double"], gradient)


def test_vjp_and_jvp_are_adjoint(client: cr.Client) -> None:
    rng = np.random.default_rng(0)
    a, x = rng.normal(size=(4, 3)), rng.normal(size=3)
    ct, t = rng.normal(size=4), (rng.normal(size=(4, 3)), rng.normal(size=3))

    def f(a: Any, x: Any) -> Any:
        return np.tanh(a @ x)

    value, (a_ct, x_ct) = client.vjp(f, (a, x), ct)
    again, out_t = client.jvp(f, (a, x), t)
    np.testing.assert_array_equal(value, again)
    np.testing.assert_allclose(
        np.sum(ct * out_t), np.sum(a_ct * t[0]) + np.sum(x_ct * t[1]), rtol=1e-12
    )


def test_one_primal_needs_no_tuple_and_integers_have_no_cotangent(client: cr.Client) -> None:
    value, ct = client.vjp(np.sin, X, np.ones(3))
    np.testing.assert_allclose(ct, np.cos(X))
    np.testing.assert_allclose(client.jvp(np.sin, X, np.ones(3)), (value, ct))
    rows = np.array([2, 0])
    _, (x_ct, rows_ct) = client.vjp(lambda x, rows: x[rows], (X, rows), np.array([1.0, 5.0]))
    np.testing.assert_array_equal(x_ct, [5.0, 0.0, 1.0])
    assert rows_ct is None


def test_a_hessian_times_a_vector(client: cr.Client) -> None:
    def rosenbrock(x: Any) -> Any:
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    x, v = np.array([0.3, -0.2]), np.array([1.0, 2.0])
    hessian = np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200]])
    np.testing.assert_allclose(client.hvp(rosenbrock, x, vector=v), hessian @ v, rtol=1e-12)


def test_a_batch_is_split_and_its_gradient_is_the_whole_one(client: cr.Client) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(50_000, 8)), rng.normal(size=8)

    def f(w: Any, x: Any) -> Any:
        return np.mean(np.tanh(x @ w) ** 2)

    result = client.compute(f, w, x, batch=1)
    value, gradient = client.value_and_grad(f, w, x)
    np.testing.assert_allclose(result.value, value, rtol=1e-12)
    np.testing.assert_allclose(result.grad, gradient, rtol=1e-12)
    assert result.numerics.microshard_rows > 0
    assert result.stats.flops > 0
    assert result.finite
    assert result.grad_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
    assert repr(result).startswith("Result(value=0.")


def test_a_batch_that_couples_its_rows_warns_at_the_caller_s_line(client: cr.Client) -> None:
    def contrast(x: Any) -> Any:
        return np.mean(np.exp(x @ np.transpose(x)))

    with pytest.warns(cr.UnsplitWarning) as caught:
        client.value(contrast, np.ones((6, 2)) / 7, batch=0)
    assert caught[0].filename == __file__


def test_a_graph_goes_wherever_a_function_goes(client: cr.Client) -> None:
    graph = cr.trace(composition, X)
    np.testing.assert_array_equal(client.grad(graph, X), client.grad(composition, X))


def test_a_large_closure_goes_as_an_object_and_comes_back_in_results(client: cr.Client) -> None:
    table = np.random.default_rng(2).normal(size=(600, 600))
    value, gradient = client.value_and_grad(lambda x: np.sum((table @ x) ** 2), table)
    np.testing.assert_allclose(value, np.sum((table @ table) ** 2), rtol=1e-12)
    np.testing.assert_allclose(gradient, 2 * table.T @ (table @ table), rtol=1e-9)


def test_keyword_arguments_and_static_ones(client: cr.Client) -> None:
    def f(x: Any, kind: str, *, scale: Any) -> Any:
        return scale * np.sum(np.sin(x) if kind == "sin" else np.cos(x))

    np.testing.assert_allclose(client.grad(f, X, "sin", kwargs={"scale": 2.0}), 2 * np.cos(X))
    with pytest.raises(TypeError, match=r"unknown option 'scale'.*kwargs=\{'scale': \.\.\.\}"):
        client.grad(f, X, "sin", scale=2.0)


def test_an_estimate_runs_nothing(client: cr.Client) -> None:
    estimate = client.estimate(composition, np.zeros(1_000))
    assert estimate.flops > 5_000
    assert estimate.peak_bytes >= 16_000
    assert estimate.by_node
    assert "FLOP" in repr(estimate)
    assert client.estimate(composition, X, what="value").flops < 200


def test_an_explanation_shows_the_chain_rule(client: cr.Client) -> None:
    explanation = client.explain(lambda x: np.sin((2 * x + 1) ** 2), 0.5)
    first = explanation.nodes[0]
    assert first.incoming is not None
    np.testing.assert_allclose(first.incoming, derivative(0.5), rtol=1e-14)
    assert "cos(%" in explanation.to_text()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda c: c.grad(np.sin, X),
            cr.InvalidGraph,
            r"float64 of shape \(3,\); a gradient is that of one float scalar; reduce it",
        ),
        (
            lambda c: c.grad(lambda x, y: np.sum(x) + y, X, 1, wrt=1),
            cr.GraphError,
            "integers have no derivative; convert it with .astype",
        ),
        (lambda c: c.grad(composition, X, wrt=2), cr.GraphError, "wrt names argument 2 of 1"),
        (
            lambda c: c.grad(composition, X, wrt="x"),
            cr.GraphError,
            "wrt names 'x', which is no number",
        ),
        (
            lambda c: c.value(np.sum, np.ma.masked_array(X, X > 0)),
            cr.ShapeMismatch,
            r"args/0 is a masked array.*give \.filled\(0\) and the mask",
        ),
        (
            lambda c: c.value(np.sum, np.array([None])),
            cr.ShapeMismatch,
            "an array of objects, which is no array of numbers",
        ),
        (lambda c: c.value(3, X), cr.GraphError, "int is no function; pass a function"),
        (
            lambda c: c.vjp(np.sin, X, np.ones(2)),
            cr.ShapeMismatch,
            r"cotangents: out has shape \(2,\), \(3,\) is needed",
        ),
        (lambda c: c.jvp(np.sin, (X,), ()), cr.GraphError, "0 tangents for 1 primals"),
        (
            lambda c: c.value_and_grad(composition, X, has_aux=True),
            cr.InvalidGraph,
            "has_aux=True, and the function gives one value",
        ),
        (lambda c: c.compute(composition, X, requests="hessian"), cr.GraphError, "'hessian'"),
        (lambda c: c.grad(composition, X, max_bytes=1), cr.LimitExceeded, "the call allows 1"),
        (lambda c: c.open_session("no such name"), cr.NotFound, "session"),
    ],
)
def test_a_wrong_call_says_what_and_how_to_mend_it(
    client: cr.Client, call: Any, kind: type[cr.ChainruleError], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        call(client)
    assert caught.value.cure


@pytest.mark.parametrize("batch", [(), 1])
def test_what_fails_in_a_worker_names_the_line(client: cr.Client, batch: Any) -> None:
    def f(table: Any, rows: Any) -> Any:
        scaled = 2.0 * table
        picked = scaled[rows]
        return np.mean(picked**2)

    rows = np.arange(1_500) % 3
    rows[-1] = 7
    line = f.__code__.co_firstlineno + 2
    with pytest.raises(
        cr.NumericError, match=rf"at test_client\.py:{line}: index 7 is outside the 3 rows"
    ) as caught:
        client.value(f, X, rows, batch=batch)
    assert caught.value.label == "picked"
    assert caught.value.node is None, "a row of a stage is no node of the user's graph"


def test_a_server_s_refusal_carries_its_request_id(client: cr.Client) -> None:
    with pytest.raises(cr.LimitExceeded) as caught:
        client.grad(composition, X, max_bytes=1)
    assert len(bytes.fromhex(caught.value.request_id or "")) == 16


def test_any_thread_may_call(client: cr.Client) -> None:
    found: dict[int, Any] = {}

    def ask(k: int) -> None:
        found[k] = client.grad(composition, X + k)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for k in range(8):
        np.testing.assert_allclose(found[k], derivative(X + k), rtol=1e-12)


def test_info_says_what_is_served(client: cr.Client) -> None:
    info = client.info()
    assert info.private
    assert info.workers == 2
    assert "Sin" in info.primitives
    assert "grad" in info.computations
    assert info.protocol == (1, 1)
    assert f"chainrule {cr.__version__}" in repr(info)


def test_a_closed_client_says_so() -> None:
    with cr.connect("local", workers=1) as closing:
        assert closing.server_pid is not None
    assert "closed" in repr(closing)
    with pytest.raises(cr.Cancelled, match="connect again"):
        closing.value(composition, X)
