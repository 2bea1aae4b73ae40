"""Reversible networks: the stored network's gradient from reconstructed inputs, in flat memory."""

import hashlib
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NumericError
from chainrule.ir import trees
from support.traced import numbers, refusal
from support.traced_engine import answer, peak_of

A = 0.7


def halves(a: Any) -> tuple[Any, Any]:
    return (
        lambda x, p: 0.1 * np.tanh(x @ p["w"] * a),
        lambda x, p: 0.1 * a * np.sin(x + p["b"]),
    )


def network(x1: Any, x2: Any, ps: Any, a: Any, exact: int | None = None) -> Any:
    return cr.reversible(*halves(a), (x1, x2), ps, exact)


def stored(x1: Any, x2: Any, ps: Any, a: Any) -> Any:
    f, g = halves(a)

    def layer(x: Any, p: Any) -> Any:
        y1 = x[0] + f(x[1], p)
        return (y1, x[1] + g(y1, p)), None

    return cr.scan(layer, (x1, x2), ps)[0]


def loss(net: Any) -> Any:
    def value(*args: Any) -> Any:
        y1, y2 = net(*args)
        return np.sum(y1**2) + np.sum(np.cos(y2))

    return value


def arguments(depth: int) -> tuple[Any, ...]:
    x1, x2 = numbers(2, 4)
    return x1, x2, {"w": numbers(depth, 4, 4), "b": numbers(depth, 4)}, np.array(A)


def derivatives(net: Any, args: Any) -> list[Any]:
    got = answer(lambda *z: cr.value_and_grad(loss(net), (0, 1, 2, 3))(*z), *args)
    return list(trees.flatten(got, "")[1])


@pytest.mark.parametrize("depth", [1, 3, 200])
def test_value_and_gradient_equal_the_stored_network(depth: int) -> None:
    args = arguments(depth)
    for have, want in zip(derivatives(network, args), derivatives(stored, args), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-9, atol=1e-12)


def test_second_derivatives_equal_those_of_the_stored_network() -> None:
    args, v = arguments(3), numbers(4, seed="v")

    def product(net: Any) -> Any:
        def f(x1: Any, x2: Any, ps: Any, a: Any) -> Any:
            return cr.hvp(lambda x: loss(net)(x, x2, ps, a), x1, vector=v)

        return answer(f, *args)

    np.testing.assert_allclose(product(network), product(stored), rtol=1e-10)


def test_the_peak_is_flat_in_the_depth_but_for_the_parameters() -> None:
    def peak(depth: int) -> int:
        def value(x1: Any, x2: Any, ps: Any) -> Any:
            def f(x: Any, p: Any) -> Any:
                return np.tanh(x * p)

            return np.sum(cr.reversible(f, f, (x1, x2), ps)[0])

        x = np.zeros(20_000)
        return peak_of(lambda *z: cr.grad(value, 2)(*z), x, x, np.full(depth, 0.1))

    # a parameter and its gradient are eight bytes a layer each; an activation would be 160,000
    assert peak(1000) - peak(10) <= 990 * 2 * 8 + 128


def undo(y1: Any, y2: Any, ps: Any, a: Any, q: int | None = None) -> Any:
    """The layers backwards in plain NumPy."""
    f, g = halves(a)

    def nearest(v: Any) -> Any:
        return v if q is None else np.rint(v * 2.0**q) / 2.0**q

    for k in reversed(range(len(ps["b"]))):
        p = {name: value[k] for name, value in ps.items()}
        y2 = y2 - nearest(g(y1, p))
        y1 = y1 - nearest(f(y2, p))
    return y1, y2


def test_reconstruction_drifts_by_less_than_1e_10() -> None:
    x1, x2, ps, a = arguments(1000)
    y1, y2 = answer(network, x1, x2, ps, a)
    back = undo(y1, y2, ps, a)
    assert max(np.abs(back[0] - x1).max(), np.abs(back[1] - x2).max()) <= 1e-10


def test_exact_reconstruction_gives_back_every_bit() -> None:
    x1, x2, ps, a = arguments(300)
    q = 40
    x1, x2 = (np.rint(x * 2.0**q) / 2.0**q for x in (x1, x2))

    def there_and_back(x1: Any, x2: Any, ps: Any, a: Any) -> Any:
        y1, y2 = network(x1, x2, ps, a, exact=q)
        f, g = halves(a)

        def nearest(v: Any) -> Any:
            return np.rint(v * 2.0**q) * 2.0**-q

        def undone(y: Any, p: Any) -> Any:
            x2 = y[1] - nearest(g(y[0], p))
            return (y[0] - nearest(f(x2, p)), x2), None

        return cr.scan(undone, (y1, y2), ps, reverse=True)[0]

    back = answer(there_and_back, x1, x2, ps, a)
    for have, want in zip(back, (x1, x2), strict=True):
        assert hashlib.sha256(have).hexdigest() == hashlib.sha256(want).hexdigest()


@pytest.mark.parametrize("value", [2.0**12, np.inf, np.nan])
@pytest.mark.parametrize("whole", [True, False])
def test_leaving_the_exact_range_is_an_error(value: float, whole: bool) -> None:
    def f(x: Any) -> Any:
        return np.sum(cr.reversible(lambda x, p: x * p, lambda x, p: x, (x, x), np.ones(3), 40)[0])

    asked = f if whole else cr.grad(f)
    # three layers make at most 21 of one
    assert np.isfinite(answer(lambda x: asked(x), np.array([1.0, -(2.0**12) / 22]))).all()
    with pytest.raises(NumericError, match="is no int64"):
        answer(lambda x: asked(x), np.array([1.0, value]))


def test_exact_gradient_is_near_that_of_the_unrounded_network() -> None:
    args = arguments(20)
    rounded = derivatives(lambda x1, x2, ps, a: network(x1, x2, ps, a, exact=36), args)
    for have, want in zip(rounded, derivatives(stored, args), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-7, atol=1e-9)


def test_exact_second_derivatives_are_near_those_of_the_unrounded_network() -> None:
    args, v = arguments(3), numbers(4, seed="v")

    def product(exact: int | None) -> Any:
        def f(x1: Any, x2: Any, ps: Any, a: Any) -> Any:
            net = loss(lambda x1, x2, ps, a: network(x1, x2, ps, a, exact))
            return cr.hvp(lambda x: net(x, x2, ps, a), x1, vector=v)

        return answer(f, *args)

    np.testing.assert_allclose(product(36), product(None), rtol=1e-7)


def test_inputs_may_be_trees() -> None:
    def net(x: Any, p: Any) -> Any:
        def f(x: Any, p: Any) -> Any:
            return {"u": x["v"] * p, "v": np.sin(x["u"])}

        y1, y2 = cr.reversible(f, f, (x, x), p)
        return np.sum(y1["u"] * y2["v"])

    x, p = {"u": numbers(3), "v": numbers(3, seed="v")}, numbers(4)
    got = answer(lambda x, p: cr.grad(net, 1)(x, p), x, p)
    assert got.shape == (4,)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: cr.reversible(lambda x, p: x, lambda x, p: x, (x, x[:1]), x), "equal structure"),
        (lambda x: cr.reversible(lambda x, p: x[:1], lambda x, p: x, (x, x), x), "shape and dtype"),
        (lambda x: cr.reversible(lambda x, p: (x,), lambda x, p: x, (x, x), x), "another tree"),
        (lambda x: cr.reversible(lambda x, p: x, lambda x, p: x, (x, x), None), "stacked"),
        (lambda x: cr.reversible(lambda x, p: x, lambda x, p: x, (x, x), x, exact=0), "exact=0"),
    ],
)
def test_misuse_is_refused(f: Any, text: str) -> None:
    assert text in str(refusal(f, np.ones(3)))
