"""The article's examples by the service: composition, network, training, against closed forms."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import batch_of, closed_form, golden, loss, plain_loss

RECORD = golden()
PARAMS, X, Y = RECORD["params"], RECORD["x"], RECORD["y"]


def test_the_composition_has_its_derivative_at_every_point(client: cr.Client) -> None:
    x = np.linspace(-2.0, 2.0, 41)
    found = client.grad(lambda x: np.sum(np.sin((2 * x + 1) ** 2)), x)
    np.testing.assert_allclose(found, 4 * (2 * x + 1) * np.cos((2 * x + 1) ** 2), rtol=1e-12)


def test_the_network_s_gradient_is_the_closed_form(client: cr.Client) -> None:
    gradient = client.grad(loss, PARAMS, X, Y)
    split = client.grad(loss, PARAMS, X, Y, batch=(1, 2))
    for name, expected in closed_form(PARAMS, X, Y).items():
        np.testing.assert_allclose(gradient[name], expected, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(split[name], expected, rtol=1e-10, atol=1e-14)


def test_the_network_s_gradient_is_the_complex_step(client: cr.Client) -> None:
    gradient = client.grad(loss, PARAMS, X, Y)
    rng = np.random.default_rng(0)
    for name, value in PARAMS.items():
        direction = rng.normal(size=value.shape)
        shifted = PARAMS | {name: value + 1e-30j * direction}
        step = np.imag(plain_loss(shifted, X, Y)) / 1e-30
        np.testing.assert_allclose(np.sum(gradient[name] * direction), step, rtol=1e-12)


def test_the_network_s_gradient_is_the_central_difference(client: cr.Client) -> None:
    gradient = client.grad(loss, PARAMS, X, Y)
    h = 1e-5
    for name, value in PARAMS.items():
        shift = np.zeros(value.shape)
        shift.flat[0] = h
        up = plain_loss(PARAMS | {name: value + shift}, X, Y)
        down = plain_loss(PARAMS | {name: value - shift}, X, Y)
        np.testing.assert_allclose(gradient[name].flat[0], (up - down) / (2 * h), rtol=1e-6)


def test_the_hessian_times_a_vector_is_the_difference_of_gradients(client: cr.Client) -> None:
    vector = {name: np.cos(np.arange(v.size)).reshape(v.shape) for name, v in PARAMS.items()}
    found = client.hvp(loss, PARAMS, X, Y, vector=vector)
    h = 1e-6
    up = closed_form({k: v + h * vector[k] for k, v in PARAMS.items()}, X, Y)
    down = closed_form({k: v - h * vector[k] for k, v in PARAMS.items()}, X, Y)
    for name, value in found.items():
        np.testing.assert_allclose(value, (up[name] - down[name]) / (2 * h), rtol=1e-5, atol=1e-9)


def optimizer_of(entry: dict[str, Any]) -> cr.optim.Optimizer:
    kinds = {"momentum": cr.optim.sgd, "nesterov": cr.optim.sgd, "sgd": cr.optim.sgd}
    kind = (
        kinds.get(entry["name"]) or {"adam": cr.optim.adam, "adamw": cr.optim.adamw}[entry["name"]]
    )
    return kind(**entry["arguments"])


@pytest.mark.parametrize("entry", RECORD["optimizers"], ids=lambda entry: str(entry["name"]))
def test_200_remote_steps_follow_pytorch(client: cr.Client, entry: dict[str, Any]) -> None:
    session = client.create_session(loss, PARAMS, optimizer=optimizer_of(entry))
    answers = [session.submit(*batch_of(RECORD, k)) for k in range(200)]
    losses = [answer.result(60).loss for answer in answers]
    np.testing.assert_allclose(losses, entry["losses"], rtol=1e-8)


def test_gradient_work_is_a_small_constant_times_the_forward_s(client: cr.Client) -> None:
    x, y = np.zeros((256, 64)), np.zeros((256, 10))
    params = {
        "W1": np.zeros((64, 128)),
        "b1": np.zeros(128),
        "W2": np.zeros((128, 10)),
        "b2": np.zeros(10),
    }
    forward = client.estimate(loss, params, x, y, what="value").flops
    both = client.estimate(loss, params, x, y, what="value_and_grad").flops
    assert both / forward <= 3.0
