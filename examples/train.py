"""Trains the example network remotely, or on a private server where no address is given.

    CHAINRULE_ADDRESS=localhost:50051 python examples/train.py

The network is z = W1 x + b1, a = sigmoid(z), y_hat = W2 a + b2 with L = 1/2 (y_hat - y)^2, here
learning one period of a sine. The loop and the data are on this side; parameters, optimizer and
the step log are the server's. Started again, it goes on where the server stands.
"""

import os
import sys

import numpy as np

import chainrule as cr

NAME = os.environ.get("SESSION_NAME", "sine")
STEPS = int(os.environ.get("STEPS", "300"))
HIDDEN = 16


def loss(params, x, y):
    """Mean over the batch of 1/2 (y_hat - y)^2; x and y are (batch, 1)."""
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    y_hat = a @ params["W2"] + params["b2"]
    return 0.5 * np.mean(np.sum((y_hat - y) ** 2, axis=-1))


def initial_parameters():
    """Small random weights, from a fixed seed: every run starts alike."""
    rng = np.random.default_rng(0)
    return {
        "W1": rng.normal(size=(1, HIDDEN)) * 3.0,
        "b1": np.zeros(HIDDEN),
        "W2": rng.normal(size=(HIDDEN, 1)) * 0.3,
        "b2": np.zeros(1),
    }


def main():
    """Runs STEPS more steps and says how the loss went."""
    x = np.linspace(-1.0, 1.0, 256)[:, None]
    y = np.sin(np.pi * x)
    with cr.connect() as client:
        try:
            session = client.open_session(NAME)
            print(f"session {NAME!r} goes on at step {session.next_step}")
        except cr.NotFound:
            adam = cr.optim.adam(3e-2)
            session = client.create_session(loss, initial_parameters(), optimizer=adam, name=NAME)
            print(f"session {NAME!r} begins")
        first = session.evaluate(x, y).loss
        for k in range(STEPS):
            result = session.step(x, y)
            if (k + 1) % 100 == 0:
                print(f"step {result.step:5d}   loss {result.loss:.6f}")
        print(f"loss {first:.6f} -> {result.loss:.6f}")
    return 0 if result.loss < first else 1


if __name__ == "__main__":
    sys.exit(main())
