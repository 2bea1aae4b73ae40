"""Layers of cr.nn against PyTorch's: values and gradients, ties, state."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr

pytestmark = pytest.mark.oracle

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 7, 8, 3))


def same(have: Any, want: Any) -> None:
    np.testing.assert_allclose(have, want.detach().numpy(), rtol=1e-10, atol=1e-12)


def leaf(torch: Any, x: Any, *order: int) -> Any:
    return torch.tensor(np.transpose(x, order) if order else x, requires_grad=True)


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), ((2, 1), 1, 1), (1, 2, 2)])
def test_convolution(
    client: cr.Client, torch: Any, stride: Any, padding: int, dilation: int
) -> None:
    w, b = RNG.normal(size=(3, 2, 3, 5)), RNG.normal(size=5)

    def loss(x: Any, w: Any, b: Any) -> Any:
        y = cr.nn.conv(x, w, b, stride, padding, dilation)
        return np.sum(np.sin(y)), y

    (_, y), grads = client.value_and_grad(loss, X, w, b, wrt=(0, 1, 2), has_aux=True)
    tx, tw, tb = leaf(torch, X, 0, 3, 1, 2), leaf(torch, w, 3, 2, 0, 1), leaf(torch, b)
    want = torch.nn.functional.conv2d(tx, tw, tb, stride, padding, dilation)
    want.sin().sum().backward()
    same(y, want.permute(0, 2, 3, 1))
    same(grads[0], tx.grad.permute(0, 2, 3, 1))
    same(grads[1], tw.grad.permute(2, 3, 1, 0))
    same(grads[2], tb.grad)


@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
@pytest.mark.parametrize("ties", [False, True])
def test_pooling(client: cr.Client, torch: Any, name: str, ties: bool) -> None:
    x = np.round(X) if ties else X

    def loss(x: Any) -> Any:
        y = getattr(cr.nn, name)(x, (3, 2), (2, 2), ((1, 1), (0, 0)))
        return np.sum(np.sin(y)), y

    (_, y), grad = client.value_and_grad(loss, x, has_aux=True)
    tx = leaf(torch, x, 0, 3, 1, 2)
    theirs = {"max_pool": "max_pool2d", "average_pool": "avg_pool2d"}[name]
    want = getattr(torch.nn.functional, theirs)(tx, (3, 2), (2, 2), (1, 0))
    want.sin().sum().backward()
    same(y, want.permute(0, 2, 3, 1))
    same(grad, tx.grad.permute(0, 2, 3, 1))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_layers(client: cr.Client, torch: Any, kind: str) -> None:
    x, units = RNG.normal(size=(4, 5, 3)), 6
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(3, units, batch_first=True, dtype=torch.float64)
    w, u, b, bu = (p.detach().numpy().T for p in theirs.parameters())
    params = {"w": w, "u": u, "b": b + bu}
    if kind == "GRU":
        # only the new value's second bias stands inside the reset
        first = np.concatenate([b[: 2 * units] + bu[: 2 * units], b[2 * units :]])
        params |= {"b": first, "bu": bu[2 * units :]}

    def loss(p: Any, x: Any) -> Any:
        out, last = getattr(cr.nn, kind.lower())(x, p)
        return np.sum(np.sin(out)), (out, last[0])

    (_, (out, last)), grads = client.value_and_grad(loss, params, x, wrt=(0, 1), has_aux=True)
    tx = leaf(torch, x)
    want, state = theirs(tx)
    want.sin().sum().backward()
    same(out, want)
    same(last, (state[0] if kind == "LSTM" else state)[0])
    same(grads[1], tx.grad)
    same(grads[0]["w"], theirs.weight_ih_l0.grad.T)
    same(grads[0]["u"], theirs.weight_hh_l0.grad.T)


def test_batch_norm(client: cr.Client, torch: Any) -> None:
    x, scale, bias = X.reshape(-1, 3), RNG.normal(size=3), RNG.normal(size=3)
    state = {"mean": RNG.normal(size=3), "var": RNG.uniform(1, 2, size=3)}

    def loss(x: Any, scale: Any) -> Any:
        y, new = cr.nn.batch_norm(x, state, scale, bias)
        return np.sum(np.sin(y)), (y, new)

    (_, (y, new)), grads = client.value_and_grad(loss, x, scale, wrt=(0, 1), has_aux=True)
    tx, ts = leaf(torch, x), leaf(torch, scale)
    mean, var = (torch.tensor(state[k].copy()) for k in ("mean", "var"))
    want = torch.nn.functional.batch_norm(tx, mean, var, ts, torch.tensor(bias), True, 0.1, 1e-5)
    want.sin().sum().backward()
    same(y, want)
    same(new["mean"], mean)
    same(new["var"], var)
    same(grads[0], tx.grad)
    same(grads[1], ts.grad)


def test_gelu_by_the_error_function(client: cr.Client, torch: Any) -> None:
    def loss(x: Any) -> Any:
        return np.sum(cr.nn.gelu(x, approximate=False) ** 2)

    tx = leaf(torch, X)
    (torch.nn.functional.gelu(tx) ** 2).sum().backward()
    same(client.grad(loss, X), tx.grad)
