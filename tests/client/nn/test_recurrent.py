"""Recurrent layers: traced equal plain, plain equal the textbook's equations written out."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import compare, numbers
from support.traced_engine import answer

X = numbers(5, 4, 3)
LSTM = {"w": numbers(3, 8), "u": numbers(2, 8), "b": numbers(8)}
GRU = {"w": numbers(3, 6), "u": numbers(2, 6), "b": numbers(6), "bu": numbers(2)}


def s(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(x: Any, p: Any) -> Any:
    h, c, out = np.zeros((len(x), 2)), np.zeros((len(x), 2)), []
    for t in range(x.shape[1]):
        z = x[:, t] @ p["w"] + h @ p["u"] + p["b"]
        c = s(z[:, 2:4]) * c + s(z[:, :2]) * np.tanh(z[:, 4:6])
        h = s(z[:, 6:]) * np.tanh(c)
        out.append(h)
    return np.stack(out, 1), (h, c)


def gru_by_hand(x: Any, p: Any) -> Any:
    h, out = np.zeros((len(x), 2)), []
    for t in range(x.shape[1]):
        a, b = x[:, t] @ p["w"] + p["b"], h @ p["u"]
        r, z = s(a[:, :2] + b[:, :2]), s(a[:, 2:4] + b[:, 2:4])
        h = (1 - z) * np.tanh(a[:, 4:] + r * (b[:, 4:] + p["bu"])) + z * h
        out.append(h)
    return np.stack(out, 1), (h,)


@pytest.mark.parametrize(
    ("layer", "by_hand", "params"),
    [(cr.nn.lstm, lstm_by_hand, LSTM), (cr.nn.gru, gru_by_hand, GRU)],
)
def test_values_and_gradient(layer: Any, by_hand: Any, params: Any) -> None:
    want = by_hand(X, params)
    compare(layer(X, params), want, 1e-13, 1e-14)
    compare(answer(layer, X, params), want, 1e-13, 1e-14)
    split = answer(lambda p, x: layer(x, p)[0], params, X, n=5, workers=2, batch=1)
    compare(split, want[0], 1e-13, 1e-14)
    got = answer(lambda x, p: cr.grad(lambda p: np.sum(layer(x, p)[0] ** 2))(p), X, params)
    directions = {name: numbers(*value.shape, seed=name) for name, value in params.items()}
    moved = {name: value + 1e-30j * directions[name] for name, value in params.items()}
    slope = np.sum(by_hand(X, moved)[0] ** 2).imag / 1e-30
    assert sum(np.sum(got[k] * directions[k]) for k in got) == pytest.approx(slope, rel=1e-11)


def test_a_state_is_gone_on_with() -> None:
    def halves(x: Any, p: Any) -> Any:
        first, state = cr.nn.lstm(x[:, :2], p)
        second, state = cr.nn.lstm(x[:, 2:], p, state)
        return np.concatenate([first, second], 1), state

    compare(answer(halves, X, LSTM), lstm_by_hand(X, LSTM), 1e-13, 1e-14)
